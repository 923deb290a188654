//! The connection to Postgres: the pool, the migrations, the private cluster.
//!
//! [`Database`] is what the rest of the server holds. What the statements say is the business of `store`.

pub mod cluster;
mod failure;
mod pool;

pub use pool::{Database, DatabaseError};
