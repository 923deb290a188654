//! The caller's sessions: listed, and ended one by one, but for this one, or all.

use leptos::prelude::*;

use super::client::KeptClient;
use crate::wire::TextJson;
use domain::overview::ActiveSessions;

use crate::error::AppError;
#[cfg(feature = "ssr")]
use crate::{
    server::{
        auth::current_session::CurrentSession,
        http::session_store,
        services::{dashboard, revoke, step_up::Allowed},
    },
    server_fns::border::{self, StepUp},
};
#[cfg(feature = "ssr")]
use domain::{
    flash::{Flash, FlashCode},
    ids::SessionId,
    query::query_value,
    session::RevokeScope,
};

#[cfg(feature = "ssr")]
const SETTINGS: &str = "/dashboard/settings";

/// The caller's live sessions, most recently active first, and what the caller is asked about them.
#[server(ListActiveSessions, prefix = "/api", endpoint = "list_active_sessions", output = TextJson, client = KeptClient)]
pub async fn list_active_sessions() -> Result<ActiveSessions, AppError> {
    border::answer(async {
        let (state, caller) = (border::state()?, border::signed_in()?);
        let sessions = dashboard::list_sessions(&state, &caller).await?;
        Ok(ActiveSessions {
            sessions,
            notices: dashboard::list_notices(&state, &caller).await?,
            server_time: state.clock.now(),
        })
    })
    .await
}

/// Ends one of the caller's sessions, by its id. Anything that is not the caller's and live is "not found". For any but
/// the caller's own, `password` is needed where the last check is too long ago.
#[server(RevokeSession, prefix = "/api", endpoint = "revoke_session", output = TextJson, client = KeptClient)]
pub async fn revoke_session(
    session_id: String,
    #[server(default)] password: Option<String>,
) -> Result<(), AppError> {
    border::answer(async {
        let id = session_id.parse::<SessionId>();
        let caller = border::signed_in()?;
        let mut allowed = Allowed::ByLastCheck;
        if id.as_ref().ok() != Some(&caller.id) {
            let asks = format!("for=revoke_session&session_id={}", query_value(&session_id));
            match border::step_up(&caller, password, &asks).await? {
                StepUp::GoOn(by) => allowed = by,
                StepUp::Asked => return Ok(()),
            }
        }
        let ended = match id {
            Ok(id) => end(&caller, RevokeScope::One(id)).await,
            Err(_) => Err(AppError::NotFound),
        };
        // A failed answer carries no cookie.
        if !ended.as_ref().is_err_and(AppError::is_failure) {
            border::renew(&caller, allowed).await?;
        }
        ended?;
        border::then_show(
            SETTINGS,
            Flash {
                code: FlashCode::SignedOutOne,
                count: 1,
            },
        )
        .await;
        Ok(())
    })
    .await
}

/// Ends every session of the caller but this one, and gives how many. `password` as in [`revoke_session`].
#[server(SignOutOtherDevices, prefix = "/api", endpoint = "sign_out_other_devices", output = TextJson, client = KeptClient)]
pub async fn sign_out_other_devices(#[server(default)] password: Option<String>) -> Result<usize, AppError> {
    border::answer(async {
        let caller = border::signed_in()?;
        let StepUp::GoOn(allowed) = border::step_up(&caller, password, "for=sign_out_other_devices").await?
        else {
            return Ok(0);
        };
        let ended = end(&caller, RevokeScope::Others).await?;
        border::renew(&caller, allowed).await?;
        border::then_show(
            SETTINGS,
            Flash {
                code: FlashCode::SignedOutOthers,
                count: ended,
            },
        )
        .await;
        Ok(ended)
    })
    .await
}

/// Ends every session of the caller, this one included, and gives the path to go to. `password` as in
/// [`revoke_session`].
#[server(SignOutAllDevices, prefix = "/api", endpoint = "sign_out_all_devices", output = TextJson, client = KeptClient)]
pub async fn sign_out_all_devices(#[server(default)] password: Option<String>) -> Result<String, AppError> {
    const AFTERWARDS: &str = "/login?reason=signed_out_everywhere&by=you";
    border::answer(async {
        let caller = border::signed_in()?;
        // The check need not be renewed: the session is about to end.
        if let StepUp::Asked = border::step_up(&caller, password, "for=sign_out_all_devices").await? {
            return Ok(AFTERWARDS.to_owned());
        }
        end(&caller, RevokeScope::All).await?;
        session_store::forget(&border::cookie_session()?).await?;
        border::then_go_to(AFTERWARDS);
        Ok(AFTERWARDS.to_owned())
    })
    .await
}

#[cfg(feature = "ssr")]
async fn end(caller: &CurrentSession, scope: RevokeScope) -> Result<usize, AppError> {
    let state = border::state()?;
    let ip_address = Some(border::client()?.ip_address);
    Ok(
        revoke::end_own(&state.database, &state.clock, caller, scope, ip_address)
            .await?
            .len(),
    )
}
