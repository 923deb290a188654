//! The session state for clients.

use super::reauthentication;
use domain::session_state::{SessionState, SessionTimes};

use crate::server::{auth::current_session::CurrentSession, state::AppState};

/// Builds the state of a live session, with activity that this node has not written yet.
pub fn build(state: &AppState, session: &CurrentSession) -> SessionState {
    let mut session = session.clone();
    if let Some(active) = state.activity.last_active(session.id) {
        session.record_activity(active);
    }
    SessionState {
        authenticated: true,
        session: SessionTimes {
            id: session.id,
            kind: session.kind,
            created_at: session.created_at,
            expires_at: session.lifetime_expires_at,
            idle_expires_at: session.idle_expires_at,
            last_active_at: session.last_active_at,
            reauth_required: reauthentication::is_required(state, &session),
            warning_seconds: state.config.warning_seconds,
        },
        user: session.user,
        organization: session.organization,
        server_time: state.clock.now(),
        event_number: session.event_number,
    }
}
