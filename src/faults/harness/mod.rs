//! What the tests stand on: a Postgres for each test, the server as a process, and a client that speaks HTTP to it.

#[path = "../../tests/harness/directory.rs"]
mod directory;

mod http;
mod people;
mod pgbouncer;
mod postgres;
mod proxy;
mod server;
mod stream;

use std::{fs, io::Write as _, path::PathBuf, sync::LazyLock, time::Duration};

pub use http::{Answer, Credential, Request};
pub use people::{PASSWORD, People, SignedIn, browser_sign_in, desktop_sign_in};
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use proxy::{Fault, Proxy};
pub use server::Server;
pub use stream::EventStream;

/// So long may something take on a machine that is busy with other tests. Nothing is measured by it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// This process's folder, with a small site in it.
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

/// Tells a figure, whether or not the test fails: past the capture of what tests print.
#[expect(clippy::disallowed_methods, reason = "a test has no reader to fail")]
pub fn say(line: &str) {
    drop(writeln!(std::io::stdout().lock(), "  {line}"));
}

/// How many rounds are asked for.
pub fn rounds(unless_said: usize) -> usize {
    let said = std::env::var("PORTAL_TEST_ROUNDS");
    said.map_or(unless_said, |said| {
        said.parse().expect("PORTAL_TEST_ROUNDS is a number")
    })
}

/// Asks again and again until it is so.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, asking).await;
    waited.unwrap_or_else(|_| panic!("it never came to this: {what}"));
}
