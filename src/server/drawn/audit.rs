//! `/dashboard/admin/audit`: what was done, to whom, by whom, from where.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{
    drawn, tabs,
    words::{address, moment, no_filter, notice, number, select},
};
use domain::{
    audit::{AuditChainStatus, AuditFilter, AuditKind},
    query::{find_query_error, query_param},
    session::EndReason,
    time::{format_rfc3339, pluralize},
};

use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::Tone,
    },
    server::{services::admin::audit_log::Page, store::audit_log::AuditLogRow},
};

pub const PATH: &str = "/dashboard/admin/audit";

/// What the address asks for.
#[derive(Clone, Debug)]
pub struct Place {
    pub filter: AuditFilter,
    /// The page begins before the row of this id.
    pub before: Option<i64>,
}

impl Place {
    /// Reads the query of an address. The second is what in it stands for nothing.
    pub fn read(query: &str) -> (Self, Option<String>) {
        const OTHERS: [&str; 3] = ["before", "__path", "__err"];
        let get = |name: &str| query_param(query, name);
        let (filter, problem) = match AuditFilter::parse(get) {
            Ok(filter) => (
                filter,
                find_query_error(query, &AuditFilter::FIELDS, &OTHERS).map(|error| error.to_string()),
            ),
            Err(unknown) => (AuditFilter::default(), Some(no_filter(&unknown, &LABELS))),
        };
        let before = get("before").and_then(|id| id.parse().ok());
        (Self { filter, before }, problem)
    }

    fn address(&self, before: Option<i64>) -> String {
        let mut pairs = self.filter.pairs();
        pairs.push(("before", before.map(|id| id.to_string()).unwrap_or_default()));
        address(PATH, pairs)
    }
}

/// Everything that is drawn.
pub struct Drawing {
    pub place: Place,
    pub problem: Option<String>,
    pub organization: Option<String>,
    pub page: Page,
    pub trust: AuditChainStatus,
}

/// Draws the page.
pub fn draw(drawing: Drawing) -> String {
    let Drawing {
        place,
        problem,
        organization,
        page,
        trust,
    } = drawing;
    let whose = match &organization {
        Some(name) => format!("What was done to the people of {name}, and what they did."),
        None => "Everything that was done in the portal.".to_owned(),
    };
    let export = address("/api/v1/admin/audit.jsonl", place.filter.pairs());
    let (first, next) = (place.before.is_some(), page.next);
    let pages = (first || next.is_some()).then(|| {
        view! {
            <nav class="card-foot actions end" aria-label="Pages">
                {first
                    .then(|| {
                        view! {
                            <a class="button small" href=place.address(None) data-noscroll="">
                                "Newest"
                            </a>
                        }
                    })}
                {next
                    .map(|next| {
                        view! {
                            <a class="button small" id="next-page" href=place.address(Some(next))>
                                "Older"
                            </a>
                        }
                    })}
            </nav>
        }
    });
    let rows = page.rows.iter().map(row).collect::<Vec<_>>();
    let none = if problem.is_some() {
        "Nothing is listed for a filter that cannot be read."
    } else {
        "Nothing fits this filter. Rows appear here as soon as something is done."
    };
    let list = if rows.is_empty() {
        view! {
            <div class="card-body">
                <p class="soft">{none}</p>
            </div>
        }
        .into_any()
    } else {
        view! {
            <table class="table stacks">
                <caption class="visually-hidden">"Audit log, newest first"</caption>
                <thead>
                    <tr>
                        <th scope="col">"What"</th>
                        <th scope="col">"To whom"</th>
                        <th scope="col">"By whom"</th>
                        <th scope="col">"From"</th>
                        <th scope="col">"When"</th>
                        <th scope="col">"Sealed"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        }
        .into_any()
    };
    drawn(view! {
        <header class="page-head">
            <h1>"Audit log"</h1>
            <p class="lead">{whose}</p>
        </header>
        {tabs(PATH)}
        {problem.map(|problem| notice(Tone::Warning, problem))}
        {trust_line(&trust)}
        <p class="soft small">
            "Times are in your own time zone, or in UTC where it says so. The filter takes UTC."
        </p>
        <div class="review">
            <section class="card" aria-labelledby="list-title">
                {filter_form(&place.filter)}
                <header class="card-head">
                    <h2 id="list-title" tabindex="-1">
                        {if first { "Older rows" } else { "Newest rows" }}
                    </h2>
                    <div class="card-aside actions">
                        <a class="button small" href=export rel="external" download="">
                            "Export as JSON lines"
                        </a>
                    </div>
                </header>
                {list}
                {pages}
            </section>
        </div>
    })
}

fn trust_line(trust: &AuditChainStatus) -> AnyView {
    if let Some(broken) = &trust.broken {
        return notice(Tone::Error, broken.clone());
    }
    let whole = match trust.verified_at {
        Some(at) => view! { "The whole log was found as it was sealed on " {moment(at)} "." }.into_any(),
        None => {
            view! { "The whole log has not been looked at yet; the portal does so by itself once a day." }
                .into_any()
        }
    };
    let waiting = match trust.unsealed {
        0 => "Every row is sealed.".to_owned(),
        waiting => format!("{} waiting to be sealed.", pluralize(waiting, "row")),
    };
    view! {
        <p class="trust soft">
            <Icon name=IconName::Check />
            <span>{whole} " " {waiting}</span>
        </p>
    }
    .into_any()
}

/// What the fields of the filter are called.
const LABELS: [(&str, &str); 6] = [
    ("person", "To whom"),
    ("actor", "By whom"),
    ("kind", "What"),
    ("since", "Since (UTC)"),
    ("until", "Until (UTC)"),
    ("address", "From address"),
];

fn label(field: &'static str) -> &'static str {
    let found = LABELS.iter().find(|(name, _)| *name == field);
    found.map_or(field, |(_, label)| label)
}

fn filter_form(filter: &AuditFilter) -> AnyView {
    let kinds = AuditKind::ALL
        .iter()
        .map(|kind| (kind.as_str(), kind.label()))
        .collect();
    // As the field has it: without an offset, and no finer than a millisecond.
    let time = |at: Option<DateTime<Utc>>| {
        let text = at.map(format_rfc3339).unwrap_or_default();
        let text = text.trim_end_matches('Z');
        text.strip_suffix(":00.000").unwrap_or(text).to_owned()
    };
    let field =
        |name: &'static str, label: &'static str, kind: &'static str, value: String, hint: &'static str| {
            view! {
                <div class="field">
                    <label for=format!("filter-{name}")>{label}</label>
                    <input
                        class="input"
                        id=format!("filter-{name}")
                        type=kind
                        name=name
                        value=value
                        step=(kind == "datetime-local").then_some("any")
                        maxlength="120"
                        autocomplete="off"
                        placeholder=hint
                    />
                </div>
            }
            .into_any()
        };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    view! {
        <form class="filter" role="search" method="get" action=PATH data-live="">
            {field("person", label("person"), "search", text(&filter.person), "Name, email or id")}
            {field("actor", label("actor"), "search", text(&filter.actor), "Name, email or id")}
            {select("kind", label("kind"), Some("Anything"), kinds, filter.kind.map(AuditKind::as_str).unwrap_or_default())}
            {field("address", label("address"), "search", text(&filter.address), "203.0.113.7 or 203.0.113.0/24")}
            {field("since", label("since"), "datetime-local", time(filter.since), "")}
            {field("until", label("until"), "datetime-local", time(filter.until), "")}
            <div class="filter-foot actions">
                <button class="button small" type="submit">
                    "Show"
                </button>
                <a class="button small quiet" href=PATH data-noscroll="">
                    "Clear"
                </a>
            </div>
        </form>
    }
    .into_any()
}

/// A fact as people write it.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.replace('_', " "),
        serde_json::Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn row(row: &AuditLogRow) -> AnyView {
    let label = AuditKind::ALL
        .iter()
        .find(|kind| kind.as_str() == row.kind)
        .map(|kind| kind.label().to_owned());
    let reason = row
        .reason
        .as_ref()
        .map(|reason| match reason.parse::<EndReason>() {
            Ok(reason) => reason.label().to_owned(),
            Err(_) => reason.replace('_', " "),
        });
    let who = |email: &Option<String>, is_somebody: bool| match email {
        Some(email) => email.clone(),
        None if is_somebody => "someone else".to_owned(),
        None => "–".to_owned(),
    };
    let detail = row
        .detail
        .as_object()
        .filter(|facts| !facts.is_empty())
        .map(|facts| {
            let facts = facts
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| format!("{}: {}", name.replace('_', " "), plain(value)))
                .collect::<Vec<_>>()
                .join(" · ");
            view! { <span class="soft small">{facts}</span> }
        });
    let sealed = match row.position {
        Some(position) => view! { <span class="nowrap">"No. " {number(position)}</span> }.into_any(),
        None => view! { <span class="soft">"waits"</span> }.into_any(),
    };
    view! {
        <tr>
            <th scope="row">
                <span class="person">{label.unwrap_or_else(|| row.kind.clone())}</span>
                {reason.map(|reason| view! { <span class="soft small">{reason}</span> })}
                {detail}
            </th>
            <td data-label="To whom">{who(&row.user_email, row.user_id.is_some())}</td>
            <td data-label="By whom">{who(&row.actor_email, row.actor_id.is_some() || row.is_actor_hidden)}</td>
            <td data-label="From">{row.ip_address.clone().unwrap_or_else(|| "–".to_owned())}</td>
            <td data-label="When">{moment(row.at)}</td>
            <td data-label="Sealed">{sealed}</td>
        </tr>
    }
    .into_any()
}
