//! The JSON API for the desktop and other programs: `/api/v1`.
//!
//! Fields are snake_case, times RFC 3339 UTC, errors problem+json with a stable `code`. To add a route: a file with
//! its types and its handler, a line in [`router`].

mod devices;
mod extract;
mod session;
mod session_state;
mod sessions;
mod tokens;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{any, delete, get, post},
};

use super::{
    http::{failure::Problem, whole_body::MAX_BODY},
    state::AppState,
};
use crate::error::AppError;

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
        .route("/sessions/refresh", post(tokens::refresh))
        .route("/session_state", get(session_state::show))
        .route("/session/extend", post(session::extend))
        .route("/session/reauthenticate", post(session::reauthenticate))
        .route("/devices/heartbeat", post(devices::heartbeat))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY));
    Router::new()
        .route("/api/v1", any(not_found))
        .route("/api/v1/", any(not_found))
        .nest("/api/v1", v1)
        .route("/api/session_state", get(session_state::show))
}

async fn not_found() -> Problem {
    Problem(AppError::NotFound)
}

async fn method_not_allowed() -> axum::response::Response {
    use axum::response::IntoResponse;
    let mut response = Problem(AppError::NotFound).into_response();
    *response.status_mut() = axum::http::StatusCode::METHOD_NOT_ALLOWED;
    response
}
