//! `POST /api/v1/devices/heartbeat`: the desktop is there. Not activity: an open laptop keeps no session alive.

use axum::{extract::State, http::StatusCode};

use super::extract::SignedIn;
use crate::{
    domain::session::ClientKind,
    error::AppError,
    server::{http::failure::Problem, state::AppState, store::devices},
};

/// 204; 403 for a browser, which has no device.
pub async fn heartbeat(
    State(state): State<AppState>,
    SignedIn(session): SignedIn,
) -> Result<StatusCode, Problem> {
    if session.kind != ClientKind::Desktop {
        return Err(AppError::Forbidden.into());
    }
    let beat = async {
        let mut tx = state.database.begin().await?;
        devices::heartbeat(&mut tx, session.id, state.clock.now()).await?;
        tx.commit().await
    };
    beat.await.map_err(AppError::from)?;
    Ok(StatusCode::NO_CONTENT)
}
