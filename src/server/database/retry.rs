//! Repeats a transaction that the database aborted in favour of another one.

use super::{committed_changes, failure::is_conflict};
use crate::error::AppError;

const MAX_ATTEMPTS: u32 = 5;

/// Why a transaction failed.
#[derive(Debug)]
pub enum TransactionError {
    /// The database aborted it in favour of another transaction. It can be repeated.
    Conflict(sqlx::Error),
    Permanent(AppError),
}

impl From<sqlx::Error> for TransactionError {
    fn from(error: sqlx::Error) -> Self {
        if is_conflict(&error) {
            TransactionError::Conflict(error)
        } else {
            TransactionError::Permanent(error.into())
        }
    }
}

impl From<AppError> for TransactionError {
    fn from(error: AppError) -> Self {
        TransactionError::Permanent(error)
    }
}

/// Runs a transaction, and repeats it after a conflict.
///
/// # Errors
/// The error of the transaction; [`AppError::Unavailable`] after too many conflicts.
pub async fn retry_on_conflict<T, F>(mut transaction: impl FnMut() -> F) -> Result<T, AppError>
where
    F: Future<Output = Result<T, TransactionError>>,
{
    for _ in 0..MAX_ATTEMPTS {
        match transaction().await {
            Err(TransactionError::Conflict(error)) => tracing::warn!(%error, "deadlock, retrying"),
            Err(TransactionError::Permanent(error)) => return Err(error),
            Ok(result) => return Ok(result),
        }
    }
    Err(committed_changes::unavailable_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn repeated_conflicts_end_in_unavailable() {
        for (conflicts, expected) in [
            (MAX_ATTEMPTS - 1, Ok(())),
            (MAX_ATTEMPTS, Err(AppError::Unavailable)),
        ] {
            let mut attempts = 0;
            let result = retry_on_conflict(|| {
                attempts += 1;
                let is_conflict = attempts <= conflicts;
                async move {
                    if is_conflict {
                        Err(TransactionError::Conflict(sqlx::Error::RowNotFound))
                    } else {
                        Ok(())
                    }
                }
            })
            .await;
            assert_eq!((result, attempts), (expected, MAX_ATTEMPTS), "{conflicts}");
        }
    }

    #[tokio::test]
    async fn other_errors_are_not_repeated() {
        let mut attempts = 0;
        let result = retry_on_conflict(|| {
            attempts += 1;
            async { Err::<(), _>(AppError::Forbidden.into()) }
        })
        .await;
        assert_eq!((result, attempts), (Err(AppError::Forbidden), 1));
    }
}
