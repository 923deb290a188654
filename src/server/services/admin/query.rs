//! Query strings of the admin lists. Each list has one query type, which page, API, export and OpenAPI description share.

use domain::{
    filter::{Filter, InvalidFilter},
    query::{QueryFields, parse_query},
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
    /// The URL of a page. An invalid cursor starts at the first page.
    Page {
        /// The parameter of the selected row, if rows have details and actions.
        selected: Option<&'static str>,
    },
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

/// A filter with the order and the cursor of its list.
pub trait ListFilter: Filter {
    type Sort: Copy + Default;
    type Cursor: Clone + ToString;

    /// The parameters besides the filter.
    const POSITION: &'static [&'static str] = &["after"];

    /// # Errors
    /// [`InvalidFilter`] for an unknown order.
    fn parse_sort(_fields: &QueryFields) -> Result<Self::Sort, InvalidFilter> {
        Ok(Self::Sort::default())
    }

    /// The name of an order. `None`: the default.
    fn sort_name(_sort: Self::Sort) -> Option<&'static str> {
        None
    }

    /// Parses a cursor. `None`: it is invalid or belongs to another order.
    fn parse_cursor(text: &str, sort: Self::Sort) -> Option<Self::Cursor>;
}

/// Which rows to list, and which page of them.
#[derive(Clone, Debug)]
pub struct ListQuery<F: ListFilter> {
    pub filter: F,
    pub sort: F::Sort,
    /// Where the page starts. `None`: at the first row.
    pub after: Option<F::Cursor>,
    /// Rows of a page.
    pub limit: u16,
}

impl<F: ListFilter> Default for ListQuery<F> {
    fn default() -> Self {
        Self::new(F::default())
    }
}

impl<F: ListFilter> ListQuery<F> {
    /// The first page in the default order.
    pub fn new(filter: F) -> Self {
        Self {
            filter,
            sort: F::Sort::default(),
            after: None,
            limit: DEFAULT_LIMIT,
        }
    }

    /// Rejects unknown, repeated and malformed parameters: a misspelt filter must not list everything.
    ///
    /// # Errors
    /// [`InvalidQuery`].
    pub fn parse(query: &str, source: QuerySource) -> Result<Self, InvalidQuery> {
        let mut others = F::POSITION.to_vec();
        match source {
            QuerySource::Api => others.push("limit"),
            QuerySource::Page { selected } => {
                others.extend(["__path", "__err"]);
                others.extend(
                    selected
                        .into_iter()
                        .flat_map(|selected| [selected, "ask", "begun_by"]),
                );
            }
        }
        let fields = parse_query(query, F::FIELDS, &others);
        let fields = fields.map_err(|error| InvalidQuery::Parameter(error.to_string()))?;
        let sort = F::parse_sort(&fields)?;
        Ok(Self {
            filter: F::parse(&fields)?,
            sort,
            after: parse_after(&fields, source, |text| F::parse_cursor(text, sort))?,
            limit: parse_limit(&fields)?,
        })
    }

    /// Filter and order as query parameters.
    pub fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = self.filter.to_pairs();
        pairs.extend(F::sort_name(self.sort).map(|name| ("sort", name.to_owned())));
        pairs
    }
}

fn parse_after<T>(
    fields: &QueryFields,
    source: QuerySource,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, InvalidFilter> {
    let Some(text) = fields.get("after").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let after = parse(text);
    if after.is_none() && matches!(source, QuerySource::Api) {
        let problem = "Send `next` of the previous page with the same order.";
        return Err(InvalidFilter::new("after", problem));
    }
    Ok(after)
}

fn parse_limit(fields: &QueryFields) -> Result<u16, InvalidFilter> {
    let Some(text) = fields.get("limit").filter(|text| !text.is_empty()) else {
        return Ok(DEFAULT_LIMIT);
    };
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| InvalidFilter::new("limit", format!("Give 1 to {MAX_LIMIT}.")))
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
