//! `GET /api/v1/session_state`: is my session live? Not activity.

use axum::{Json, extract::State};

use super::extract::SignedIn;
use domain::session_state::SessionState;

use crate::server::{http::error_response::ProblemBody, services::session_state, state::AppState};

/// Is my session live? Not activity: asking does not move the idle end.
#[utoipa::path(get, path = "/session_state", tag = "session", responses(
    (status = 200, description = "The session is live.", body = SessionState),
    (status = 401, description = "`session_ended` with the reason; `unknown` for no credential, one that was never \
        ours, one that was replaced, and an access token that has run out: a desktop tries to refresh then.",
        body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn show(State(state): State<AppState>, SignedIn(session): SignedIn) -> Json<SessionState> {
    Json(session_state::build(&state, &session))
}
