//! What administrators see and do. The pages are drawn on the server (`server::drawn`).

#![allow(clippy::too_many_arguments, reason = "the fields of a form")]

#[cfg(feature = "ssr")]
mod gather;
#[cfg(feature = "ssr")]
mod read;

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use super::client::SessionClient;
use crate::error::AppError;
use crate::wire::TextJson;
#[cfg(feature = "ssr")]
use crate::{
    server::{
        drawn,
        services::{
            admin::{AdminRequest, people, revoke},
            alerts,
            reauthentication::{self, PasswordProof},
        },
    },
    server_fns::request_context,
};
#[cfg(feature = "ssr")]
use domain::{
    flash::{Flash, FlashCode},
    ids::UserId,
    time::pluralize,
};

/// What came of a form of an administrator's page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// For the person to read.
    pub message: String,
    /// Where the page goes.
    pub next: String,
    /// Sessions that this request ended.
    pub ended: usize,
    /// Sessions that are left: send the same again.
    pub left: usize,
}

/// Draws the administrator's page at that path and query; without one, that of the request.
#[server(DrawAdmin, prefix = "/api", endpoint = "draw_admin", output = TextJson, client = SessionClient)]
pub async fn draw_admin(#[server(default)] place: Option<String>) -> Result<String, AppError> {
    request_context::run(async {
        let admin = authorize().await?;
        let place = place
            .or_else(request_context::page_path)
            .ok_or(AppError::ResourceNotFound(crate::error::Resource::Address))?;
        let (path, query) = place.split_once('?').unwrap_or((place.as_str(), ""));
        match path {
            drawn::sessions::PATH => gather::sessions(&admin, query).await,
            drawn::people::PATH => gather::people(&admin, query).await,
            drawn::audit::PATH => gather::audit(&admin, query).await,
            drawn::health::PATH => gather::health(&admin, query).await,
            _ => Err(AppError::ResourceNotFound(crate::error::Resource::Address)),
        }
    })
    .await
}

/// Ends sessions: one, all of a person or all that a filter lists, as `which` says. Many take more than one request.
#[server(AdminEndSessions, prefix = "/api", endpoint = "admin_end_sessions", output = TextJson, client = SessionClient)]
pub async fn admin_end_sessions(
    which: String,
    #[server(default)] filter: Option<String>,
    #[server(default)] session_id: String,
    #[server(default)] user_id: String,
    begun_by: String,
    #[server(default)] reason: String,
    #[server(default)] own_too: Option<String>,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<Done, AppError> {
    request_context::run(async {
        let admin = authorize().await?;
        let wish = revoke::Wish {
            which: read::which(&which, filter.as_deref(), &session_id, &user_id)?,
            until: read::cutoff(&begun_by)?,
            note: revoke::note(&reason)?,
            own_too: own_too.is_some(),
        };
        let allowed = reauthenticate(&admin, password).await?;
        let ended = revoke::end(&admin, &wish).await?;
        request_context::renew_password_check(&admin.caller, allowed).await?;
        let path = read::page(&next);
        if ended.left == 0 {
            return Ok(Done::whole(FlashCode::SessionsEnded, path, ended.ended).await);
        }
        let next = read::go_on(&path, &which, &begun_by);
        let flash = Flash {
            code: FlashCode::SessionsLeft,
            count: ended.ended,
        };
        request_context::redirect_with_flash(&next, flash).await;
        let count = |n: usize| pluralize(i64::try_from(n).unwrap_or(i64::MAX), "session");
        Ok(Done {
            message: format!("{} ended, {} left.", count(ended.ended), count(ended.left)),
            next,
            ended: ended.ended,
            left: ended.left,
        })
    })
    .await
}

/// Lets someone sign in no more, and ends their sessions.
#[server(AdminDisablePerson, prefix = "/api", endpoint = "admin_disable_person", output = TextJson, client = SessionClient)]
pub async fn admin_disable_person(
    user_id: String,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<Done, AppError> {
    request_context::run(on_person(
        (&user_id, password, &next),
        FlashCode::AccountDisabled,
        async |admin, user| people::disable(admin, user).await,
    ))
    .await
}

/// Lets someone sign in again.
#[server(AdminEnablePerson, prefix = "/api", endpoint = "admin_enable_person", output = TextJson, client = SessionClient)]
pub async fn admin_enable_person(
    user_id: String,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<Done, AppError> {
    request_context::run(on_person(
        (&user_id, password, &next),
        FlashCode::AccountEnabled,
        async |admin, user| {
            people::enable(admin, user).await?;
            Ok(0)
        },
    ))
    .await
}

/// Has someone choose a new password at their next sign-in, and signs them out everywhere.
#[server(AdminRequirePassword, prefix = "/api", endpoint = "admin_require_password", output = TextJson, client = SessionClient)]
pub async fn admin_require_password(
    user_id: String,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<Done, AppError> {
    request_context::run(on_person(
        (&user_id, password, &next),
        FlashCode::PasswordRequired,
        async |admin, user| people::require_password_change(admin, user).await,
    ))
    .await
}

/// Gives someone another role, in an organization or, for whoever belongs to none, outside any.
#[server(AdminChangeRole, prefix = "/api", endpoint = "admin_change_role", output = TextJson, client = SessionClient)]
pub async fn admin_change_role(
    user_id: String,
    role: String,
    #[server(default)] organization_id: Option<String>,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<Done, AppError> {
    request_context::run(async {
        let role = role
            .parse()
            .map_err(|_| AppError::invalid_input("role", "Choose a role."))?;
        let organization = organization_id.filter(|id| !id.is_empty());
        let organization = organization
            .map(|id| id.parse())
            .transpose()
            .map_err(|_| AppError::ResourceNotFound(crate::error::Resource::Organization))?;
        on_person(
            (&user_id, password, &next),
            FlashCode::RoleChanged,
            async |admin, user| {
                people::set_role(admin, user, organization, role).await?;
                Ok(0)
            },
        )
        .await
    })
    .await
}

/// Has the webhook of the alerts told that this is a test.
#[server(AdminTestAlerts, prefix = "/api", endpoint = "admin_test_alerts", output = TextJson, client = SessionClient)]
pub async fn admin_test_alerts(#[server(default)] password: Option<String>) -> Result<Done, AppError> {
    request_context::run(async {
        let admin = authorize().await?;
        let allowed = reauthenticate(&admin, password).await?;
        alerts::send_test(&admin).await?;
        request_context::renew_password_check(&admin.caller, allowed).await?;
        Ok(Done::whole(FlashCode::TestAlertSent, drawn::health::PATH.to_owned(), 0).await)
    })
    .await
}

#[cfg(feature = "ssr")]
async fn authorize() -> Result<AdminRequest, AppError> {
    AdminRequest::authorize(
        request_context::state()?,
        request_context::signed_in()?,
        request_context::client()?,
    )
    .await
}

/// The dialog has a password field where one is needed, so there is no page of its own to lead to.
#[cfg(feature = "ssr")]
async fn reauthenticate(admin: &AdminRequest, password: Option<String>) -> Result<PasswordProof, AppError> {
    reauthentication::require_recent_check(&admin.state, &admin.caller, password, &admin.client).await
}

#[cfg(feature = "ssr")]
impl Done {
    /// All of it is done: where the form came from says so.
    async fn whole(code: FlashCode, next: String, ended: usize) -> Self {
        let flash = Flash { code, count: ended };
        request_context::redirect_with_flash(&next, flash).await;
        Self {
            message: flash.message(),
            next,
            ended,
            left: 0,
        }
    }
}

/// Does something to a person: their id, the administrator's password where one is needed, and where the form came from
/// are what each such form sends. `act` gives how many sessions ended with it.
#[cfg(feature = "ssr")]
async fn on_person(
    (user, password, next): (&str, Option<String>, &str),
    code: FlashCode,
    act: impl AsyncFnOnce(&AdminRequest, UserId) -> Result<usize, AppError>,
) -> Result<Done, AppError> {
    let admin = authorize().await?;
    let user = user
        .parse()
        .map_err(|_| AppError::ResourceNotFound(crate::error::Resource::User))?;
    let allowed = reauthenticate(&admin, password).await?;
    let ended = act(&admin, user).await?;
    request_context::renew_password_check(&admin.caller, allowed).await?;
    Ok(Done::whole(code, read::page(next), ended).await)
}
