//! Renders the page.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{
    SessionsPage, SessionsPageState,
    panel::{self, view_status},
};
use domain::{
    admin::AdminSession,
    filter::Filter,
    session::EndReason,
    session_filter::{SessionAge, SessionSort, StateFilter, SuspicionFilter},
};

use crate::{
    elements::icon::{Icon, IconName},
    server::admin::{
        html::{age, email, role_options, url},
        list_page::{ListView, PAGING, count_heading},
        pending_action::PendingAction,
    },
};

/// Renders the page.
pub fn render(mut page: SessionsPage) -> String {
    let (state, total, now) = (&page.state, page.rows.total, page.now);
    let lead = match &page.organization {
        Some(name) => format!("Everyone who belongs to {name}, wherever they are signed in."),
        None => "Everyone, in every organization.".to_owned(),
    };
    let empty = if state.query.filter.to_pairs().is_empty() {
        "Nobody is signed in. Sessions appear here as soon as somebody signs in."
    } else {
        "No session fits this filter. Try fewer conditions, or look at ended sessions as well."
    };
    let rows = page.rows.sessions.iter();
    let details = page.details.take();
    let view = ListView {
        title: "Sessions",
        lead,
        introduction: None,
        filter_fields: filter_fields(&page),
        heading: count_heading(total, "session", "sessions"),
        actions: Some(list_actions(state, total)),
        caption: state.query.filter.describe(),
        columns: &["Person", "Device", "Address", "Signed in", "Last active", "State"],
        rows: rows.map(|session| row(state, session, now)).collect(),
        empty,
        details: details.map(|details| panel::view_details(details, state, now)),
        paging: PAGING,
    };
    page.render(view)
}

fn filter_fields(page: &SessionsPage) -> AnyView {
    let (state, form) = (&page.state, &page.form);
    let filter = &state.query.filter;
    let roles = role_options(page.organization.is_none(), filter.role);
    let states = StateFilter::ALL
        .into_iter()
        .filter(|state| *state != StateFilter::default());
    let reasons = EndReason::ALL.into_iter().filter(|reason| reason.is_recorded());
    let sorts = SessionSort::ALL
        .into_iter()
        .filter(|sort| *sort != SessionSort::default());
    let asks_reason = filter.effective_state() != StateFilter::Live || !form.value("reason").is_empty();
    // From the form, so that it stays when another field is invalid.
    let user = Some(form.value("user").to_owned()).filter(|user| !user.is_empty());
    let user = user.map(|user| {
        let mut everyone = state.starting_after(None);
        everyone.query.filter.user = None;
        view! {
            <input type="hidden" name="user" value=user />
            <p class="user-filter">
                "Sessions of one person. "
                <a href=everyone.url() data-noscroll="">
                    "Show everyone"
                </a>
            </p>
        }
    });
    view! {
        {form.search("q", "Search", "Name, device or address")}
        {form.select("kind", "Kind", "Any", [("browser", "Browsers"), ("desktop", "Desktops")])}
        {form.select("role", "Role", "Any", roles)}
        {form.select("state", "State", StateFilter::default().label(), states.map(StateFilter::option))}
        {asks_reason.then(|| form.select("reason", "Reason", "Any", reasons.map(EndReason::option)))}
        {form.select("age", "Signed in", "Any time", SessionAge::ALL.map(SessionAge::option))}
        {form.select("suspicion", "Suspicion", "Any", SuspicionFilter::ALL.map(SuspicionFilter::option))}
        {form.select("sort", "Order", SessionSort::default().label(), sorts.map(SessionSort::option))}
        {user}
    }
    .into_any()
}

fn list_actions(state: &SessionsPageState, total: i64) -> AnyView {
    let query = &state.query;
    let export = url("/api/v1/admin/sessions.csv", query.to_pairs());
    let export = (total > 0).then(|| {
        view! {
            <a class="button small" href=export rel="external" download="">
                "Export as CSV"
            </a>
        }
    });
    let revoke = (total > 0 && query.filter.is_live_only()).then(|| {
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
    let is_open = state.selected == Some(session.id.0);
    let device = [session.browser.clone(), session.os.clone()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" · ");
    view! {
        <tr class=if is_open { "chosen" } else { "" }>
            <th scope="row">
                <bdi class="row-name">{user.display_name.clone()}</bdi>
                <span class="soft small">{email(&user.email)}</span>
                <span class="soft small">{user.role.label()}</span>
            </th>
            <td data-label="Device">
                <a
                    id=format!("session-{}", session.id)
                    class="device"
                    href=state.with_selected(Some(session.id.0)).url()
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
            <td data-label="Signed in">{age(session.created_at, now)}</td>
            <td data-label="Last active">{age(session.last_active_at, now)}</td>
            <td data-label="State">{view_status(reviewed, now)}</td>
        </tr>
    }
    .into_any()
}
