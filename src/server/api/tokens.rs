//! Tokens of desktop apps: an access token for requests and a refresh token for the next pair.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{JsonBody, RequestClient};
use domain::{ids::SessionId, time::wire, user::User};

use crate::{
    error::AppError,
    server::{
        auth::token::PlainToken,
        http::error_response::{Problem, ProblemBody},
        services::{refresh, sign_in::DesktopSignIn},
        state::AppState,
    },
};

/// The credentials of a desktop app. Each refresh replaces both tokens.
#[derive(Serialize, ToSchema)]
pub struct Tokens {
    pub session_id: SessionId,
    pub access_token: String,
    pub refresh_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Lifetime of the access token in seconds.
    pub expires_in: i64,
    /// When the access token expires.
    #[serde(with = "wire")]
    pub expires_at: DateTime<Utc>,
    pub user: User,
    /// Sessions that were revoked by the session limit of the role.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signed_out: Vec<SessionId>,
}

impl Tokens {
    /// The tokens of a new session.
    pub fn from_sign_in(sign_in: DesktopSignIn, now: DateTime<Utc>) -> Self {
        Self {
            session_id: sign_in.session,
            access_token: sign_in.access_token.reveal(),
            refresh_token: sign_in.refresh_token.reveal(),
            token_type: "Bearer",
            expires_in: i64::try_from(sign_in.access_token_lifetime.as_secs()).unwrap_or(i64::MAX),
            expires_at: now + sign_in.access_token_lifetime,
            user: sign_in.user,
            signed_out: sign_in.signed_out,
        }
    }
}

#[derive(Deserialize, ToSchema)]
pub struct RefreshBody {
    refresh_token: String,
}

/// Exchanges the refresh token for new tokens. A second use revokes the session, unless the response was lost: for 30 seconds,
/// and until the new refresh token is used, the same tokens are returned.
#[utoipa::path(post, path = "/sessions/refresh", tag = "sessions", request_body = RefreshBody, security(()), responses(
    (status = 200, description = "New tokens; the old ones are refused.", body = Tokens),
    (status = 401, description = "`invalid_grant`: unknown, used before, or of an ended session. Sign in again.",
        body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "`invalid_input`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "`too_many_attempts` with `Retry-After`: the tokens stay valid",
        body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn refresh(
    State(state): State<AppState>,
    RequestClient(client): RequestClient,
    JsonBody(body): JsonBody<RefreshBody>,
) -> Result<Json<Tokens>, Problem> {
    let token: PlainToken = body.refresh_token.parse().map_err(|_| AppError::InvalidGrant)?;
    let refreshed = refresh::exchange(&state, &token, &client).await;
    if matches!(
        refreshed,
        Ok(_) | Err(AppError::InvalidGrant | AppError::RefreshTokenReused { .. })
    ) {
        state.minutes.refreshed(refreshed.is_ok(), state.clock.now());
    }
    let refreshed = refreshed?;
    Ok(Json(Tokens {
        session_id: refreshed.session,
        access_token: refreshed.access_token.reveal(),
        refresh_token: refreshed.refresh_token.reveal(),
        token_type: "Bearer",
        expires_in: (refreshed.access_token_expires_at - state.clock.now()).num_seconds(),
        expires_at: refreshed.access_token_expires_at,
        user: refreshed.user,
        signed_out: Vec::new(),
    }))
}
