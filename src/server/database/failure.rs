//! What a failed statement means to whoever asked.

use std::{io, time::Duration};

use super::{changes, checks::Refusal};
use crate::error::AppError;

/// Why this side gave up on a connection. Travels as [`sqlx::Error::Io`], for it is no answer of the database.
#[derive(Debug, thiserror::Error)]
pub(super) enum Abandoned {
    #[error("no answer within {} ms", .0.as_millis())]
    DeadlineMissed(Duration),
    #[error("the answer to a commit was lost, and its outcome could not be verified")]
    OutcomeUnknown,
    #[error("the database {0}")]
    Refused(Refusal),
}

impl From<Abandoned> for sqlx::Error {
    fn from(abandoned: Abandoned) -> Self {
        sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, abandoned))
    }
}

impl Abandoned {
    pub fn of(error: &sqlx::Error) -> Option<&Self> {
        let sqlx::Error::Io(error) = error else {
            return None;
        };
        error.get_ref()?.downcast_ref()
    }
}

/// The connection itself is gone, so that nothing sent on it can have been answered.
pub fn is_broken_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // Class 57P: the server is going down, or is not up yet. 08: so says a pooler that has lost its server.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("57P") || code.starts_with("08")),
        _ => false,
    }
}

/// The database takes no writes, as a standby.
pub fn is_read_only(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("25006"))
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
        if matches!(Abandoned::of(&error), Some(Abandoned::OutcomeUnknown)) {
            tracing::error!(%error, "commit outcome unknown");
            AppError::OutcomeUnknown
        } else if is_outage(&error) {
            tracing::warn!(%error, "the database did not answer");
            changes::unavailable()
        } else {
            tracing::error!(%error, "a statement failed");
            AppError::Internal
        }
    }
}
