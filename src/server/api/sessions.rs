//! `/api/v1/sessions`: a desktop signs in; a person's sessions are listed and ended.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    extract::{Body, From, SignedIn},
    tokens::Tokens,
};
use crate::{
    domain::{
        ids::SessionId,
        plain_text::is_plain,
        session::{RevokeScope, Session},
    },
    error::AppError,
    server::{
        http::failure::Problem,
        services::{
            dashboard, revoke,
            sign_in::{self, Attempt},
            step_up,
        },
        state::AppState,
        store::devices::DeviceFacts,
    },
};

#[derive(Deserialize)]
pub struct SignIn {
    email: String,
    password: String,
    device: Device,
}

/// What the desktop says of itself.
#[derive(Deserialize)]
struct Device {
    /// Its own name for itself, the same at every sign-in.
    device_id: String,
    device_name: String,
    os: String,
    platform: String,
    app_version: Option<String>,
}

impl Device {
    fn facts(&self) -> Result<DeviceFacts<'_>, AppError> {
        let app_version = self
            .app_version
            .as_deref()
            .filter(|version| !version.trim().is_empty());
        Ok(DeviceFacts {
            device_id: named("device.device_id", &self.device_id, 128)?,
            device_name: named("device.device_name", &self.device_name, 120)?,
            os: named("device.os", &self.os, 80)?,
            platform: named("device.platform", &self.platform, 80)?,
            app_version: app_version
                .map(|version| named("device.app_version", version, 40))
                .transpose()?,
        })
    }
}

/// Text that people will read: not empty, not endless, and without the control characters that could forge a line.
fn named<'a>(field: &str, text: &'a str, most: usize) -> Result<&'a str, AppError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > most || !is_plain(text) {
        return Err(AppError::invalid(
            field,
            format!("Send 1 to {most} characters without control characters."),
        ));
    }
    Ok(text)
}

/// Signs a desktop in: 201 with its tokens, 401 `invalid_credentials`, 422 for a device that says too little.
pub async fn sign_in(
    State(state): State<AppState>,
    from: From,
    Body(body): Body<SignIn>,
) -> Result<(StatusCode, Json<Tokens>), Problem> {
    let facts = body.device.facts()?;
    let attempt = Attempt {
        email: body.email,
        password: body.password,
    };
    let began = sign_in::on_desktop(&state, attempt, &from.0, &facts).await?;
    let tokens = Tokens::of_sign_in(began, state.clock.now());
    Ok((StatusCode::CREATED, Json(tokens)))
}

#[derive(Serialize)]
pub struct List {
    sessions: Vec<Session>,
}

/// The caller's live sessions, most recently active first.
pub async fn list(State(state): State<AppState>, SignedIn(caller): SignedIn) -> Result<Json<List>, Problem> {
    Ok(Json(List {
        sessions: dashboard::list_sessions(&state, &caller).await?,
    }))
}

/// Ends one: 204, 404 for anything that is not the caller's and live, or 403 `reauth_required` for any but the caller's
/// own when the last password check is too long ago.
pub async fn end_one(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    from: From,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = id.parse::<SessionId>();
    if id.as_ref().ok() != Some(&caller.id) {
        _ = step_up::require(&state, &caller, None, &from.0).await?;
    }
    let id = id.map_err(|_| AppError::NotFound)?;
    revoke::end_own(
        &state.database,
        &state.clock,
        &caller,
        RevokeScope::One(id),
        from.actor(&caller),
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub struct Many {
    scope: Option<String>,
}

/// Ends many: 200 with how many. Without a scope that says which, none (400). All but `current` may ask for a new
/// password check (403 `reauth_required`).
pub async fn end_many(
    State(state): State<AppState>,
    SignedIn(caller): SignedIn,
    from: From,
    query: Result<Query<Many>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let scope = query.ok().and_then(|Query(many)| many.scope);
    let scope = match scope.as_deref() {
        Some("current") => RevokeScope::Current,
        Some("others") => RevokeScope::Others,
        Some("all") => RevokeScope::All,
        _ => return Err(AppError::InvalidScope.into()),
    };
    if scope != RevokeScope::Current {
        _ = step_up::require(&state, &caller, None, &from.0).await?;
    }
    let ended = revoke::end_own(&state.database, &state.clock, &caller, scope, from.actor(&caller)).await?;
    Ok(Json(json!({ "ended": ended.len() })))
}
