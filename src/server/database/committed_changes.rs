//! Tracks whether the current request has committed a change. A later failure must not claim that nothing was changed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::error::AppError;

tokio::task_local! {
    static HAS_COMMITTED: Arc<AtomicBool>;
}

/// Runs a request and tracks its commits.
pub async fn track<T>(request: impl Future<Output = T>) -> T {
    HAS_COMMITTED.scope(Arc::default(), request).await
}

/// Keeps tracking in a part of the request that runs as its own task.
pub fn track_task<T>(part: impl Future<Output = T>) -> impl Future<Output = T> {
    let request = HAS_COMMITTED.try_with(Arc::clone).unwrap_or_default();
    HAS_COMMITTED.scope(request, part)
}

/// Records that the current request has committed a change.
pub(super) fn record_commit() {
    // Not set in jobs and commands, where no user waits for a response.
    _ = HAS_COMMITTED.try_with(|committed| committed.store(true, Ordering::Relaxed));
}

/// Returns whether the request has committed a change. Outside a request: no.
pub fn has_committed() -> bool {
    let has_committed = HAS_COMMITTED.try_with(|committed| committed.load(Ordering::Relaxed));
    has_committed.unwrap_or(false)
}

/// Returns the error for a failed database: [`AppError::Unavailable`], which claims that nothing was changed, only if
/// that is true.
pub fn unavailable_error() -> AppError {
    if has_committed() {
        AppError::OutcomeUnknown
    } else {
        AppError::Unavailable
    }
}
