//! Why the database cannot be used at the start.

use super::failure::WriteRefusal;

/// Why the database cannot be used. Its Display is one line.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("not usable: {0}")]
    Address(String),
    #[error("{0}")]
    Connect(String),
    #[error("the database {0}. Lead DATABASE_URL to the primary")]
    Refused(WriteRefusal),
    #[error(
        "it leads through a pooler in transaction mode (PgBouncer: pool_mode = transaction or statement), which loses \
         LISTEN, time limits and the server's role. Use session mode (pool_mode = session), or connect to Postgres itself"
    )]
    TransactionPooling,
    #[error("a setting is not in force after it was set: {0}. Is a pooler between that changes statements?")]
    NotInForce(String),
    #[error("the database cannot be reached: {0}")]
    Unreachable(sqlx::Error),
    #[error("Postgres 15 or newer is needed; this one is version {0}")]
    TooOld(i32),
    #[error("the database cannot be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("the server's rights in the database cannot be set: {0}")]
    Rights(sqlx::Error),
}
