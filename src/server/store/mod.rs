//! The only room with SQL. Functions take `&mut Connection`, so that their caller owns the transaction, and `now`,
//! so that nothing in here has a clock.
//!
//! A lookup gives an `Option`; a write says how much it touched. Every statement is checked at build time against
//! the schema in `migrations/` (`make queries` after a change). One file a table or a view; to add one: a file, a
//! line below, and its row structs stay inside.
//!
//! *Live* is defined once, by `live_until` of the view `session_state`.

pub mod acting;
pub mod alert_deliveries;
pub mod alerts;
pub mod audit;
pub mod audit_chain;
pub mod audit_export;
pub mod cursor;
pub mod devices;
pub mod events;
pub mod flash;
pub mod foreign_ids;
pub mod insight;
pub mod job_runs;
pub mod known_browsers;
pub mod maintenance;
pub mod networks;
pub mod node_minutes;
pub mod organizations;
pub mod password_attempts;
pub mod people;
pub mod people_list;
pub mod policies;
pub mod refresh_tokens;
pub mod review;
pub mod security_notices;
pub mod seed;
pub mod session_data;
pub mod session_samples;
pub mod sessions;
pub mod timeline;
pub mod users;

use std::net::IpAddr;

use ipnet::IpNet;

/// The text of a column does not fit the domain: the schema's own checks should have kept it out.
fn unreadable<E: std::error::Error + Send + Sync + 'static>(column: &str) -> impl FnOnce(E) -> sqlx::Error {
    move |source| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: Box::new(source),
    }
}

/// The pattern for LIKE that finds a text anywhere; its own signs are taken as they are. To be given to `lower` beside the
/// column: the database and Rust differ in some letters.
fn containing(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

/// The network that is written there; an address is one of its own.
fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address)
}
