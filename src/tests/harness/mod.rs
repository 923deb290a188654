//! The test harness: one Postgres for the process, a portal with its own database for each test, and users with
//! clients.

mod audit_log;
mod client;
mod cookie_jar;
mod directory;
mod guide;
mod lock;
mod log;
mod portal;
mod postgres;
mod property;
mod records;
mod rendering;
mod response;
mod schema;
mod stream;
mod users;

pub use audit_log::{broker_portal, read_output};
pub use client::{Call, Client};
pub use guide::{GuideStep, Shell, parse_guide};
pub use lock::HeldLock;
pub use log::CapturedLog;
pub use portal::{Node, Portal};
pub use postgres::{Outage, private_cluster, site};
pub use property::for_all;
pub use records::{AuditRow, EventRow};
pub use response::TestResponse;
pub use schema::Description;
pub use stream::{EventStream, StreamEvent};
pub use users::TestUser;

pub use domain::{ids::SessionId, session::EndReason, user::Role};
pub use serde_json::{Value, json};

/// Chrome on Windows
pub const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
/// Firefox on Linux
pub const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// Safari on iOS
pub const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";

/// Returns a duration of this many seconds.
pub fn seconds(count: u64) -> std::time::Duration {
    std::time::Duration::from_secs(count)
}

/// Splits a list of cases.
pub fn words(cases: &'static str) -> std::str::SplitWhitespace<'static> {
    cases.split_whitespace()
}

/// Prepares the process once.
///
/// Keeps every log event enabled for tests that capture the log: tracing would otherwise disable events that the first
/// thread does not subscribe to, for all threads.
fn install_log_subscriber() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry())
            .expect("the first and only one");
    });
}
