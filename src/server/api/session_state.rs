//! `GET /api/v1/session_state`: is my session live? Not activity.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::SignedIn;
use crate::{
    domain::{ids::SessionId, organization::Organization, session::ClientKind, time::wire, user::User},
    server::{
        auth::current_session::CurrentSession, http::failure::ProblemBody, services::step_up, state::AppState,
    },
};

/// The answer for a live session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionState {
    authenticated: bool,
    session: SessionTimes,
    user: User,
    organization: Option<Organization>,
    #[serde(with = "wire")]
    server_time: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
struct SessionTimes {
    id: SessionId,
    kind: ClientKind,
    /// When it is over whatever happens.
    #[serde(with = "wire")]
    expires_at: DateTime<Utc>,
    /// When it is over unless the person does something.
    #[serde(with = "wire")]
    idle_expires_at: DateTime<Utc>,
    #[serde(with = "wire")]
    last_active_at: DateTime<Utc>,
    /// Sensitive actions would ask for the password.
    reauth_required: bool,
}

impl SessionState {
    /// The state of a live session.
    pub fn of(session: &CurrentSession, state: &AppState) -> Self {
        Self {
            authenticated: true,
            session: SessionTimes {
                id: session.id,
                kind: session.kind,
                expires_at: session.lifetime_expires_at,
                idle_expires_at: session.idle_expires_at,
                last_active_at: session.last_active_at,
                reauth_required: step_up::is_required(state, session),
            },
            user: session.user.clone(),
            organization: session.organization.clone(),
            server_time: state.clock.now(),
        }
    }
}

/// Is my session live? Not activity: asking does not move the idle end.
#[utoipa::path(get, path = "/session_state", tag = "session", responses(
    (status = 200, description = "The session is live.", body = SessionState),
    (status = 401, description = "`session_ended` with the reason; `unknown` for no credential, one that was never \
        ours, one that was replaced, and an access token that has run out: a desktop tries to refresh then.",
        body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn show(State(state): State<AppState>, SignedIn(session): SignedIn) -> Json<SessionState> {
    Json(SessionState::of(&session, &state))
}
