//! One span per request, with an id that the response also contains, so that a user can report it to an operator.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use opentelemetry::context::FutureExt as _;
use tracing::{Instrument, field};
use uuid::Uuid;

use crate::server::state::AppState;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Assigns the request its id and span. Ignores an id from the client, which could be any text.
pub async fn log_request(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let id = Uuid::new_v4().to_string();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let method = request.method().clone();
    // Without the query, which can hold `next=` and, from careless clients, secrets.
    let span = tracing::info_span!(
        "request",
        id,
        %method,
        path = request.uri().path(),
        route = route.as_deref(),
        user = field::Empty,
        session = field::Empty,
        trace = field::Empty,
    );
    let trace = state
        .traces
        .start_request(&method, route.as_deref(), &id, request.headers());
    if let Some(id) = trace.id() {
        span.record("trace", id);
    }
    let within = trace.context();
    // "Not ready" is the expected response to a probe, not a failed request.
    let is_probe = request.uri().path() == "/readyz";
    let started = Instant::now();
    async move {
        let mut response = next.run(request).await;
        let duration = started.elapsed();
        state
            .metrics
            .record_request(&method, route.as_deref(), response.status(), duration);
        trace.finish(response.status());
        let status = response.status().as_u16();
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if response.status().is_server_error() && !is_probe {
            tracing::error!(status, microseconds, "request failed");
        } else {
            tracing::debug!(status, microseconds, "request handled");
        }
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID.clone(), id);
        }
        response
    }
    .with_context(within)
    .instrument(span)
    .await
}
