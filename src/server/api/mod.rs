//! The JSON API for the desktop and other programs: `/api/v1`.
//!
//! Fields are snake_case, times RFC 3339 UTC, errors problem+json with a stable `code`. To add a route: a file with
//! its types and its handler, a line in [`router`].

mod devices;
mod extract;
mod session_state;
mod sessions;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{delete, get, post},
};

use super::{http::failure::Problem, state::AppState};
use crate::error::AppError;

/// Longest body in bytes: far above any honest one.
const MAX_BODY: usize = 16 * 1024;

/// The API's routes. `session_state` answers at its older address too.
pub fn router() -> Router<AppState> {
    let v1 = Router::new()
        .route(
            "/sessions",
            post(sessions::sign_in)
                .get(sessions::list)
                .delete(sessions::end_many),
        )
        .route("/sessions/{id}", delete(sessions::end_one))
        .route("/session_state", get(session_state::show))
        .route("/devices/heartbeat", post(devices::heartbeat))
        .fallback(|| async { Problem(AppError::NotFound) })
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY));
    Router::new()
        .nest("/api/v1", v1)
        .route("/api/session_state", get(session_state::show))
}

async fn method_not_allowed() -> axum::response::Response {
    use axum::response::IntoResponse;
    let mut response = Problem(AppError::NotFound).into_response();
    *response.status_mut() = axum::http::StatusCode::METHOD_NOT_ALLOWED;
    response
}
