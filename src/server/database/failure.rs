//! Maps failed statements to the errors that callers see.

use std::{fmt, io, time::Duration};

use super::committed_changes;
use crate::error::AppError;

/// Why a database is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteRefusal {
    /// It is a standby.
    InRecovery,
    /// `default_transaction_read_only` is on.
    ReadOnly,
}

impl fmt::Display for WriteRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WriteRefusal::InRecovery => "is a standby (in recovery), where revocations arrive late",
            WriteRefusal::ReadOnly => "is read-only (default_transaction_read_only is on)",
        })
    }
}

/// Why we gave up on a connection. Carried by [`sqlx::Error::Io`], since it is not a response of the database.
#[derive(Debug, thiserror::Error)]
pub(super) enum AbandonReason {
    #[error("no response within {} ms", .0.as_millis())]
    DeadlineMissed(Duration),
    #[error("the response to a commit was lost, and its outcome could not be verified")]
    OutcomeUnknown,
    #[error("the database {0}")]
    Refused(WriteRefusal),
}

impl From<AbandonReason> for sqlx::Error {
    fn from(abandoned: AbandonReason) -> Self {
        sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, abandoned))
    }
}

impl AbandonReason {
    pub fn of(error: &sqlx::Error) -> Option<&Self> {
        let sqlx::Error::Io(error) = error else {
            return None;
        };
        error.get_ref()?.downcast_ref()
    }
}

/// Returns whether the connection is broken, so that nothing sent on it can have been handled.
pub fn is_broken_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // Class 57P: the server is stopping or starting. Class 08: a pooler has lost its server.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("57P") || code.starts_with("08")),
        _ => false,
    }
}

/// Returns whether the database accepts no writes, like a standby.
pub fn is_read_only(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some("25006"))
}

/// Returns whether the transaction conflicted with another one: a deadlock or a serialisation failure.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().is_some_and(|code| ["40P01", "40001"].contains(&&*code)))
}

/// Returns whether the database failed, and not our statement.
fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // 08, 28, 3D: no access. 53: out of resources, such as disk or connections. 55: lock timeout, or no
            // connections accepted. 57: cancelled or shutting down. 58: system error. 25006: read-only. 40: retry.
            ["08", "28", "3D", "53", "55", "57", "58", "25006", "40"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        other => is_broken_connection(other),
    }
}

impl From<sqlx::Error> for AppError {
    /// Logs the failure in the request's span and returns an error without internal details.
    fn from(error: sqlx::Error) -> Self {
        if matches!(AbandonReason::of(&error), Some(AbandonReason::OutcomeUnknown)) {
            tracing::error!(%error, "commit outcome unknown");
            AppError::OutcomeUnknown
        } else if is_outage(&error) {
            tracing::warn!(%error, "database unavailable");
            committed_changes::unavailable_error()
        } else {
            tracing::error!(%error, "statement failed");
            AppError::Internal
        }
    }
}
