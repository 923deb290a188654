//! `GET /api/v1/session_state`: is my session live? Not activity.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::extract::SignedIn;
use crate::{
    domain::{ids::SessionId, organization::Organization, session::ClientKind, time::wire, user::User},
    server::{auth::current_session::CurrentSession, services::step_up, state::AppState},
};

/// The answer for a live session.
#[derive(Debug, Serialize)]
pub struct SessionState {
    authenticated: bool,
    session: SessionTimes,
    user: User,
    organization: Option<Organization>,
    #[serde(with = "wire")]
    server_time: DateTime<Utc>,
}

#[derive(Debug, Serialize)]
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

/// 200 with the state, or 401 `session_ended` with the reason.
pub async fn show(State(state): State<AppState>, SignedIn(session): SignedIn) -> Json<SessionState> {
    Json(SessionState::of(&session, &state))
}
