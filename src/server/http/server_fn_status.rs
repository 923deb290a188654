//! The status of a server function that failed. The framework answers every failure with 500, arguments that do not
//! fit included; here each gets the status of its [`AppError`].

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::Response,
};
use leptos::server_fn::error::SERVER_FN_ERROR_HEADER;

use super::failure;
use crate::error::AppError;

/// Longest error in bytes; ours are far shorter.
const MAX_ERROR: usize = 16 * 1024;

/// Sets it. An error that travels in a redirect, without JavaScript, has the redirect's status and keeps it.
pub async fn set(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let failed = response.headers().contains_key(SERVER_FN_ERROR_HEADER);
    if !failed || response.status() != StatusCode::INTERNAL_SERVER_ERROR {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_ERROR).await else {
        return Response::from_parts(parts, Body::empty());
    };
    let error = serde_json::from_slice(&bytes).unwrap_or(AppError::Internal);
    parts.status = failure::status(&error);
    failure::with_retry(Response::from_parts(parts, Body::from(bytes)), &error)
}
