//! What a failed statement means to whoever asked.

use crate::error::AppError;

/// The connection itself is gone, so that nothing sent on it can have been answered.
pub fn is_broken_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // Class 57P: the server is going down, or is not up yet.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

/// The database gave up on the transaction in favour of another one: a deadlock, or a failed serialisation.
pub fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().is_some_and(|code| ["40P01", "40001"].contains(&&*code)))
}

/// Whether the database is in trouble, rather than our statement wrong.
fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // 08, 28, 3D: nobody gets in; 53: out of resources, disk and connections among them; 55: a lock did not come
            // in time, or no connections are taken; 57: cancelled or shutting down; 58: its system failed; 25006:
            // read-only, as a standby is; 40: try again.
            ["08", "28", "3D", "53", "55", "57", "58", "25006", "40"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        other => is_broken_connection(other),
    }
}

impl From<sqlx::Error> for AppError {
    /// Logs the failure, under the request's span with its ids, and says only what the caller may know.
    fn from(error: sqlx::Error) -> Self {
        if is_outage(&error) {
            tracing::warn!(%error, "the database did not answer");
            AppError::Unavailable
        } else {
            tracing::error!(%error, "a statement failed");
            AppError::Internal
        }
    }
}
