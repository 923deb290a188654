//! Renders the page.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{
    load::PeoplePage,
    query::{PATH, PeoplePageState},
};
use domain::{
    admin::{LastActive, ListedUser},
    people_filter::{AccountStatus, PeopleFilter},
    time::pluralize,
    user::Role,
};

use crate::{
    elements::icon::{Icon, IconName},
    server::{
        admin::{
            confirm_dialog::view_dialog,
            html::{self, age, number, select, url},
            list_page::{ListPage, Paging, Table, count_heading},
            sessions::{self, SessionsPageState},
            user_details::{self, Links, UserDetails, roles},
        },
        store::cursor::Cursor,
    },
};

/// Renders the page.
pub fn render(page: PeoplePage) -> String {
    let PeoplePage {
        state,
        problem,
        outcome,
        organization,
        page,
        details,
        dialog,
        now,
    } = page;
    let lead = match &organization {
        Some(name) => format!("Everyone who belongs to {name}, signed in or not."),
        None => "Everyone who has an account, in every organization.".to_owned(),
    };
    let is_invalid = page.is_none();
    let page = page.unwrap_or_default();
    let empty = if is_invalid {
        "Nobody is listed for a filter that cannot be read."
    } else if state.query.after.is_none() {
        "Nobody fits this filter. Try part of a name or of an email, or fewer conditions."
    } else {
        "There is nobody more."
    };
    ListPage {
        path: PATH,
        title: "People",
        lead,
        problem,
        outcome,
        introduction: None,
        filter_fields: filter_fields(&state.query.filter, organization.is_none()),
        heading: count_heading(page.total, "person", "people"),
        actions: None,
        table: Table {
            caption: state.query.filter.describe(),
            columns: vec!["Person", "Role", "State", "Live sessions", "Last active"],
            rows: page
                .people
                .iter()
                .map(|listed| row(&state, listed, now))
                .collect(),
            empty,
        },
        paging: paging(&state, page.next),
        details: details.map(|details| view_details(&details, &state, now)),
        dialog: dialog.map(|dialog| view_dialog(dialog, state.dialog_context())),
    }
    .render()
}

fn filter_fields(filter: &PeopleFilter, is_of_everyone: bool) -> AnyView {
    let roles = html::roles(is_of_everyone);
    let states = AccountStatus::ALL
        .iter()
        .map(|state| (state.as_str(), state.label()))
        .collect();
    view! {
            <div class="field search">
                <label for="filter-q">"Search"</label>
                <input
                    class="input"
                    id="filter-q"
                    type="search"
                    name="q"
                    value=filter.q.clone().unwrap_or_default()
                    maxlength="120"
                    autocomplete="off"
                    placeholder="Name or email"
                />
            </div>
            {select("role", "Role", Some("Any"), roles, filter.role.map(Role::as_str).unwrap_or_default())}
            {select("state", "State", Some("Any"), states, filter.state.map(AccountStatus::as_str).unwrap_or_default())}
    }
    .into_any()
}

fn row(state: &PeoplePageState, listed: &ListedUser, now: DateTime<Utc>) -> AnyView {
    let user = &listed.user;
    let is_open = state.selected == Some(user.id);
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
                <a href=url(sessions::PATH, [("user", user.id.to_string())]) rel="external">
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
                    class="person"
                    href=state.with_selected(Some(user.id)).url()
                    data-noscroll=""
                    aria-current=is_open.then_some("true")
                >
                    <bdi>{user.display_name.clone()}</bdi>
                </a>
                <span class="soft small">{user.email.clone()}</span>
            </th>
            <td data-label="Role">{roles}</td>
            <td data-label="State">{status}</td>
            <td data-label="Live sessions">{live}</td>
            <td data-label="Last active">{last_active}</td>
        </tr>
    }
    .into_any()
}

fn paging(state: &PeoplePageState, next: Option<Cursor>) -> Paging {
    let at = |after: Option<Cursor>| {
        let mut page = state.with_selected(None);
        page.query.after = after;
        page.url()
    };
    let first = state.query.after.is_some().then(|| at(None));
    Paging::new(first, next.map(|next| at(Some(next))))
}

fn view_details(details: &UserDetails, state: &PeoplePageState, now: DateTime<Utc>) -> AnyView {
    let user = &details.person.user;
    let (dialog, session) = (
        |pending| state.with_pending(Some(pending)).url(),
        |session| {
            SessionsPageState::of_user(user.id)
                .with_selected(Some(session))
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
        <aside class="card session-panel" aria-labelledby="panel-title">
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
