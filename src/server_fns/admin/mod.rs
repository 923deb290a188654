//! The admin pages and the forms on them. The server renders the pages (`server::admin`).

#![allow(clippy::too_many_arguments, reason = "the fields of a form")]

#[cfg(feature = "ssr")]
mod form;

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use super::client::SessionClient;
use crate::error::AppError;
use crate::wire::TextJson;
#[cfg(feature = "ssr")]
use crate::{
    server::{
        admin,
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

/// The result of a form on an admin page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminFormResult {
    /// The message for the user.
    pub message: String,
    /// The URL to go to.
    pub next: String,
    /// Sessions that this request ended.
    pub ended: usize,
    /// Sessions that are left. To revoke them, send the same request again.
    pub left: usize,
}

/// Renders the admin page at this path and query; by default, those of the request.
#[server(DrawAdmin, prefix = "/api", endpoint = "draw_admin", output = TextJson, client = SessionClient)]
pub async fn draw_admin(#[server(default)] place: Option<String>) -> Result<String, AppError> {
    request_context::run(async {
        let caller = authorize().await?;
        let place = place
            .or_else(request_context::page_path)
            .ok_or(AppError::NotFound(crate::error::Resource::Address))?;
        let (path, query) = place.split_once('?').unwrap_or((place.as_str(), ""));
        let request = admin::PageRequest {
            admin: &caller,
            query,
            flash: request_context::flash(),
        };
        admin::render_page(path, request).await
    })
    .await
}

/// Revokes sessions: `which` is one, all of a user, or all that a filter selects. Many sessions take several requests.
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
) -> Result<AdminFormResult, AppError> {
    request_context::run(async {
        let admin = authorize().await?;
        let request = revoke::RevokeRequest {
            target: form::parse_target(&which, filter.as_deref(), &session_id, &user_id)?,
            until: form::parse_cutoff(&begun_by)?,
            note: revoke::parse_note(&reason)?,
            own_too: own_too.is_some(),
        };
        let allowed = reauthenticate(&admin, password).await?;
        let ended = revoke::revoke_sessions(&admin, &request).await?;
        request_context::renew_password_check(&admin.caller, allowed).await?;
        let path = form::return_url(&next);
        if ended.left == 0 {
            return Ok(AdminFormResult::complete(FlashCode::SessionsEnded, path, ended.ended).await);
        }
        let next = form::continue_url(&path, &which, &begun_by);
        let flash = Flash {
            code: FlashCode::SessionsLeft,
            count: ended.ended,
        };
        request_context::redirect_with_flash(&next, flash).await;
        let count = |n: usize| pluralize(i64::try_from(n).unwrap_or(i64::MAX), "session");
        Ok(AdminFormResult {
            message: format!("{} ended, {} left.", count(ended.ended), count(ended.left)),
            next,
            ended: ended.ended,
            left: ended.left,
        })
    })
    .await
}

/// Disables an account and revokes its sessions.
#[server(AdminDisablePerson, prefix = "/api", endpoint = "admin_disable_person", output = TextJson, client = SessionClient)]
pub async fn admin_disable_person(
    user_id: String,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<AdminFormResult, AppError> {
    request_context::run(act_on_user(
        (&user_id, password, &next),
        FlashCode::AccountDisabled,
        async |admin, user| people::disable(admin, user).await,
    ))
    .await
}

/// Enables an account.
#[server(AdminEnablePerson, prefix = "/api", endpoint = "admin_enable_person", output = TextJson, client = SessionClient)]
pub async fn admin_enable_person(
    user_id: String,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<AdminFormResult, AppError> {
    request_context::run(act_on_user(
        (&user_id, password, &next),
        FlashCode::AccountEnabled,
        async |admin, user| {
            people::enable(admin, user).await?;
            Ok(0)
        },
    ))
    .await
}

/// Requires a new password at the next sign-in and revokes all sessions.
#[server(AdminRequirePassword, prefix = "/api", endpoint = "admin_require_password", output = TextJson, client = SessionClient)]
pub async fn admin_require_password(
    user_id: String,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<AdminFormResult, AppError> {
    request_context::run(act_on_user(
        (&user_id, password, &next),
        FlashCode::PasswordRequired,
        async |admin, user| people::require_password_change(admin, user).await,
    ))
    .await
}

/// Changes a user's role in an organization; without one, the role of a user who belongs to none.
#[server(AdminChangeRole, prefix = "/api", endpoint = "admin_change_role", output = TextJson, client = SessionClient)]
pub async fn admin_change_role(
    user_id: String,
    role: String,
    #[server(default)] organization_id: Option<String>,
    #[server(default)] password: Option<String>,
    #[server(default)] next: String,
) -> Result<AdminFormResult, AppError> {
    request_context::run(async {
        let role = role
            .parse()
            .map_err(|_| AppError::invalid_input("role", "Choose a role."))?;
        let organization = organization_id.filter(|id| !id.is_empty());
        let organization = organization
            .map(|id| id.parse())
            .transpose()
            .map_err(|_| AppError::NotFound(crate::error::Resource::Organization))?;
        act_on_user(
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

/// Sends a test message to the alert webhook.
#[server(AdminTestAlerts, prefix = "/api", endpoint = "admin_test_alerts", output = TextJson, client = SessionClient)]
pub async fn admin_test_alerts(
    #[server(default)] password: Option<String>,
) -> Result<AdminFormResult, AppError> {
    request_context::run(async {
        let admin = authorize().await?;
        let allowed = reauthenticate(&admin, password).await?;
        alerts::send_test(&admin).await?;
        request_context::renew_password_check(&admin.caller, allowed).await?;
        Ok(AdminFormResult::complete(FlashCode::TestAlertSent, admin::paths::HEALTH.to_owned(), 0).await)
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

/// The dialog itself has the password field, so there is no redirect to a page that asks for it.
#[cfg(feature = "ssr")]
async fn reauthenticate(admin: &AdminRequest, password: Option<String>) -> Result<PasswordProof, AppError> {
    reauthentication::require_recent_check(&admin.state, &admin.caller, password, &admin.client).await
}

#[cfg(feature = "ssr")]
impl AdminFormResult {
    /// The action is complete. The page shows the message.
    async fn complete(code: FlashCode, next: String, ended: usize) -> Self {
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

/// Performs an action on a user. Each form sends the user's id, the administrator's password if needed, and the URL to
/// return to. `act` returns the number of ended sessions.
#[cfg(feature = "ssr")]
async fn act_on_user(
    (user, password, next): (&str, Option<String>, &str),
    code: FlashCode,
    act: impl AsyncFnOnce(&AdminRequest, UserId) -> Result<usize, AppError>,
) -> Result<AdminFormResult, AppError> {
    let admin = authorize().await?;
    let user = user
        .parse()
        .map_err(|_| AppError::NotFound(crate::error::Resource::User))?;
    let allowed = reauthenticate(&admin, password).await?;
    let ended = act(&admin, user).await?;
    request_context::renew_password_check(&admin.caller, allowed).await?;
    Ok(AdminFormResult::complete(code, form::return_url(next), ended).await)
}
