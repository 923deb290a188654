//! Renders the page.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{PeoplePage, list::PeoplePageState};
use domain::{
    admin::{LastActive, ListedUser},
    ids::SessionId,
    people_filter::AccountStatus,
    time::pluralize,
};

use crate::{
    elements::icon::{Icon, IconName},
    server::admin::{
        html::{age, email, number, role_options, url},
        list_page::{List, ListView, PAGING, count_heading},
        sessions::{SessionsList, SessionsPageState},
        user_details::{self, Links, UserDetails, roles},
    },
};

/// Renders the page.
pub fn render(page: PeoplePage) -> String {
    let (state, now) = (&page.state, page.now);
    let lead = match &page.organization {
        Some(name) => format!("Everyone who belongs to {name}, signed in or not."),
        None => "Everyone who has an account, in every organization.".to_owned(),
    };
    let rows = page.rows.people.iter();
    let details = page.details.as_ref();
    let view = ListView {
        title: "People",
        lead,
        introduction: None,
        filter_fields: filter_fields(&page),
        heading: count_heading(page.rows.total, "person", "people"),
        actions: None,
        caption: state.query.filter.describe(),
        columns: &["Person", "Role", "State", "Live sessions", "Last active"],
        rows: rows.map(|listed| row(state, listed, now)).collect(),
        empty: "Nobody fits this filter. Try part of a name or of an email, or fewer conditions.",
        details: details.map(|details| view_details(details, state, now)),
        paging: PAGING,
    };
    page.render(view)
}

fn filter_fields(page: &PeoplePage) -> AnyView {
    let form = &page.form;
    let roles = role_options(page.organization.is_none(), page.state.query.filter.role);
    view! {
        {form.search("q", "Search", "Name or email")}
        {form.select("role", "Role", "Any", roles)}
        {form.select("state", "State", "Any", AccountStatus::ALL.map(AccountStatus::option))}
    }
    .into_any()
}

fn row(state: &PeoplePageState, listed: &ListedUser, now: DateTime<Utc>) -> AnyView {
    let user = &listed.user;
    let is_open = state.selected == Some(user.id.0);
    let roles = roles(user, &listed.memberships)
        .into_iter()
        .map(|role| view! { <span class="line">{role}</span> })
        .collect::<Vec<_>>();
    let status = match listed.status {
        AccountStatus::Active => view! { <span>{AccountStatus::Active.label()}</span> }.into_any(),
        other => view! { <span class="badge">{other.label()}</span> }.into_any(),
    };
    let live = match listed.live {
        0 => view! { <span class="soft">"None"</span> }.into_any(),
        live => {
            let live = i64::try_from(live).unwrap_or(i64::MAX);
            view! {
                <a href=url(SessionsList::PATH, [("user", user.id.to_string())]) rel="external">
                    {pluralize(live, "session")}
                    <span class="visually-hidden">" of " <bdi>{user.display_name.clone()}</bdi></span>
                </a>
            }
            .into_any()
        }
    };
    let last_active = match listed.last_active {
        LastActive::At(at) => age(at, now),
        LastActive::BeforeRetention => {
            view! { <span class="soft">"Longer ago than sessions are kept"</span> }.into_any()
        }
        LastActive::Never => view! { <span class="soft">"Never signed in"</span> }.into_any(),
    };
    view! {
        <tr class=if is_open { "chosen" } else { "" }>
            <th scope="row">
                <a
                    id=format!("person-{}", user.id)
                    class="row-name"
                    href=state.with_selected(Some(user.id.0)).url()
                    data-noscroll=""
                    aria-current=is_open.then_some("true")
                >
                    <bdi>{user.display_name.clone()}</bdi>
                </a>
                <span class="soft small">{email(&user.email)}</span>
            </th>
            <td data-label="Role">{roles}</td>
            <td data-label="State">{status}</td>
            <td data-label="Live sessions">{live}</td>
            <td data-label="Last active">{last_active}</td>
        </tr>
    }
    .into_any()
}

fn view_details(details: &UserDetails, state: &PeoplePageState, now: DateTime<Utc>) -> AnyView {
    let user = &details.person.user;
    let (dialog, session) = (
        |pending| state.with_pending(Some(pending)).url(),
        |session: SessionId| {
            SessionsPageState::of_user(user.id)
                .with_selected(Some(session.0))
                .url()
        },
    );
    let links = Links {
        dialog: &dialog,
        session: &session,
        is_same_page: false,
    };
    let live = match details.live {
        0 => "Live sessions".to_owned(),
        live => format!("Live sessions ({})", number(live)),
    };
    view! {
        <aside class="card details-panel" aria-labelledby="panel-title">
            <header class="card-head">
                <h2 id="panel-title" tabindex="-1" data-focus=format!("person-{}", user.id)>
                    <bdi>{user.display_name.clone()}</bdi>
                </h2>
                <a
                    class="button small quiet square"
                    href=state.with_selected(None).url()
                    data-noscroll=""
                    data-close=""
                    aria-label="Close the details"
                >
                    <Icon name=IconName::Close />
                </a>
            </header>
            <section class="panel-part" aria-label="Account">
                {user_details::view_account(details)}
                <h3>{live}</h3>
                {user_details::view_sessions(details, links, "Signed in nowhere.", now)}
                {user_details::view_actions(details, links)}
            </section>
        </aside>
    }
    .into_any()
}
