//! Password change, security notices and session extension.

use leptos::prelude::*;

use super::client::SessionClient;
use crate::wire::TextJson;
#[cfg(feature = "ssr")]
use crate::{
    server::services::{
        change_password::{self, PasswordChange},
        dashboard, extend as extending, session_state,
    },
    server_fns::request_context,
};
#[cfg(feature = "ssr")]
use domain::flash::{Flash, FlashCode};
use domain::{security_notice::SecurityNotice, session_state::SessionState};

use crate::error::AppError;

/// Changes the caller's password and returns how many other sessions were revoked: all, unless `other_sessions` is
/// `keep`.
#[server(ChangePassword, prefix = "/api", endpoint = "change_password", output = TextJson, client = SessionClient)]
pub async fn change_password(
    current_password: String,
    new_password: String,
    #[server(default)] other_sessions: Option<String>,
) -> Result<usize, AppError> {
    request_context::run(async {
        let caller = request_context::signed_in()?;
        let keeps_others = other_sessions.as_deref() == Some("keep");
        let change = PasswordChange {
            current: current_password,
            new: new_password,
            keep_other_sessions: keeps_others,
        };
        let changed = change_password::change_password(
            &request_context::state()?,
            &caller,
            change,
            &request_context::client()?,
        )
        .await?;
        request_context::set_session_cookie(Some(changed.rotated)).await?;
        let ended = changed.ended.len();
        let code = if keeps_others {
            FlashCode::PasswordChangedOthersKept
        } else {
            FlashCode::PasswordChanged
        };
        request_context::redirect_with_flash("/dashboard/settings", Flash { code, count: ended }).await;
        Ok(ended)
    })
    .await
}

/// Returns the caller's open security notices.
#[server(ListSecurityNotices, prefix = "/api", endpoint = "list_security_notices", output = TextJson, client = SessionClient)]
pub async fn list_security_notices() -> Result<Vec<SecurityNotice>, AppError> {
    request_context::run(async {
        dashboard::list_notices(&request_context::state()?, &*request_context::signed_in()?).await
    })
    .await
}

/// Confirms the activity of a security notice. Requires `password` if the current session is in question itself.
#[server(DismissSecurityNotice, prefix = "/api", endpoint = "dismiss_security_notice", output = TextJson, client = SessionClient)]
pub async fn dismiss_security_notice(
    notice_id: String,
    #[server(default)] password: Option<String>,
) -> Result<(), AppError> {
    request_context::run(async {
        let (state, caller, client) = (
            request_context::state()?,
            request_context::signed_in()?,
            request_context::client()?,
        );
        let id = notice_id
            .parse()
            .map_err(|_| AppError::NotFound(crate::error::Resource::Notice))?;
        let asks = format!("for=dismiss_security_notice&notice_id={id}");
        match dashboard::dismiss_notice(&state, &caller, id, password, &client).await {
            Ok(allowed) => request_context::renew_password_check(&caller, allowed).await?,
            Err(error) if request_context::redirect_to_password_page(&error, &asks) => return Ok(()),
            Err(error) => return Err(error),
        }
        request_context::redirect_plain_form("/dashboard/settings");
        Ok(())
    })
    .await
}

/// Extends the idle timeout, within the lifetime, and returns the new session state.
#[server(ExtendSession, prefix = "/api", endpoint = "extend_session", output = TextJson, client = SessionClient)]
pub async fn extend_session() -> Result<SessionState, AppError> {
    request_context::run(async {
        let state = request_context::state()?;
        let extended = extending::extend_session(&state, &*request_context::signed_in()?).await?;
        request_context::redirect_plain_form("/dashboard");
        Ok(session_state::build(&state, &extended))
    })
    .await
}
