//! A panic while a request is answered becomes a 500 with a request id, and never a connection that breaks without a word.
//!
//! Pages are rendered whole before the first byte goes out (`page_threads`), so each panic of one can still become a 500.
//! Only event streams and exports are sent while they are made: a panic there aborts the body, so that nobody takes half
//! of it for the whole. The panic itself is logged by the hook in `telemetry::panics`.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    body::{Body, HttpBody as _},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use futures_util::{FutureExt as _, StreamExt as _};

use super::error_response::ErrorFormat;
use crate::{
    error::AppError,
    server::{
        state::AppState,
        telemetry::metrics::{Metrics, PanicIn},
    },
};

/// Answers a request whose handler panics with 500, in the form that its client reads.
pub async fn catch_panic(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let failure = ErrorFormat::of(&request);
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response.map(|body| abort_on_panic(body, state.metrics.clone())),
        Err(_) => {
            state.metrics.panics.count(PanicIn::Handler);
            failure.respond(&AppError::Internal)
        }
    }
}

/// Runs a task that a request has started. `None`: it panicked.
pub async fn catch_task_panic<T>(metrics: &Metrics, task: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(task).catch_unwind().await;
    done.inspect_err(|_: &Box<dyn Any + Send>| metrics.panics.count(PanicIn::Task))
        .ok()
}

/// A body that is aborted where it panics. Without it, a panic would end the whole HTTP/2 connection, with every other
/// stream on it. One whose length is known is there already.
fn abort_on_panic(body: Body, metrics: Arc<Metrics>) -> Body {
    if body.size_hint().exact().is_some() {
        return body;
    }
    let chunks = AssertUnwindSafe(body.into_data_stream()).catch_unwind();
    Body::from_stream(chunks.map(move |chunk| match chunk {
        Ok(chunk) => chunk,
        Err(_) => {
            metrics.panics.count(PanicIn::Body);
            Err(axum::Error::new("the body panicked"))
        }
    }))
}
