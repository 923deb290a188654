//! All SQL. Functions take `&mut Connection`, so that the caller owns the transaction, and `now`, so that nothing here
//! reads a clock.
//!
//! Lookups return an `Option`; writes return how much they changed. Every statement is checked at build time against
//! `migrations/` (run `make queries` after a change). There is one file per table or view. To add one, add the file and
//! a line below; row structs stay private.
//!
//! *Live* is defined in one place: `live_until` of the view `session_state`.

pub mod alert_deliveries;
pub mod alerts;
pub mod audit;
pub mod audit_chain;
pub mod audit_log;
pub mod caller_transaction;
pub mod cursor;
pub mod devices;
pub mod events;
pub mod flash;
pub mod foreign_ids;
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
pub mod security_notices;
pub mod seed;
pub mod session_data;
pub mod session_list;
pub mod session_samples;
pub mod sessions;
pub mod statistics;
pub mod timeline;
pub mod users;

use std::net::IpAddr;

use ipnet::IpNet;

/// Returns a LIKE pattern that matches `text` anywhere, with its special characters escaped. Apply SQL `lower` to
/// pattern and column: the database and Rust differ for some letters.
fn like_pattern(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

/// Parses a network; an address is a network of its own.
fn parse_network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address)
}
