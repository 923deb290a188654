//! The caller's own safety: their password, the questions about what was unusual, and "I am still here".

use leptos::prelude::*;

use super::client::KeptClient;
use crate::wire::TextJson;
#[cfg(feature = "ssr")]
use crate::{
    server::services::{
        change_password::{self, Change},
        dashboard, extend as extending, session_state,
    },
    server_fns::border,
};
#[cfg(feature = "ssr")]
use domain::flash::{Flash, FlashCode};
use domain::{security_notice::SecurityNotice, session_state::SessionState};

use crate::error::AppError;

/// Changes the caller's password and gives how many other sessions ended. They all do, unless `other_sessions` is
/// `keep`.
#[server(ChangePassword, prefix = "/api", endpoint = "change_password", output = TextJson, client = KeptClient)]
pub async fn change_password(
    current_password: String,
    new_password: String,
    #[server(default)] other_sessions: Option<String>,
) -> Result<usize, AppError> {
    border::answer(async {
        let caller = border::signed_in()?;
        let keeps_others = other_sessions.as_deref() == Some("keep");
        let change = Change {
            current: current_password,
            new: new_password,
            keep_others: keeps_others,
        };
        let changed =
            change_password::change_password(&border::state()?, &caller, change, &border::client()?).await?;
        border::adopt(Some(changed.rotated)).await?;
        let ended = changed.ended.len();
        let code = if keeps_others {
            FlashCode::PasswordChangedOthersKept
        } else {
            FlashCode::PasswordChanged
        };
        border::then_show("/dashboard/settings", Flash { code, count: ended }).await;
        Ok(ended)
    })
    .await
}

/// What the caller is asked about: "Was this you?"
#[server(ListSecurityNotices, prefix = "/api", endpoint = "list_security_notices", output = TextJson, client = KeptClient)]
pub async fn list_security_notices() -> Result<Vec<SecurityNotice>, AppError> {
    border::answer(async { dashboard::list_notices(&border::state()?, &*border::signed_in()?).await }).await
}

/// "This was me": the question is not asked again. `password` is needed where the session that answers is in question
/// itself.
#[server(DismissSecurityNotice, prefix = "/api", endpoint = "dismiss_security_notice", output = TextJson, client = KeptClient)]
pub async fn dismiss_security_notice(
    notice_id: String,
    #[server(default)] password: Option<String>,
) -> Result<(), AppError> {
    border::answer(async {
        let (state, caller, client) = (border::state()?, border::signed_in()?, border::client()?);
        let id = notice_id
            .parse()
            .map_err(|_| AppError::NoSuch(crate::error::Thing::Notice))?;
        let asks = format!("for=dismiss_security_notice&notice_id={id}");
        match dashboard::dismiss_notice(&state, &caller, id, password, &client).await {
            Ok(allowed) => border::renew(&caller, allowed).await?,
            Err(error) if border::asks_for_password(&error, &asks) => return Ok(()),
            Err(error) => return Err(error),
        }
        border::then_go_to("/dashboard/settings");
        Ok(())
    })
    .await
}

/// The person is here: the idle end of their session moves, never past its lifetime. Gives the session as it is then.
#[server(ExtendSession, prefix = "/api", endpoint = "extend_session", output = TextJson, client = KeptClient)]
pub async fn extend_session() -> Result<SessionState, AppError> {
    border::answer(async {
        let state = border::state()?;
        let extended = extending::extend(&state, &*border::signed_in()?).await?;
        border::then_go_to("/dashboard");
        Ok(session_state::of(&state, &extended))
    })
    .await
}
