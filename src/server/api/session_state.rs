//! `GET /api/v1/session_state`: whether the caller's session is live.

use axum::{Json, extract::State};

use super::extract::SignedIn;
use domain::session_state::SessionState;

use crate::server::{http::error_response::ProblemBody, services::session_state, state::AppState};

/// Returns the state of the caller's session. Not activity: the request does not move the idle timeout.
#[utoipa::path(get, path = "/session_state", tag = "session", responses(
    (status = 200, description = "The session is live.", body = SessionState),
    (status = 401, description = "`session_ended` with the reason; `unknown` for no credential, one that was never \
        ours, one that was replaced, and an access token that has run out: a desktop tries to refresh then.",
        body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn show(State(state): State<AppState>, SignedIn(session): SignedIn) -> Json<SessionState> {
    Json(session_state::build(&state, &session))
}
