//! `POST /api/v1/devices/heartbeat`: a desktop app reports its presence.

use axum::{extract::State, http::StatusCode};

use super::extract::SignedIn;
use domain::session::ClientKind;

use crate::{
    error::AppError,
    server::{
        http::error_response::{Problem, ProblemBody},
        state::AppState,
        store::{caller_transaction::CallerTransaction, devices},
    },
};

/// Records that the desktop app is running. Not activity: an open laptop does not keep a session alive.
#[utoipa::path(post, path = "/devices/heartbeat", tag = "devices", responses(
    (status = 204, description = "Noted."),
    (status = 401, description = "`session_ended`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "`forbidden`: a browser has no device", body = ProblemBody,
        content_type = "application/problem+json"),
))]
pub async fn heartbeat(
    State(state): State<AppState>,
    SignedIn(session): SignedIn,
) -> Result<StatusCode, Problem> {
    if session.kind != ClientKind::Desktop {
        return Err(AppError::Forbidden.into());
    }
    let begun = CallerTransaction::begin(&state.database, &state.clock, &session, None).await;
    let mut tx = begun.map_err(AppError::from)?;
    let beat = async {
        devices::record_heartbeat(&mut tx).await?;
        tx.commit().await
    };
    beat.await.map_err(AppError::from)?;
    Ok(StatusCode::NO_CONTENT)
}
