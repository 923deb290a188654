//! What is drawn of one person beside a list, of sessions or of people: who, where they are signed in, what can be done.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{
    ending::Asks,
    sessions::Place,
    words::{age, name, number},
};
use domain::{
    admin::{AdminSession, AdminUser},
    admin_permission::{AdminAction, Denied, Permission},
    ids::SessionId,
    organization::Membership,
    user::{Role, User},
};

use crate::{
    elements::icon::{Icon, IconName},
    server::services::admin::AdminRequest,
};

/// What is known of the person.
pub struct OfPerson {
    pub person: AdminUser,
    /// Those that the administrator may change.
    pub memberships: Vec<Membership>,
    pub permissions: Permissions,
    /// Live sessions, the most recently active ones.
    pub sessions: Vec<AdminSession>,
    /// How many live sessions there are.
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
                .map(|action| (action, admin.permission(person, action)))
                .to_vec(),
        )
    }

    /// Whether the page offers this.
    pub fn offers(&self, asks: Asks) -> bool {
        let mut all = self.0.iter();
        all.any(|(action, permission)| *action == asks.action() && permission.is_offered())
    }

    /// Why an action is missing. What concerns the whole account comes first.
    fn denied(&self) -> Option<Denied> {
        self.0
            .iter()
            .rev()
            .find_map(|(_, permission)| permission.denied())
    }
}

/// Where the links lead.
#[derive(Clone, Copy)]
pub struct Links<'a> {
    /// To the question on the same page.
    pub asking: &'a dyn Fn(Asks) -> String,
    /// To the session's panel.
    pub session: &'a dyn Fn(SessionId) -> String,
    /// That panel is on the same page.
    pub is_same_page: bool,
}

/// What someone is: in the organization that is looked at, or in which, where everyone is.
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

/// Email, roles, and what is unusual about the account.
pub fn facts(of: &OfPerson) -> AnyView {
    let person = &of.person;
    let user = &person.user;
    let roles = roles(user, &of.memberships)
        .into_iter()
        .map(|role| view! { " · " {role} })
        .collect::<Vec<_>>();
    view! {
        <p class="soft small">{user.email.clone()} {roles}</p>
        <p class="badges">
            {person.is_disabled.then(|| view! { <span class="badge">"Disabled"</span> })}
            {person
                .password_change_required
                .then(|| view! { <span class="badge">"New password at the next sign-in"</span> })}
        </p>
    }
    .into_any()
}

/// Their live sessions, and the way to all that is kept.
pub fn sessions(of: &OfPerson, links: Links<'_>, none: &'static str, now: DateTime<Utc>) -> AnyView {
    let rows = of
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
    let more = (of.live > shown)
        .then(|| view! { <p class="soft small">"and " {number(of.live - shown)} " more"</p> });
    let everything = Place::of_person(of.person.user.id).address();
    view! {
        {none}
        <ul class="other-sessions">{rows}</ul>
        {more}
        <p class="small">
            <a href=everything rel=(!links.is_same_page).then_some("external")>
                "Everything of this person"
            </a>
        </p>
    }
    .into_any()
}

/// What can be done to them, and why not all of it.
pub fn actions(of: &OfPerson, links: Links<'_>) -> AnyView {
    let asks = links.asking;
    let action = |ask: Asks, label: &'static str| {
        view! {
            <a class="button small" id=format!("ask-{}", ask.as_str()) href=asks(ask) data-noscroll="">
                {label}
            </a>
        }
        .into_any()
    };
    let offered = [
        (Asks::ChangeRole, "Change role…"),
        (Asks::RequirePassword, "Ask for a new password…"),
        (Asks::Enable, "Let sign in again…"),
        (Asks::Disable, "Disable the account…"),
    ];
    let actions: Vec<AnyView> = offered
        .into_iter()
        .filter(|(asks, _)| of.permissions.offers(*asks))
        .map(|(asks, label)| action(asks, label))
        .collect();
    let why_not = of.permissions.denied().map(Denied::message);
    view! {
        <div class="actions">
            <a class="button small danger" id="end-person" href=asks(Asks::EndOfPerson) data-noscroll="">
                "End all of their sessions…"
            </a>
            {actions}
        </div>
        {why_not.map(|why| view! { <p class="soft small">{why}</p> })}
    }
    .into_any()
}
