//! What a desktop holds: an access token for its requests and a refresh token for the next one.

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

/// A desktop's credentials. Each access token and each refresh token is replaced by the next answer like this.
#[derive(Serialize, ToSchema)]
pub struct Tokens {
    pub session_id: SessionId,
    pub access_token: String,
    pub refresh_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Seconds until the access token stops.
    pub expires_in: i64,
    /// When the access token stops.
    #[serde(with = "wire")]
    pub expires_at: DateTime<Utc>,
    pub user: User,
    /// Sessions that were signed out for this one, because the role allows no more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signed_out: Vec<SessionId>,
}

impl Tokens {
    /// What a sign-in has given.
    pub fn from_sign_in(began: DesktopSignIn, now: DateTime<Utc>) -> Self {
        Self {
            session_id: began.session,
            access_token: began.access_token.reveal(),
            refresh_token: began.refresh_token.reveal(),
            token_type: "Bearer",
            expires_in: i64::try_from(began.access_token_lifetime.as_secs()).unwrap_or(i64::MAX),
            expires_at: now + began.access_token_lifetime,
            user: began.user,
            signed_out: began.signed_out,
        }
    }
}

#[derive(Deserialize, ToSchema)]
pub struct RefreshBody {
    refresh_token: String,
}

/// Exchanges the refresh token for new tokens. The one shown is good no more; shown again it ends the session, unless
/// the answer was lost: for 30 seconds, and until the new refresh token is used, the same tokens come back.
#[utoipa::path(post, path = "/sessions/refresh", tag = "sessions", request_body = RefreshBody, security(()), responses(
    (status = 200, description = "New tokens; the old ones are refused.", body = Tokens),
    (status = 401, description = "`invalid_grant`: unknown, used before, or of a session that is over. Sign in again.",
        body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "`invalid_input`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "`too_many_attempts` with `Retry-After`: the tokens stay as they are",
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
