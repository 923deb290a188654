//! `/api/v1/session`: extends the caller's session and reauthenticates.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tower_sessions::Session as CookieSession;
use utoipa::ToSchema;

use super::extract::{JsonBody, RequestClient, SignedIn};
use domain::{session::ClientKind, session_state::SessionState, time::wire};

use crate::server::{
    auth::current_session::CurrentSession,
    http::{
        error_response::{Problem, ProblemBody},
        session_store,
    },
    services::{extend, reauthentication, session_state},
    state::AppState,
};

/// Records activity of the user: moves the idle timeout, never past the lifetime.
#[utoipa::path(post, path = "/session/extend", tag = "session", responses(
    (status = 200, description = "The extended session.", body = SessionState),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "`too_many_attempts`: the session stays live", body = ProblemBody,
        content_type = "application/problem+json"),
))]
pub async fn extend(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
) -> Result<Json<SessionState>, Problem> {
    let extended = extend::extend_session(&state, &caller).await?;
    Ok(Json(session_state::build(&state, &extended)))
}

#[derive(Deserialize, ToSchema)]
pub struct ReauthenticateBody {
    password: String,
}

/// The session state after reauthentication, with the new credential.
#[derive(Serialize, ToSchema)]
pub struct Reauthenticated {
    #[serde(flatten)]
    state: SessionState,
    /// The desktop's new access token; the old one is refused. A browser gets a new cookie instead.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    token: Option<NewAccessToken>,
}

#[derive(Serialize, ToSchema)]
struct NewAccessToken {
    access_token: String,
    /// Lifetime in seconds.
    expires_in: i64,
    #[serde(with = "wire")]
    expires_at: DateTime<Utc>,
}

/// Checks the password again and replaces the credential. The old one is refused from the response on.
#[utoipa::path(post, path = "/session/reauthenticate", tag = "session", request_body = ReauthenticateBody, responses(
    (status = 200, description = "Reauthenticated. A browser gets a new cookie, a desktop app a new access token.",
        body = Reauthenticated),
    (status = 401, description = "`invalid_credentials` for a wrong password, `session_ended`", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 422, description = "`invalid_input`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "`too_many_attempts`: the session stays live", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 503, description = "`busy` or `unavailable` with `Retry-After`", body = ProblemBody,
        content_type = "application/problem+json"),
))]
pub async fn reauthenticate(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    cookie: CookieSession,
    RequestClient(client): RequestClient,
    JsonBody(body): JsonBody<ReauthenticateBody>,
) -> Result<Json<Reauthenticated>, Problem> {
    let rotated = reauthentication::reauthenticate(&state, &caller, body.password, &client).await?;
    let now = state.clock.now();
    let token = match caller.kind {
        ClientKind::Browser => {
            session_store::set_cookie(&cookie, &rotated.credential, rotated.valid_for).await?;
            None
        }
        ClientKind::Desktop => Some(NewAccessToken {
            access_token: rotated.credential.reveal(),
            expires_in: rotated.valid_for.num_seconds(),
            expires_at: now + rotated.valid_for,
        }),
    };
    let checked = CurrentSession {
        authenticated_at: now,
        ..(*caller).clone()
    };
    Ok(Json(Reauthenticated {
        state: session_state::build(&state, &checked),
        token,
    }))
}
