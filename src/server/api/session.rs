//! `/api/v1/session`: the caller's own session is extended, and its password check renewed.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tower_sessions::Session as CookieSession;

use super::{
    extract::{Body, From, SignedIn},
    session_state::SessionState,
};
use crate::{
    domain::{session::ClientKind, time::wire},
    server::{
        auth::{current_session::CurrentSession, session_store},
        http::failure::Problem,
        services::{extend, step_up},
        state::AppState,
    },
};

/// The person is here: the idle end moves, never past the lifetime.
pub async fn extend(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
) -> Result<Json<SessionState>, Problem> {
    let extended = extend::extend(&state, &caller).await?;
    Ok(Json(SessionState::of(&extended, &state)))
}

#[derive(Deserialize)]
pub struct Reauthenticate {
    password: String,
}

/// The session's state after a new password check, and its new credential.
#[derive(Serialize)]
pub struct Reauthenticated {
    #[serde(flatten)]
    state: SessionState,
    /// The desktop's new access token; the old one is refused. A browser gets a new cookie instead.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    token: Option<NewAccessToken>,
}

#[derive(Serialize)]
struct NewAccessToken {
    access_token: String,
    /// Seconds until it stops.
    expires_in: i64,
    #[serde(with = "wire")]
    expires_at: DateTime<Utc>,
}

/// Renews the password check, and with it the credential: 200, or 401 for a wrong password.
pub async fn reauthenticate(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    cookie: CookieSession,
    from: From,
    Body(body): Body<Reauthenticate>,
) -> Result<Json<Reauthenticated>, Problem> {
    let rotated = step_up::renew(&state, &caller, body.password, &from.0).await?;
    let now = state.clock.now();
    let token = match caller.kind {
        ClientKind::Browser => {
            session_store::adopt(&cookie, &rotated.credential, rotated.lasts).await?;
            None
        }
        ClientKind::Desktop => Some(NewAccessToken {
            access_token: rotated.credential.reveal(),
            expires_in: rotated.lasts.num_seconds(),
            expires_at: now + rotated.lasts,
        }),
    };
    let checked = CurrentSession {
        authenticated_at: now,
        ..(*caller).clone()
    };
    Ok(Json(Reauthenticated {
        state: SessionState::of(&checked, &state),
        token,
    }))
}
