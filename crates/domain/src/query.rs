//! Query strings and forms: `name=value&name=value`.

use std::{borrow::Cow, collections::BTreeMap};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The bytes that a value escapes.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The fields of a query string or form, by name.
pub type QueryFields = BTreeMap<String, String>;

/// Percent-encodes a value for a query string.
pub fn encode_query_value(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).collect()
}

/// Builds a query string without a question mark.
pub fn encode_query<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs = pairs
        .into_iter()
        .map(|(name, value)| format!("{}={}", encode_query_value(name), encode_query_value(&value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Decodes a parameter of a query string. `None`: absent or not valid text.
pub fn query_param(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    decode(pairs.find(|(key, _)| *key == name)?.1)
}

fn decode(raw: &str) -> Option<String> {
    // `percent_encoding` leaves malformed escapes as they are.
    let is_escape = |rest: &str| {
        let hex = rest.as_bytes().get(..2);
        hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    };
    let is_valid = raw.split('%').skip(1).all(is_escape);
    let text = raw.replace('+', " ");
    let text = percent_decode_str(&text).decode_utf8().ok();
    text.filter(|_| is_valid).map(Cow::into_owned)
}

/// The reason why a query string is not a valid filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryError<'a> {
    /// The field does not exist.
    UnknownField(&'a str),
    /// The field is given twice.
    Duplicate(&'a str),
    /// The field has no value, or one that cannot be decoded.
    Unreadable(&'a str),
}

impl std::fmt::Display for QueryError<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            QueryError::UnknownField(name) => write!(f, "“{name}” in the address is not a filter."),
            QueryError::Duplicate(name) => write!(f, "“{name}” is in the address twice."),
            QueryError::Unreadable(name) => write!(f, "“{name}” in the address cannot be read."),
        }
    }
}

/// Parses a query string with filter `fields` and `others` beside them. A misspelt filter must not select everything.
///
/// # Errors
/// [`QueryError`] for the first field that is unknown, repeated or malformed.
pub fn parse_query<'a>(
    query: &'a str,
    fields: &[&str],
    others: &[&str],
) -> Result<QueryFields, QueryError<'a>> {
    let mut parsed = QueryFields::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .map_or((pair, None), |(name, raw)| (name, decode(raw)));
        let is_field = fields.contains(&name);
        if !is_field && !others.contains(&name) {
            return Err(QueryError::UnknownField(name));
        }
        let value = value.ok_or(QueryError::Unreadable(name))?;
        if is_field && parsed.contains_key(name) {
            return Err(QueryError::Duplicate(name));
        }
        parsed.entry(name.to_owned()).or_insert(value);
    }
    Ok(parsed)
}

/// The fields of a query string that can be read, for a form beside the error. Not for a filter: [`parse_query`] rejects
/// what this drops.
pub fn displayable_fields(query: &str) -> QueryFields {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .filter_map(|(name, raw)| Some((name.to_owned(), decode(raw)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_round_trip() {
        let query = format!("a=1&next={}&b=%zz", encode_query_value("/a?b=c&d #é"));
        assert_eq!(query_param(&query, "next").as_deref(), Some("/a?b=c&d #é"));
        assert_eq!(query_param(&query, "b"), None);
        assert_eq!(query_param(&query, "c"), None);
        assert_eq!(query_param("x=%4", "x"), None);
    }

    #[test]
    fn query_value_cannot_end_its_parameter() {
        assert_eq!(encode_query_value("/a?b=c&d #é"), "/a%3Fb%3Dc%26d%20%23%C3%A9");
    }

    #[test]
    fn unknown_malformed_and_repeated_parameters_are_found() {
        let parse = |query| parse_query(query, &["q", "role"], &["after"]);
        for query in [
            "",
            "&q=a%20b&after=&role=x&",
            "q=&role=",
            "after=1&after=2",
            "q=a=b",
        ] {
            assert!(parse(query).is_ok(), "{query}");
        }
        for (query, found) in [
            ("q=1&Role=x", QueryError::UnknownField("Role")),
            ("q=1&=x", QueryError::UnknownField("")),
            ("q=role&role", QueryError::Unreadable("role")),
            ("q=%FF", QueryError::Unreadable("q")),
            ("q=%zz", QueryError::Unreadable("q")),
            ("q=%", QueryError::Unreadable("q")),
            ("q=%+f", QueryError::Unreadable("q")),
            ("after=%FF", QueryError::Unreadable("after")),
            ("role=a&role=b", QueryError::Duplicate("role")),
        ] {
            assert_eq!(parse(query), Err(found), "{query}");
        }
    }
}
