//! Lists and revokes the caller's sessions.

use leptos::prelude::*;

use super::client::SessionClient;
use crate::wire::TextJson;
use domain::overview::ActiveSessions;

use crate::error::AppError;
#[cfg(feature = "ssr")]
use crate::{
    server::{
        auth::current_session::CurrentSession,
        http::session_store,
        services::{dashboard, reauthentication::PasswordProof, revoke},
    },
    server_fns::request_context::{self, Reauthentication},
};
#[cfg(feature = "ssr")]
use domain::{
    flash::{Flash, FlashCode},
    ids::SessionId,
    query::encode_query_value,
    session::RevokeScope,
};

#[cfg(feature = "ssr")]
const SETTINGS: &str = "/dashboard/settings";

/// Returns the caller's live sessions, most recently active first, and the open security notices.
#[server(ListActiveSessions, prefix = "/api", endpoint = "list_active_sessions", output = TextJson, client = SessionClient)]
pub async fn list_active_sessions() -> Result<ActiveSessions, AppError> {
    request_context::run(async {
        let (state, caller) = (request_context::state()?, request_context::signed_in()?);
        let sessions = dashboard::list_sessions(&state, &caller).await?;
        Ok(ActiveSessions {
            sessions,
            notices: dashboard::list_notices(&state, &caller).await?,
            server_time: state.clock.now(),
        })
    })
    .await
}

/// Revokes one of the caller's live sessions; any other id is "not found". Requires `password` if the last check is
/// too old, except for the current session.
#[server(RevokeSession, prefix = "/api", endpoint = "revoke_session", output = TextJson, client = SessionClient)]
pub async fn revoke_session(
    session_id: String,
    #[server(default)] password: Option<String>,
) -> Result<(), AppError> {
    request_context::run(async {
        let id = session_id.parse::<SessionId>();
        let caller = request_context::signed_in()?;
        let mut allowed = PasswordProof::LastCheck;
        if id.as_ref().ok() != Some(&caller.id) {
            let asks = format!(
                "for=revoke_session&session_id={}",
                encode_query_value(&session_id)
            );
            match request_context::require_reauthentication(&caller, password, &asks).await? {
                Reauthentication::Confirmed(by) => allowed = by,
                Reauthentication::Redirected => return Ok(()),
            }
        }
        let ended = match id {
            Ok(id) => revoke_own(&caller, RevokeScope::One(id)).await,
            Err(_) => Err(AppError::NotFound(crate::error::Resource::Session)),
        };
        // An error response with status 5xx carries no cookie.
        if !ended.as_ref().is_err_and(AppError::is_server_error) {
            request_context::renew_password_check(&caller, allowed).await?;
        }
        ended?;
        request_context::redirect_with_flash(
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

/// Revokes all sessions of the caller except this one and returns their number. `password` as in [`revoke_session`].
#[server(SignOutOtherDevices, prefix = "/api", endpoint = "sign_out_other_devices", output = TextJson, client = SessionClient)]
pub async fn sign_out_other_devices(#[server(default)] password: Option<String>) -> Result<usize, AppError> {
    request_context::run(async {
        let caller = request_context::signed_in()?;
        let Reauthentication::Confirmed(allowed) =
            request_context::require_reauthentication(&caller, password, "for=sign_out_other_devices")
                .await?
        else {
            return Ok(0);
        };
        let ended = revoke_own(&caller, RevokeScope::Others).await?;
        request_context::renew_password_check(&caller, allowed).await?;
        request_context::redirect_with_flash(
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

/// Revokes all sessions of the caller and returns the path to navigate to. `password` as in [`revoke_session`].
#[server(SignOutAllDevices, prefix = "/api", endpoint = "sign_out_all_devices", output = TextJson, client = SessionClient)]
pub async fn sign_out_all_devices(#[server(default)] password: Option<String>) -> Result<String, AppError> {
    const AFTERWARDS: &str = "/login?reason=signed_out_everywhere&by=you";
    request_context::run(async {
        let caller = request_context::signed_in()?;
        // The session ends, so the password check need not be recorded.
        if let Reauthentication::Redirected =
            request_context::require_reauthentication(&caller, password, "for=sign_out_all_devices").await?
        {
            return Ok(AFTERWARDS.to_owned());
        }
        revoke_own(&caller, RevokeScope::All).await?;
        session_store::clear_cookie(&request_context::cookie_session()?).await?;
        request_context::redirect_plain_form(AFTERWARDS);
        Ok(AFTERWARDS.to_owned())
    })
    .await
}

#[cfg(feature = "ssr")]
async fn revoke_own(caller: &CurrentSession, scope: RevokeScope) -> Result<usize, AppError> {
    let state = request_context::state()?;
    let ip_address = Some(request_context::client()?.ip_address);
    Ok(
        revoke::revoke_own(&state.database, &state.clock, caller, scope, ip_address)
            .await?
            .len(),
    )
}
