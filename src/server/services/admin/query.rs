//! Query strings of the admin lists. Each list has one query type, which page, API, export and OpenAPI description share.

use domain::{
    query::{find_query_error, query_param},
    session_filter::InvalidFilter,
};
use utoipa::IntoParams;

use crate::error::AppError;

/// Rows of a page by default.
pub const DEFAULT_LIMIT: u16 = 50;

/// Most rows of a page.
pub const MAX_LIMIT: u16 = 200;

/// Where a query string comes from.
#[derive(Clone, Copy, Debug)]
pub enum QuerySource {
    /// The API: `limit` is allowed, and an invalid cursor is an error.
    Api,
    /// The URL of a page, which may have these further parameters. An invalid cursor starts at the first page.
    Page(&'static [&'static str]),
}

/// Why a query string selects nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidQuery {
    /// An unknown, repeated or malformed parameter.
    Parameter(String),
    Value(InvalidFilter),
}

impl From<InvalidFilter> for InvalidQuery {
    fn from(error: InvalidFilter) -> Self {
        Self::Value(error)
    }
}

impl From<InvalidFilter> for AppError {
    fn from(error: InvalidFilter) -> Self {
        AppError::invalid_input(error.field, error.problem)
    }
}

impl From<InvalidQuery> for AppError {
    fn from(error: InvalidQuery) -> Self {
        match error {
            InvalidQuery::Parameter(problem) => AppError::invalid_input("query", problem),
            InvalidQuery::Value(error) => error.into(),
        }
    }
}

/// Rejects a query string with unknown, repeated or malformed parameters: a misspelt filter must not list everything.
pub(super) fn check_parameters(
    query: &str,
    fields: &[&str],
    position: &[&str],
    source: QuerySource,
) -> Result<(), InvalidQuery> {
    let further: &[&str] = match source {
        QuerySource::Api => &["limit"],
        QuerySource::Page(names) => names,
    };
    let others = [position, further].concat();
    match find_query_error(query, fields, &others) {
        Some(error) => Err(InvalidQuery::Parameter(error.to_string())),
        None => Ok(()),
    }
}

/// Parses `after`, where the page starts.
pub(super) fn parse_after<T>(
    query: &str,
    source: QuerySource,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, InvalidQuery> {
    let Some(text) = query_param(query, "after").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let after = parse(&text);
    if after.is_none() && matches!(source, QuerySource::Api) {
        return Err(InvalidQuery::Value(InvalidFilter {
            field: "after",
            problem: "Send `next` of the previous page with the same order.".to_owned(),
        }));
    }
    Ok(after)
}

/// Parses `limit`, which only the API accepts.
pub(super) fn parse_limit(query: &str) -> Result<u16, InvalidQuery> {
    let Some(text) = query_param(query, "limit").filter(|text| !text.is_empty()) else {
        return Ok(DEFAULT_LIMIT);
    };
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| {
        InvalidQuery::Value(InvalidFilter {
            field: "limit",
            problem: format!("Give 1 to {MAX_LIMIT}."),
        })
    })
}

/// The parameters of the list of sessions besides its filter.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only describes the parameters")]
pub(super) struct SessionsPosition {
    /// `last_active` (the default), `began` or `person`.
    sort: Option<String>,
    /// `next` of the previous page.
    after: Option<String>,
    /// Rows per page, 1 to 200; 50 by default.
    limit: Option<u16>,
}

/// The parameters of the audit log besides its filter.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only describes the parameters")]
pub(super) struct AuditPosition {
    /// `next` of the previous page.
    after: Option<i64>,
    /// Rows per page, 1 to 200; 50 by default.
    limit: Option<u16>,
}
