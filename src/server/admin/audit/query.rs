//! The state of the page: all of it is in the URL.

use domain::{audit::AuditFilter, query::query_param};

use crate::server::{
    admin::html::{explain_invalid_query, url},
    services::admin::{audit_log::AuditQuery, query::QuerySource},
};

pub const PATH: &str = "/dashboard/admin/audit";

/// The labels of the filter's fields.
const LABELS: [(&str, &str); 6] = [
    ("person", "To whom"),
    ("actor", "By whom"),
    ("kind", "What"),
    ("since", "Since (UTC)"),
    ("until", "Until (UTC)"),
    ("address", "From address"),
];

pub(super) fn label(field: &'static str) -> &'static str {
    let found = LABELS.iter().find(|(name, _)| *name == field);
    found.map_or(field, |(_, label)| label)
}

/// Parses the query of a URL. If it is invalid, the second value says why; what can be parsed of
/// the filter is kept for the form.
pub(super) fn parse(query: &str) -> (AuditQuery, Option<String>) {
    match AuditQuery::parse(query, QuerySource::Page(&["__path", "__err"])) {
        Ok(query) => (query, None),
        Err(error) => {
            let filter = AuditFilter::parse(|name| query_param(query, name)).unwrap_or_default();
            let query = AuditQuery {
                filter,
                ..AuditQuery::default()
            };
            (query, Some(explain_invalid_query(error, &LABELS)))
        }
    }
}

/// The URL of the page that starts after this row.
pub(super) fn page_url(query: &AuditQuery, after: Option<i64>) -> String {
    let mut pairs = query.filter.pairs();
    pairs.push(("after", after.map(|id| id.to_string()).unwrap_or_default()));
    url(PATH, pairs)
}
