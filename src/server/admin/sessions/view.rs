//! Renders the page.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{
    load::SessionsPage,
    panel,
    query::{PATH, SessionsPageState},
};
use domain::{
    admin::{AdminSession, SessionStatus},
    session::{ClientKind, EndReason},
    session_filter::{SessionAge, SessionSort, StateFilter, SuspicionFilter},
    user::Role,
};

use crate::{
    elements::icon::{Icon, IconName},
    server::{
        admin::{
            confirm_dialog::{PendingAction, view_dialog},
            html::{self, age, select, until, url},
            list_page::{ListPage, Paging, Table, count_heading},
        },
        services::admin::sessions::SessionsQuery,
        store::cursor::Cursor,
    },
};

/// Renders the page.
pub fn render(page: SessionsPage) -> String {
    let SessionsPage {
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
        Some(name) => format!("Everyone who belongs to {name}, wherever they are signed in."),
        None => "Everyone, in every organization.".to_owned(),
    };
    let is_invalid = page.is_none();
    let page = page.unwrap_or_default();
    let empty = if is_invalid {
        "Nothing is listed for a filter that cannot be read."
    } else if state.query.filter.pairs().is_empty() {
        "Nobody is signed in. Sessions appear here as soon as somebody signs in."
    } else if state.query.after.is_none() {
        "No session fits this filter. Try fewer conditions, or look at ended sessions as well."
    } else {
        "There is nothing more."
    };
    ListPage {
        path: PATH,
        title: "Sessions",
        lead,
        problem,
        outcome,
        introduction: None,
        filter_fields: filter_fields(&state, organization.is_none()),
        heading: count_heading(page.total, "session", "sessions"),
        actions: Some(list_actions(&state, page.total)),
        table: Table {
            caption: state.query.filter.describe(),
            columns: vec!["Person", "Device", "Address", "Began", "Last active", "State"],
            rows: page
                .sessions
                .iter()
                .map(|session| row(&state, session, now))
                .collect(),
            empty,
        },
        paging: paging(&state, page.next),
        details: details.map(|details| panel::view_details(details, &state, now)),
        dialog: dialog.map(|dialog| view_dialog(dialog, state.dialog_context())),
    }
    .render()
}

fn filter_fields(state: &SessionsPageState, is_of_everyone: bool) -> AnyView {
    let SessionsQuery { filter, sort, .. } = &state.query;
    let kinds = vec![("browser", "Browsers"), ("desktop", "Desktops")];
    let roles = html::roles(is_of_everyone);
    let states = StateFilter::ALL
        .iter()
        .filter(|state| **state != StateFilter::default())
        .map(|state| (state.as_str(), state.label()))
        .collect();
    let ages = SessionAge::ALL
        .iter()
        .map(|age| (age.as_str(), age.label()))
        .collect();
    let suspicions = SuspicionFilter::ALL
        .iter()
        .map(|each| (each.as_str(), each.label()))
        .collect();
    let reasons = EndReason::ALL
        .iter()
        .filter(|reason| !reason.is_never_recorded())
        .map(|reason| (reason.as_str(), reason.label()))
        .collect();
    let sorts = SessionSort::ALL
        .iter()
        .filter(|sort| **sort != SessionSort::default())
        .map(|sort| (sort.as_str(), sort.label()))
        .collect();
    let asks_reason = filter.effective_state() != StateFilter::Live;
    let user = filter.user.map(|user| {
        let user = user.to_string();
        let mut everyone = state.clone();
        everyone.query.filter.user = None;
        everyone.query.after = None;
        view! {
            <input type="hidden" name="user" value=user />
            <p class="only-person">
                "Sessions of one person. "
                <a href=everyone.url() data-noscroll="">
                    "Show everyone"
                </a>
            </p>
        }
    });
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
                    placeholder="Name, email, desktop, address"
                />
            </div>
            {select("kind", "Kind", Some("Any"), kinds, filter.kind.map(ClientKind::as_str).unwrap_or_default())}
            {select("role", "Role", Some("Any"), roles, filter.role.map(Role::as_str).unwrap_or_default())}
            {select("state", "State", Some(StateFilter::default().label()), states, filter.effective_state().as_str())}
            {asks_reason
                .then(|| {
                    let chosen = filter.reason.map(EndReason::as_str).unwrap_or_default();
                    select("reason", "Reason", Some("Any"), reasons, chosen)
                })}
            {select("age", "Began", Some("Any time"), ages, filter.age.map(SessionAge::as_str).unwrap_or_default())}
            {select(
                "suspicion",
                "Suspicion",
                Some("Any"),
                suspicions,
                filter.suspicion.map(SuspicionFilter::as_str).unwrap_or_default(),
            )}
            {select("sort", "Order", Some(SessionSort::default().label()), sorts, sort.as_str())}
            {user}
    }
    .into_any()
}

fn list_actions(state: &SessionsPageState, total: i64) -> AnyView {
    let query = &state.query;
    let export = url("/api/v1/admin/sessions.csv", query.pairs());
    let export = (total > 0).then(|| {
        view! {
            <a class="button small" href=export rel="external" download="">
                "Export as CSV"
            </a>
        }
    });
    let revoke = (total > 0 && query.filter.lists_only_live()).then(|| {
        let dialog = state
            .with_selected(None)
            .with_pending(Some(PendingAction::RevokeListed));
        view! {
            <a class="button small danger" id="end-listed" href=dialog.url() data-noscroll="">
                "End all of these…"
            </a>
        }
    });
    view! { {export} {revoke} }.into_any()
}

fn row(state: &SessionsPageState, reviewed: &AdminSession, now: DateTime<Utc>) -> AnyView {
    let AdminSession { session, user, .. } = reviewed;
    let is_open = state.selected == Some(session.id);
    let device = [session.browser.clone(), session.os.clone()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" · ");
    view! {
        <tr class=if is_open { "chosen" } else { "" }>
            <th scope="row">
                <bdi class="person">{user.display_name.clone()}</bdi>
                <span class="soft small">{user.email.clone()}</span>
                <span class="soft small">{user.role.label()}</span>
            </th>
            <td data-label="Device">
                <a
                    id=format!("session-{}", session.id)
                    class="device"
                    href=state.with_selected(Some(session.id)).url()
                    data-noscroll=""
                    aria-current=is_open.then_some("true")
                >
                    <Icon name=IconName::of(session) />
                    <bdi>{session.device_name.clone()}</bdi>
                </a>
                <span class="soft small">{device}</span>
                {session.is_current.then(|| view! { <span class="badge accent">"This browser"</span> })}
                {reviewed.is_unusual.then(|| view! { <span class="badge unusual">"Unusual"</span> })}
            </td>
            <td data-label="Address">{session.ip_address.clone()}</td>
            <td data-label="Began">{age(session.created_at, now)}</td>
            <td data-label="Last active">{age(session.last_active_at, now)}</td>
            <td data-label="State">{view_status(reviewed, now)}</td>
        </tr>
    }
    .into_any()
}

/// Whether it is live, and until when; or why it is not, and since when.
pub fn view_status(reviewed: &AdminSession, now: DateTime<Utc>) -> AnyView {
    match reviewed.state {
        SessionStatus::Live => view! {
            <span class="live">"Live"</span>
            <span class="soft small">"Expires " {until(reviewed.session.expires_at, now)}</span>
        }
        .into_any(),
        SessionStatus::Ended => {
            let reason = reviewed.reason.unwrap_or(EndReason::Unknown);
            let since = reviewed.ended_at.unwrap_or(reviewed.session.expires_at);
            view! {
                <span>"Ended"</span>
                <span class="soft small">{reason.label()} ", " {age(since, now)}</span>
            }
            .into_any()
        }
    }
}

fn paging(state: &SessionsPageState, next: Option<Cursor>) -> Paging {
    let at = |after: Option<Cursor>| {
        let mut page = state.with_selected(None);
        page.query.after = after;
        page.url()
    };
    let first = state.query.after.is_some().then(|| at(None));
    Paging::new(first, next.map(|next| at(Some(next))))
}
