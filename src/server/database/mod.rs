//! The connection to Postgres: the pool, the migrations, the server's own role, the private cluster.
//!
//! [`Database`] is what the rest of the server holds. What the statements say is the business of `store`.

pub mod cluster;
mod connect_error;
mod connector;
mod failure;
mod migrations;
mod pool;
mod server_role;
mod session_settings;
mod time_sample;
mod transaction;

pub use failure::is_conflict;
pub use pool::{Connections, Database, DatabaseError};
pub use server_role::SERVER_ROLE;
pub use transaction::Transaction;
