//! Whether the request at hand has changed something already: a later failure must not say that nothing was changed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::error::AppError;

tokio::task_local! {
    static HAS_COMMITTED: Arc<AtomicBool>;
}

/// Runs a request, and keeps in mind what it commits.
pub async fn track<T>(request: impl Future<Output = T>) -> T {
    HAS_COMMITTED.scope(Arc::default(), request).await
}

/// Runs a part of this request that becomes a task of its own.
pub fn track_part<T>(part: impl Future<Output = T>) -> impl Future<Output = T> {
    let request = HAS_COMMITTED.try_with(Arc::clone).unwrap_or_default();
    HAS_COMMITTED.scope(request, part)
}

/// The request has committed a change.
pub(super) fn record_commit() {
    // Outside of a request, in a job or a command, nobody asks.
    _ = HAS_COMMITTED.try_with(|committed| committed.store(true, Ordering::Relaxed));
}

/// Whether the request has committed a change. Outside of a request: no.
pub fn has_committed() -> bool {
    let has_committed = HAS_COMMITTED.try_with(|committed| committed.load(Ordering::Relaxed));
    has_committed.unwrap_or(false)
}

/// What to answer when the database fails: [`AppError::Unavailable`], which says that nothing was changed, only while
/// that is true.
pub fn unavailable() -> AppError {
    if has_committed() {
        AppError::OutcomeUnknown
    } else {
        AppError::Unavailable
    }
}
