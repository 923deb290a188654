//! The common parts of the filters of admin lists. Pages, the API and saved links use the same query string.

use std::str::FromStr;

use super::{
    named_values::UnknownName,
    plain_text::{is_blank, parse_line},
    query::{QueryFields, encode_query},
};

/// The longest search text, in characters.
pub const MAX_SEARCH_CHARS: usize = 120;

/// Selects the rows of a list. Empty: every row that the administrator may see.
///
/// To add a field: extend [`Filter::FIELDS`], [`Filter::parse`] and [`Filter::to_pairs`], and add its condition in the store.
pub trait Filter: Clone + Default + PartialEq {
    /// The field names in query strings and the API.
    const FIELDS: &'static [&'static str];

    /// Parses a filter. An empty value counts as absent.
    ///
    /// # Errors
    /// [`InvalidFilter`] for the first value that cannot be parsed.
    fn parse(fields: &QueryFields) -> Result<Self, InvalidFilter>;

    /// The fields that are set, as names and values.
    fn to_pairs(&self) -> Vec<(&'static str, String)>;

    /// The fields that are set, as a query string without a question mark.
    fn to_query_string(&self) -> String {
        encode_query(self.to_pairs())
    }
}

/// A filter that cannot be parsed. Callers must reject the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidFilter {
    pub field: &'static str,
    /// The problem, and what to enter instead.
    pub problem: String,
}

impl InvalidFilter {
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self { field, problem }
    }
}

/// Parses a search text. `None` if nothing is visible.
pub(super) fn parse_text(fields: &QueryFields, field: &'static str) -> Result<Option<String>, InvalidFilter> {
    let text = fields.get(field).filter(|text| !is_blank(text));
    let line = text.map(|text| parse_line(text, MAX_SEARCH_CHARS)).transpose();
    line.map(Option::flatten).map_err(|problem| {
        let problem = format!(
            "The search text {problem}. Search for at most {MAX_SEARCH_CHARS} characters in one line."
        );
        InvalidFilter { field, problem }
    })
}

/// Parses the name of a value.
pub(super) fn parse_choice<T: FromStr<Err = UnknownName>>(
    fields: &QueryFields,
    field: &'static str,
) -> Result<Option<T>, InvalidFilter> {
    let text = fields.get(field).map(|text| text.trim()).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|unknown: UnknownName| {
        InvalidFilter::new(field, format!("Give one of {}.", unknown.names.join(", ")))
    })
}

/// The text of a value, if there is one.
pub(super) fn text<T: ToString>(value: &Option<T>) -> Option<String> {
    value.as_ref().map(T::to_string)
}

/// Returns the fields that have a value.
pub(super) fn set_fields<const N: usize>(
    fields: [(&'static str, Option<String>); N],
) -> Vec<(&'static str, String)> {
    let set = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    set.collect()
}
