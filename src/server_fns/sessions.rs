//! The caller's sessions: listed, and ended one by one, but for this one, or all.

use leptos::prelude::*;

use super::wire::TextJson;
use crate::{domain::overview::ActiveSessions, error::AppError};
#[cfg(feature = "ssr")]
use crate::{
    domain::session::RevokeScope,
    server::{
        auth::session_store,
        services::{dashboard, revoke},
    },
    server_fns::border,
};

/// The caller's live sessions, most recently active first.
#[server(ListActiveSessions, prefix = "/api", endpoint = "list_active_sessions", output = TextJson)]
pub async fn list_active_sessions() -> Result<ActiveSessions, AppError> {
    border::answer(async {
        let (state, caller) = (border::state()?, border::signed_in()?);
        let sessions = dashboard::list_sessions(&state, &caller).await?;
        Ok(ActiveSessions {
            sessions,
            server_time: state.clock.now(),
        })
    })
    .await
}

/// Ends one of the caller's sessions, by its id. Anything that is not the caller's and live is "not found".
#[server(RevokeSession, prefix = "/api", endpoint = "revoke_session", output = TextJson)]
pub async fn revoke_session(session_id: String) -> Result<(), AppError> {
    border::answer(async {
        let id = session_id.parse().map_err(|_| AppError::NotFound);
        end(RevokeScope::One(id?)).await?;
        border::then_go_to("/dashboard/settings?done=signed_out_one");
        Ok(())
    })
    .await
}

/// Ends every session of the caller but this one, and gives how many.
#[server(SignOutOtherDevices, prefix = "/api", endpoint = "sign_out_other_devices", output = TextJson)]
pub async fn sign_out_other_devices() -> Result<usize, AppError> {
    border::answer(async {
        let ended = end(RevokeScope::Others).await?;
        border::then_go_to("/dashboard/settings?done=signed_out_others");
        Ok(ended)
    })
    .await
}

/// Ends every session of the caller, this one included, and gives the path to go to.
#[server(SignOutAllDevices, prefix = "/api", endpoint = "sign_out_all_devices", output = TextJson)]
pub async fn sign_out_all_devices() -> Result<String, AppError> {
    const AFTERWARDS: &str = "/login?reason=signed_out_everywhere&by=you";
    border::answer(async {
        end(RevokeScope::All).await?;
        session_store::forget(&border::cookie_session()?).await?;
        border::then_go_to(AFTERWARDS);
        Ok(AFTERWARDS.to_owned())
    })
    .await
}

#[cfg(feature = "ssr")]
async fn end(scope: RevokeScope) -> Result<usize, AppError> {
    let (state, caller) = (border::state()?, border::signed_in()?);
    let actor = border::actor(&caller)?;
    Ok(
        revoke::end_own(&state.database, &state.clock, &caller, scope, actor)
            .await?
            .len(),
    )
}
