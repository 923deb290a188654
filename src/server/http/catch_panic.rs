//! Turns a panic during a request into a 500 with a request id, instead of a broken connection.
//!
//! Pages are rendered completely before the first byte is sent (`page_threads`), so a panic in a page also becomes a 500.
//! Only event streams and exports are sent while they are produced. A panic there aborts the body, so that no client
//! mistakes a partial export for a complete one. The hook in `telemetry::panics` logs the panic.

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
        telemetry::{labels::PanicIn, metrics::Metrics},
    },
};

/// Responds with 500 if a handler panics, in the format of the client.
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

/// Runs a task that a request started. `None`: it panicked.
pub async fn catch_task_panic<T>(metrics: &Metrics, task: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(task).catch_unwind().await;
    done.inspect_err(|_: &Box<dyn Any + Send>| metrics.panics.count(PanicIn::Task))
        .ok()
}

/// Aborts a body that panics. Otherwise the panic would close the whole HTTP/2 connection with all its streams. A body of
/// known length is complete and cannot panic.
fn abort_on_panic(body: Body, metrics: Arc<Metrics>) -> Body {
    if body.size_hint().exact().is_some() {
        return body;
    }
    let chunks = AssertUnwindSafe(body.into_data_stream()).catch_unwind();
    Body::from_stream(chunks.map(move |chunk| match chunk {
        Ok(chunk) => chunk,
        Err(_) => {
            metrics.panics.count(PanicIn::Body);
            Err(axum::Error::new("panic in response body"))
        }
    }))
}
