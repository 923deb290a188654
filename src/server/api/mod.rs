//! The JSON API for desktop apps and other programs: `/api/v1`.
//!
//! Fields are snake_case, times RFC 3339 UTC, errors problem+json with a stable `code`. To add a route, write a file with
//! its types and its handler, describe the handler with `utoipa::path`, and add it to [`router`].

mod admin;
mod devices;
mod events;
mod extract;
mod openapi;
mod session;
mod session_state;
mod sessions;
mod tokens;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{any, get},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    http::{error_response::Problem, request_body::MAX_BODY},
    state::AppState,
};
use crate::error::{AppError, Resource};

/// The routes and their OpenAPI description. `session_state` also has an older address.
pub fn router() -> Router<AppState> {
    let v1 = OpenApiRouter::new()
        .routes(routes!(sessions::sign_in, sessions::list, sessions::revoke_many))
        .routes(routes!(sessions::revoke_one))
        .routes(routes!(tokens::refresh))
        .routes(routes!(session_state::show))
        .routes(routes!(events::stream))
        .routes(routes!(session::extend))
        .routes(routes!(session::reauthenticate))
        .routes(routes!(devices::heartbeat))
        .routes(routes!(admin::list_sessions))
        .routes(routes!(admin::export_sessions))
        .routes(routes!(admin::revoke))
        .routes(routes!(admin::list_audit))
        .routes(routes!(admin::export_audit))
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY));
    let (routes, description) = OpenApiRouter::with_openapi(openapi::document())
        .nest("/api/v1", v1)
        .split_for_parts();
    routes
        .route("/api/v1", any(not_found))
        .route("/api/v1/", any(not_found))
        .route("/api/session_state", get(session_state::show))
        .route("/api/openapi.json", get(openapi::serve(description)))
        // Last, since it applies only to routes that exist already.
        .method_not_allowed_fallback(method_not_allowed)
}

async fn not_found() -> Problem {
    Problem(AppError::NotFound(Resource::Address))
}

async fn method_not_allowed() -> Problem {
    Problem(AppError::MethodNotAllowed)
}
