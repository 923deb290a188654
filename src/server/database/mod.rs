//! The connection to Postgres: pool, migrations, server role and private cluster.
//!
//! The rest of the server uses [`Database`]. The statements are in `store`.

#![expect(clippy::disallowed_types, reason = "deadlines are added here")]

pub mod committed_changes;
mod connect_error;
mod connection;
mod connection_checks;
mod connector;
mod error;
mod failure;
mod listener;
mod migrations;
mod outcome;
mod pool;
mod retry;
mod server_role;
mod session_settings;
mod time_sample;
mod transaction;

pub use connection::{Connection, LeasedConnection};
pub use error::DatabaseError;
pub use failure::WriteRefusal;
pub use listener::Listener;
pub use pool::{Database, PoolUsage};
pub use retry::{TransactionError, retry_on_conflict};
pub use server_role::SERVER_ROLE;
pub use transaction::Transaction;
