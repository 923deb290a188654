//! The harness of fault tests: a Postgres for each test, the server as a process, and an HTTP client.

#[path = "../../tests/harness/directory.rs"]
mod directory;

mod http;
mod pgbouncer;
mod postgres;
mod proxy;
mod server;
mod stream;
mod users;

use std::{fs, io::Write as _, path::PathBuf, sync::LazyLock, time::Duration};

pub use http::{Credential, Request, Response};
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use proxy::{Fault, Proxy};
pub use server::Server;
pub use stream::EventStream;
pub use users::{PASSWORD, SignedIn, TestAccounts, browser_sign_in, desktop_sign_in};

/// Time limit on a machine that is busy with other tests.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// The directory of this process, with a small site.
pub static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = directory::create().expect("a folder for the tests");
    fs::create_dir_all(directory.join("site/pkg")).expect("a site");
    fs::write(
        directory.join("site/pkg/portal.js"),
        "export default function () {}\n",
    )
    .expect("a site");
    directory
});

/// Prints a result even if the test passes, bypassing the capture of output.
#[expect(clippy::disallowed_methods, reason = "a test has no reader to fail")]
pub fn print_result(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "  {line}"));
}

/// Returns the number of rounds.
pub fn rounds(default: usize) -> usize {
    let text = std::env::var("PORTAL_TEST_ROUNDS");
    text.map_or(default, |text| {
        text.parse().expect("PORTAL_TEST_ROUNDS is a number")
    })
}

/// Polls until the condition holds.
pub async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(TIMEOUT, asking).await;
    waited.unwrap_or_else(|_| panic!("it never came to this: {what}"));
}
