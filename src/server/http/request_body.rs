//! Reads the whole body before the request is authenticated.
//!
//! Otherwise a client could hold back the body and act with the rights of a session that has ended meanwhile. A client
//! that sends too much or too slowly gets an error and does not keep a connection busy.

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

/// Largest body in bytes, for server functions and the API. Valid requests are far smaller.
pub const MAX_BODY: usize = 64 * 1024;

/// How long a client may take to send the body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// How long a response may take. Longer than the timeouts of statements and locks, so it applies only if the database
/// does not even refuse.
const RESPONSE_DEADLINE: Duration = Duration::from_secs(12);

/// Reads the body, runs the request and limits the time of its response.
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
        Ok(Err(_)) => return refused("The body is too long or incomplete."),
        Err(_) => return refused("The body arrived too slowly."),
    };
    match timeout(
        RESPONSE_DEADLINE,
        committed_changes::track(next.run(Request::from_parts(parts, Body::from(bytes)))),
    )
    .await
    {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("request timed out, database does not respond");
            let error = if is_read {
                AppError::Unavailable
            } else {
                // A commit may be in progress.
                AppError::OutcomeUnknown
            };
            failure.respond(&error)
        }
    }
}
