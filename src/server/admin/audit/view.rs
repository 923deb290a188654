//! Renders the page.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::{
    load::AuditPage,
    query::{PATH, label, page_url},
};
use domain::{
    audit::{AuditChainStatus, AuditFilter, AuditKind},
    session::EndReason,
    time::{format_rfc3339, pluralize},
};

use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::Tone,
    },
    server::{
        admin::{
            html::{moment, notice, number, select, url},
            list_page::{ListPage, Paging, Table},
        },
        store::audit_log::AuditLogRow,
    },
};

/// Renders the page.
pub fn render(page: AuditPage) -> String {
    let AuditPage {
        query,
        problem,
        organization,
        page,
        chain,
    } = page;
    let lead = match &organization {
        Some(name) => format!("What was done to the people of {name}, and what they did."),
        None => "Everything that was done in the portal.".to_owned(),
    };
    let empty = if problem.is_some() {
        "Nothing is listed for a filter that cannot be read."
    } else {
        "Nothing fits this filter. Rows appear here as soon as something is done."
    };
    let export = url("/api/v1/admin/audit.jsonl", query.filter.pairs());
    let export = view! {
        <a class="button small" href=export rel="external" download="">
            "Export as JSON lines"
        </a>
    };
    let introduction = view! {
        {chain_status(&chain)}
        <p class="soft small">
            "Times are in your own time zone, or in UTC where it says so. The filter takes UTC."
        </p>
    };
    let heading = match query.after {
        Some(_) => "Older rows",
        None => "Newest rows",
    };
    ListPage {
        path: PATH,
        title: "Audit log",
        lead,
        problem,
        outcome: None,
        introduction: Some(introduction.into_any()),
        filter_fields: filter_fields(&query.filter),
        heading: heading.into_any(),
        actions: Some(export.into_any()),
        table: Table {
            caption: "Audit log, newest first".to_owned(),
            columns: vec!["What", "To whom", "By whom", "From", "When", "Sealed"],
            rows: page.rows.iter().map(row).collect(),
            empty,
        },
        paging: Paging {
            first: query.after.map(|_| page_url(&query, None)),
            first_label: "Newest",
            next: page.next.map(|next| page_url(&query, Some(next))),
            next_label: "Older",
        },
        details: None,
        dialog: None,
    }
    .render()
}

fn chain_status(chain: &AuditChainStatus) -> AnyView {
    if let Some(broken) = &chain.broken {
        return notice(Tone::Error, broken.clone());
    }
    let whole = match chain.verified_at {
        Some(at) => view! { "The whole log was found as it was sealed on " {moment(at)} "." }.into_any(),
        None => {
            view! { "The whole log has not been looked at yet; the portal does so by itself once a day." }
                .into_any()
        }
    };
    let waiting = match chain.unsealed {
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

fn filter_fields(filter: &AuditFilter) -> AnyView {
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
            {field("person", label("person"), "search", text(&filter.person), "Name, email or id")}
            {field("actor", label("actor"), "search", text(&filter.actor), "Name, email or id")}
            {select("kind", label("kind"), Some("Anything"), kinds, filter.kind.map(AuditKind::as_str).unwrap_or_default())}
            {field("address", label("address"), "search", text(&filter.address), "203.0.113.7 or 203.0.113.0/24")}
            {field("since", label("since"), "datetime-local", time(filter.since), "")}
            {field("until", label("until"), "datetime-local", time(filter.until), "")}
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
