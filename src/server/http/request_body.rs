//! A request is looked at once all of it is there.
//!
//! Who is asking is decided after the body has come: a body held back could otherwise carry a session's rights past its
//! end. And a client that sends too much or too slowly is told so instead of holding a place.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::Method,
    middleware::Next,
    response::Response,
};
use tokio::time::timeout;

use super::error_response::ErrorFormat;
use crate::{error::AppError, server::database::committed_changes};

/// Longest body in bytes, of a server function and of the API: far above any honest one.
pub const MAX_BODY: usize = 64 * 1024;

/// How long a body may take to come.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// How long an answer may take: longer than any statement or lock is given, so that it is cut off only where the
/// database does not even say no.
const RESPONSE_DEADLINE: Duration = Duration::from_secs(12);

/// Reads the body, then lets the request in, and gives up on an answer that does not come.
pub async fn read_body(request: Request, next: Next) -> Response {
    let failure = ErrorFormat::of(&request);
    let (parts, body) = request.into_parts();
    if parts.method == Method::CONNECT {
        return failure.respond(&AppError::Forbidden);
    }
    let is_read = parts.method.is_safe();
    let refused = |problem: &str| failure.respond(&AppError::invalid_input("body", problem));
    let bytes = match timeout(BODY_DEADLINE, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return refused("The body is too long, or was cut off."),
        Err(_) => return refused("The body took too long to come."),
    };
    match timeout(
        RESPONSE_DEADLINE,
        committed_changes::track(next.run(Request::from_parts(parts, Body::from(bytes)))),
    )
    .await
    {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("a request was given up: the database does not answer, nor refuse");
            let error = if is_read {
                AppError::Unavailable
            } else {
                // Its commit may be on the way.
                AppError::OutcomeUnknown
            };
            failure.respond(&error)
        }
    }
}
