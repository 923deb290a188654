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
        auth::current_session::{Client, CurrentSession},
        drawn,
        services::{
            admin::{Reach, people, revoke},
            alerts,
            reauthentication::{self, PasswordProof},
        },
        state::AppState,
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
        let (state, caller) = (request_context::state()?, request_context::signed_in()?);
        let place = place
            .or_else(request_context::page_path)
            .ok_or(AppError::ResourceNotFound(crate::error::Resource::Address))?;
        let (path, query) = place.split_once('?').unwrap_or((place.as_str(), ""));
        let reach = Reach::require(&state, &caller, &request_context::client()?).await?;
        match path {
            drawn::sessions::PATH => gather::sessions(&state, &caller, reach, query).await,
            drawn::people::PATH => gather::people(&state, &caller, reach, query).await,
            drawn::audit::PATH => gather::audit(&state, &caller, reach, query).await,
            drawn::health::PATH => gather::health(&state, &caller, reach, query).await,
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
        let admin = Admin::require().await?;
        let wish = revoke::Wish {
            which: read::which(&which, filter.as_deref(), &session_id, &user_id)?,
            until: read::cutoff(&begun_by)?,
            note: revoke::note(&reason)?,
            own_too: own_too.is_some(),
        };
        let allowed = admin.reauthenticate(password).await?;
        let ended = revoke::end(&admin.state, &admin.caller, admin.reach, &wish, &admin.client).await?;
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
        async |admin, user| {
            people::disable(&admin.state, &admin.caller, admin.reach, user, &admin.client).await
        },
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
            people::enable(&admin.state, &admin.caller, admin.reach, user, &admin.client).await?;
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
        async |admin, user| {
            people::require_password_change(&admin.state, &admin.caller, admin.reach, user, &admin.client)
                .await
        },
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
                let Admin {
                    state,
                    caller,
                    reach,
                    client,
                } = admin;
                people::set_role(state, caller, *reach, user, organization, role, client).await?;
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
        let admin = Admin::require().await?;
        // Alerts are about the whole portal.
        if admin.reach.organization.is_some() {
            return Err(AppError::Forbidden);
        }
        let allowed = admin.reauthenticate(password).await?;
        alerts::send_test(&admin.state, &admin.caller, &admin.client).await?;
        request_context::renew_password_check(&admin.caller, allowed).await?;
        Ok(Done::whole(FlashCode::TestAlertSent, drawn::health::PATH.to_owned(), 0).await)
    })
    .await
}

/// An administrator at work.
#[cfg(feature = "ssr")]
struct Admin {
    state: AppState,
    caller: std::sync::Arc<CurrentSession>,
    reach: Reach,
    client: Client,
}

#[cfg(feature = "ssr")]
impl Admin {
    async fn require() -> Result<Self, AppError> {
        let (state, caller, client) = (
            request_context::state()?,
            request_context::signed_in()?,
            request_context::client()?,
        );
        let reach = Reach::require(&state, &caller, &client).await?;
        Ok(Self {
            state,
            caller,
            reach,
            client,
        })
    }

    /// The question has the password's field with it where one is needed: there is no page of its own to lead to.
    async fn reauthenticate(&self, password: Option<String>) -> Result<PasswordProof, AppError> {
        reauthentication::require_recent_check(&self.state, &self.caller, password, &self.client).await
    }
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
    act: impl AsyncFnOnce(&Admin, UserId) -> Result<usize, AppError>,
) -> Result<Done, AppError> {
    let admin = Admin::require().await?;
    let user = user
        .parse()
        .map_err(|_| AppError::ResourceNotFound(crate::error::Resource::User))?;
    let allowed = admin.reauthenticate(password).await?;
    let ended = act(&admin, user).await?;
    request_context::renew_password_check(&admin.caller, allowed).await?;
    Ok(Done::whole(code, read::page(next), ended).await)
}
