//! The details of a user beside a list: account, live sessions and permitted actions.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{
    html::{age, email, name, number},
    pending_action::PendingAction,
    sessions::SessionsPageState,
};
use domain::{
    admin::{AdminSession, AdminUser},
    admin_permission::{AdminAction, Denied, Permission},
    ids::{SessionId, UserId},
    organization::Membership,
    session_filter::SessionFilter,
    user::{Role, User},
};

use crate::{
    elements::icon::{Icon, IconName},
    error::AppError,
    server::services::admin::{
        AdminRequest, people,
        sessions::{self, SessionsQuery},
    },
};

/// A user in scope.
pub struct UserDetails {
    pub person: AdminUser,
    /// Those in scope.
    pub memberships: Vec<Membership>,
    pub permissions: Permissions,
    /// The most recently active live sessions.
    pub sessions: Vec<AdminSession>,
    /// The number of live sessions.
    pub live: i64,
}

/// What the administrator may do to a user.
pub struct Permissions(Vec<(AdminAction, Permission)>);

impl Permissions {
    pub fn of(admin: &AdminRequest, person: &AdminUser) -> Self {
        let actions = [
            AdminAction::ChangeRole,
            AdminAction::RequirePasswordChange,
            AdminAction::Enable,
            AdminAction::Disable,
            AdminAction::RevokeSessions,
        ];
        Self(
            actions
                .map(|action| (action, admin.check_permission(person, action)))
                .to_vec(),
        )
    }

    /// Whether the page offers this.
    pub fn offers(&self, pending: PendingAction) -> bool {
        let mut all = self.0.iter();
        all.any(|(action, permission)| *action == pending.action() && permission.is_offered())
    }

    /// Why an action is missing. What concerns the whole account comes first.
    fn denied(&self) -> Option<Denied> {
        self.0
            .iter()
            .rev()
            .find_map(|(_, permission)| permission.denied())
    }
}

/// Live sessions in the details of a user, with a link to all of them.
pub const MAX_SESSIONS: u16 = 5;

/// Loads a user in scope, with at most `limit` of their live sessions.
pub async fn load_user_details(
    admin: &AdminRequest,
    user: UserId,
    limit: u16,
) -> Result<UserDetails, AppError> {
    let person = people::find(admin, user).await?;
    let filter = SessionFilter {
        user: Some(user),
        ..SessionFilter::default()
    };
    let query = SessionsQuery {
        limit,
        ..SessionsQuery::new(filter)
    };
    let live = sessions::list(admin, &query).await?;
    Ok(UserDetails {
        permissions: Permissions::of(admin, &person),
        memberships: people::memberships(admin, user).await?,
        person,
        sessions: live.sessions,
        live: live.total,
    })
}

/// The targets of the links.
#[derive(Clone, Copy)]
pub struct Links<'a> {
    /// To the dialog on the same page.
    pub dialog: &'a dyn Fn(PendingAction) -> String,
    /// To the details of a session.
    pub session: &'a dyn Fn(SessionId) -> String,
    /// These details are on the same page.
    pub is_same_page: bool,
}

/// The roles of a user: in the organization in scope, or in each, where the scope is everyone.
pub fn roles(user: &User, memberships: &[Membership]) -> Vec<AnyView> {
    if memberships.is_empty() || user.role == Role::SystemAdmin {
        return vec![user.role.label().into_any()];
    }
    let role = |membership: &Membership| {
        let organization = name(&membership.organization.name);
        view! { {membership.role.label()} " at " {organization} }.into_any()
    };
    memberships.iter().map(role).collect()
}

/// Email, roles and account status.
pub fn view_account(details: &UserDetails) -> AnyView {
    let person = &details.person;
    let user = &person.user;
    let roles = roles(user, &details.memberships)
        .into_iter()
        .map(|role| view! { " · " {role} })
        .collect::<Vec<_>>();
    view! {
        <p class="soft small">{email(&user.email)} {roles}</p>
        <p class="badges">
            {person.is_disabled.then(|| view! { <span class="badge">"Disabled"</span> })}
            {person
                .password_change_required
                .then(|| view! { <span class="badge">"New password at the next sign-in"</span> })}
        </p>
    }
    .into_any()
}

/// The live sessions, and a link to all sessions.
pub fn view_sessions(
    details: &UserDetails,
    links: Links<'_>,
    none: &'static str,
    now: DateTime<Utc>,
) -> AnyView {
    let rows = details
        .sessions
        .iter()
        .map(|live| {
            let session = &live.session;
            view! {
                <li>
                    <a
                        class="device"
                        href=(links.session)(session.id)
                        rel=(!links.is_same_page).then_some("external")
                        data-noscroll=""
                    >
                        <Icon name=IconName::of(session) />
                        <bdi>{session.device_name.clone()}</bdi>
                    </a>
                    <span class="soft small">
                        {session.ip_address.clone()} " · active " {age(session.last_active_at, now)}
                    </span>
                </li>
            }
        })
        .collect::<Vec<_>>();
    let shown = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let none = rows
        .is_empty()
        .then(|| view! { <p class="soft small">{none}</p> });
    let more = (details.live > shown)
        .then(|| view! { <p class="soft small">"and " {number(details.live - shown)} " more"</p> });
    let everything = SessionsPageState::of_user(details.person.user.id).url();
    view! {
        {none}
        <ul class="other-sessions">{rows}</ul>
        {more}
        <p class="small">
            <a href=everything rel=(!links.is_same_page).then_some("external")>
                "All of their sessions"
            </a>
        </p>
    }
    .into_any()
}

/// The permitted actions, and why others are missing.
pub fn view_actions(details: &UserDetails, links: Links<'_>) -> AnyView {
    let dialog = links.dialog;
    let action = |pending: PendingAction, label: &'static str| {
        view! {
            <a class="button small" id=format!("ask-{}", pending.as_str()) href=dialog(pending) data-noscroll="">
                {label}
            </a>
        }
        .into_any()
    };
    let offered = [
        (PendingAction::ChangeRole, "Change role…"),
        (PendingAction::RequirePasswordChange, "Ask for a new password…"),
        (PendingAction::Enable, "Let sign in again…"),
        (PendingAction::Disable, "Disable the account…"),
    ];
    let actions: Vec<AnyView> = offered
        .into_iter()
        .filter(|(pending, _)| details.permissions.offers(*pending))
        .map(|(pending, label)| action(pending, label))
        .collect();
    let why_not = details.permissions.denied().map(Denied::message);
    view! {
        <div class="actions">
            <a class="button small danger" id="end-person" href=dialog(PendingAction::RevokeAllOfUser) data-noscroll="">
                "End all of their sessions…"
            </a>
            {actions}
        </div>
        {why_not.map(|why| view! { <p class="soft small">{why}</p> })}
    }
    .into_any()
}
