//! `/api/v1/sessions`: sign-in of desktop apps; lists and revokes the caller's sessions.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    extract::{JsonBody, RequestClient, SignedIn},
    tokens::Tokens,
};
use domain::{
    ids::SessionId,
    plain_text::{TextProblem, clean_name, parse_name},
    session::{RevokeScope, Session},
};

use crate::{
    error::{AppError, Resource},
    server::{
        http::error_response::{Problem, ProblemBody},
        services::{
            dashboard, rate_limit, reauthentication, revoke,
            sign_in::{self, SignInAttempt},
        },
        state::AppState,
        store::devices::DeviceDetails,
    },
};

#[derive(Deserialize, ToSchema)]
pub struct SignInBody {
    email: String,
    password: String,
    /// Required after `password_change_required`.
    new_password: Option<String>,
    device: Device,
}

/// The description of a desktop app.
#[derive(Deserialize, ToSchema)]
struct Device {
    /// An id that the app has chosen, the same at each sign-in.
    device_id: String,
    device_name: String,
    os: String,
    platform: String,
    app_version: Option<String>,
}

impl Device {
    /// Validates the id and cleans the other texts, which are only shown: an odd computer name must not prevent a sign-in.
    fn read(self) -> Result<Self, AppError> {
        let app_version = self.app_version.filter(|version| !version.trim().is_empty());
        Ok(Self {
            device_id: text("device.device_id", &self.device_id, 128, parse_name)?,
            device_name: text("device.device_name", &self.device_name, 120, clean_name)?,
            os: text("device.os", &self.os, 80, clean_name)?,
            platform: text("device.platform", &self.platform, 80, clean_name)?,
            app_version: app_version
                .map(|version| text("device.app_version", &version, 40, clean_name))
                .transpose()?,
        })
    }

    fn facts(&self) -> DeviceDetails<'_> {
        DeviceDetails {
            device_id: &self.device_id,
            device_name: &self.device_name,
            os: &self.os,
            platform: &self.platform,
            app_version: self.app_version.as_deref(),
        }
    }
}

fn text(
    field: &str,
    text: &str,
    most: usize,
    read: fn(&str, usize) -> Result<String, TextProblem>,
) -> Result<String, AppError> {
    read(text, most).map_err(|problem| {
        AppError::invalid_input(
            field,
            format!("The text {problem}. Send 1 to {most} visible characters."),
        )
    })
}

/// Signs in a desktop app and registers the device. Revokes a previous session of this device.
#[utoipa::path(post, path = "/sessions", tag = "sessions", request_body = SignInBody, security(()), responses(
    (status = 201, description = "Signed in.", body = Tokens),
    (status = 401, description = "`invalid_credentials`: wrong password, unknown email or disabled account",
        body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "`password_change_required`: the password is right; also send `new_password`",
        body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "`invalid_input` with the field, or `unsuitable_password`", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 429, description = "`too_many_attempts` with `Retry-After`", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 503, description = "`busy` or `unavailable` with `Retry-After`", body = ProblemBody,
        content_type = "application/problem+json"),
))]
pub async fn sign_in(
    State(state): State<AppState>,
    RequestClient(client): RequestClient,
    JsonBody(body): JsonBody<SignInBody>,
) -> Result<(StatusCode, Json<Tokens>), Problem> {
    let device = body.device.read()?;
    let attempt = SignInAttempt {
        email: body.email,
        password: body.password,
        new_password: body.new_password,
    };
    let signed_in = sign_in::sign_in_desktop(&state, attempt, &client, &device.facts()).await?;
    let tokens = Tokens::from_sign_in(signed_in, state.clock.now());
    Ok((StatusCode::CREATED, Json(tokens)))
}

/// The caller's live sessions, most recently active first. Exactly one is current.
#[derive(Serialize, ToSchema)]
pub struct SessionList {
    sessions: Vec<Session>,
}

/// Lists the caller's live sessions, most recently active first.
#[utoipa::path(get, path = "/sessions", tag = "sessions", responses(
    (status = 200, description = "The list.", body = SessionList),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
) -> Result<Json<SessionList>, Problem> {
    Ok(Json(SessionList {
        sessions: dashboard::list_sessions(&state, &caller).await?,
    }))
}

/// Revokes one of the caller's live sessions.
#[utoipa::path(delete, path = "/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "A session id from the list.")),
    responses(
        (status = 204, description = "Revoked: no node accepts its credentials any more."),
        (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`reauth_required`: required except for the caller's own session",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: not a live session of the caller", body = ProblemBody,
            content_type = "application/problem+json"),
        (status = 429, description = "`too_many_attempts`: too many refused requests", body = ProblemBody,
            content_type = "application/problem+json"),
    ))]
pub async fn revoke_one(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    RequestClient(client): RequestClient,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = id.parse::<SessionId>();
    if id.as_ref().ok() != Some(&caller.id) {
        _ = reauthentication::require_recent_check(&state, &caller, None, &client).await?;
    }
    let ended = match id {
        Ok(id) => {
            let (scope, ip_address) = (RevokeScope::One(id), Some(client.ip_address));
            revoke::revoke_own(&state.database, &state.clock, &caller, scope, ip_address).await
        }
        Err(_) => Err(AppError::NotFound(Resource::Session)),
    };
    ended.map_err(|error| rate_limit::count_refusal(&state, caller.user.id, client.ip_address, error))?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RevokeScopeQuery {
    /// `current`, `others` or `all`. Required.
    #[param(required = true)]
    scope: Option<String>,
}

/// The number of revoked sessions.
#[derive(Serialize, ToSchema)]
pub struct EndedCount {
    ended: usize,
}

/// Revokes several of the caller's live sessions.
#[utoipa::path(delete, path = "/sessions", tag = "sessions", params(RevokeScopeQuery), responses(
    (status = 200, description = "Revoked, all in one transaction.", body = EndedCount),
    (status = 400, description = "`invalid_scope`: missing or unknown; nothing was revoked", body = ProblemBody,
        content_type = "application/problem+json"),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "`reauth_required`: required except for `current`",
        body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn revoke_many(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    RequestClient(client): RequestClient,
    query: Result<Query<RevokeScopeQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<EndedCount>, Problem> {
    let scope = query.ok().and_then(|Query(many)| many.scope);
    let scope = match scope.as_deref() {
        Some("current") => RevokeScope::Current,
        Some("others") => RevokeScope::Others,
        Some("all") => RevokeScope::All,
        _ => return Err(AppError::InvalidScope.into()),
    };
    if scope != RevokeScope::Current {
        _ = reauthentication::require_recent_check(&state, &caller, None, &client).await?;
    }
    let ip_address = Some(client.ip_address);
    let ended = revoke::revoke_own(&state.database, &state.clock, &caller, scope, ip_address).await?;
    Ok(Json(EndedCount { ended: ended.len() }))
}
