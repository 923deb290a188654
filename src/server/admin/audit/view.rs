//! Renders the page.

use leptos::prelude::*;

use super::list::{AuditList, AuditPage};
use domain::{
    audit::{AuditChainStatus, AuditKind},
    filter::Filter,
    session::EndReason,
    time::pluralize,
};

use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::Tone,
    },
    server::{
        admin::{
            html::{email, moment, notice, number, url},
            list_page::{FilterForm, List, ListView},
        },
        store::audit_log::AuditLogRow,
    },
};

/// Renders the page.
pub fn render(page: AuditPage, chain: &AuditChainStatus) -> String {
    let query = &page.state.query;
    let lead = match &page.organization {
        Some(name) => format!("What was done to the people of {name}, and what they did."),
        None => "Everything that was done in the portal.".to_owned(),
    };
    let export = url("/api/v1/admin/audit.jsonl", query.filter.to_pairs());
    let export = view! {
        <a class="button small" href=export rel="external" download="">
            "Export as JSON lines"
        </a>
    };
    let gaps = page.organization.as_ref().map(|name| {
        format!("Rows are numbered across the whole log. Numbers are missing where a row does not concern {name}. ")
    });
    let introduction = view! {
        {chain_status(chain)}
        <p class="soft small">
            {gaps} "Times are in your own time zone, or in UTC where it says so. The filter takes UTC."
        </p>
    };
    let heading = match query.after {
        Some(_) => "Older rows",
        None => "Newest rows",
    };
    let view = ListView {
        title: "Audit log",
        lead,
        introduction: Some(introduction.into_any()),
        filter_fields: filter_fields(&page.form),
        heading: heading.into_any(),
        // Without its filter the export would be of everything.
        actions: (!page.is_invalid).then(|| export.into_any()),
        caption: "Audit log, newest first".to_owned(),
        columns: &["What", "To whom", "By whom", "From", "When", "Sealed"],
        rows: page.rows.rows.iter().map(row).collect(),
        empty: "Nothing fits this filter. Rows appear here as soon as something is done.",
        details: None,
        paging: ["Newest", "Older"],
    };
    page.render(view)
}

fn chain_status(chain: &AuditChainStatus) -> AnyView {
    if let Some(problem) = &chain.problem {
        return notice(Tone::Error, problem.clone());
    }
    let verified = match chain.verified_at {
        Some(at) => view! { "The whole log was verified on " {moment(at)} " and is unchanged." }.into_any(),
        None => "The log has not been verified yet. The portal verifies it once a day.".into_any(),
    };
    let since = chain
        .sealed_since
        .map(|since| view! { " Rows have been sealed since " {moment(since)} "." });
    let unsealed = match chain.unsealed_rows {
        0 => "Every row is sealed.".to_owned(),
        1 => "1 row is not sealed yet.".to_owned(),
        rows => format!("{} are not sealed yet.", pluralize(rows, "row")),
    };
    view! {
        <p class="chain-state soft">
            <Icon name=IconName::Check />
            <span>{verified} {since} " " {unsealed}</span>
        </p>
    }
    .into_any()
}

fn filter_fields(form: &FilterForm) -> AnyView {
    let label = |field: &'static str| {
        let found = AuditList::LABELS.iter().find(|(name, _)| *name == field);
        found.map_or(field, |(_, label)| label)
    };
    view! {
        {form.search("person", label("person"), "Name or email")}
        {form.search("actor", label("actor"), "Name or email")}
        {form.select("kind", label("kind"), "Anything", AuditKind::ALL.map(AuditKind::option))}
        {form.search("address", label("address"), "203.0.113.7")}
        {form.time("since", label("since"))}
        {form.time("until", label("until"))}
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
    let label = row.kind.parse().ok().map(AuditKind::label);
    let reason = row
        .reason
        .as_ref()
        .map(|reason| match reason.parse::<EndReason>() {
            Ok(reason) => reason.label().to_owned(),
            Err(_) => reason.replace('_', " "),
        });
    let who = |address: &Option<String>, is_somebody: bool| match address {
        Some(address) => email(address),
        None if is_somebody => "someone else".into_any(),
        None => "–".into_any(),
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
        None => view! { <span class="soft">"Not sealed yet"</span> }.into_any(),
    };
    view! {
        <tr>
            <th scope="row">
                <span class="row-name">{label.unwrap_or(&row.kind).to_owned()}</span>
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
