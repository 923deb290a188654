//! Renders each page on one thread.
//!
//! The framework's tasks of one page take two locks in opposite orders: a loaded resource notifies the component that waits
//! for it, while that component drops the resource (`ArcAsyncDerived` and `EffectInner` of reactive_graph 0.2.16). On
//! several threads these tasks can deadlock, and each deadlock blocks a worker thread for ever. All tasks of a page run on
//! the runtime that started it: here a single-threaded one, where no task is interrupted between two locks.

use std::{
    future::pending,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{Builder, available_parallelism},
};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    middleware::Next,
    response::Response,
};
use tokio::runtime::{self, Handle};
use tracing::Instrument as _;

use super::error_response::ErrorFormat;
use crate::{error::AppError, server::database::committed_changes};

/// One runtime per core. They run as long as the process, because database connections stay with the runtime that opened
/// them.
static THREADS: LazyLock<Vec<Handle>> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(2, usize::from);
    (0..cores).filter_map(start).collect()
});

fn start(number: usize) -> Option<Handle> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let started = runtime.and_then(|runtime| {
        let handle = runtime.handle().clone();
        let run = move || runtime.block_on(pending::<()>());
        Builder::new()
            .name(format!("pages-{number}"))
            .spawn(run)
            .map(|_| handle)
    });
    started
        .inspect_err(|error| tracing::error!(%error, "page thread not started"))
        .ok()
}

/// Renders the whole page on one of the threads.
pub async fn render_on_one_thread(request: Request, next: Next) -> Response {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let failure = ErrorFormat::of(&request);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let Some(thread) = turn.checked_rem(THREADS.len()).and_then(|turn| THREADS.get(turn)) else {
        return failure.respond(&AppError::Unavailable);
    };
    let page = async move {
        let (head, body) = next.run(request).await.into_parts();
        match to_bytes(body, usize::MAX).await {
            Ok(body) => Response::from_parts(head, Body::from(body)),
            Err(error) => {
                tracing::error!(%error, "page body failed");
                failure.respond(&AppError::Internal)
            }
        }
    };
    match thread
        .spawn(committed_changes::track_task(page).in_current_span())
        .await
    {
        Ok(response) => response,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process is stopping.
            Err(_) => failure.respond(&AppError::Unavailable),
        },
    }
}
