//! Query strings and forms: `name=value&name=value`.

/// Percent-encodes a value for a query string.
pub fn encode_query_value(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte as char)
            }
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(HEX[usize::from(byte >> 4)] as char);
                out.push(HEX[usize::from(byte & 15)] as char);
            }
        }
    }
    out
}

/// Decodes a parameter of a query string. `None`: absent or not valid text.
pub fn query_param(query: &str, name: &str) -> Option<String> {
    let raw = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)?
        .1;
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Why a query string is not a valid filter.
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

/// Finds the first error in a query string with filter `fields` and `others` beside them. A misspelt filter must not
/// select everything.
pub fn find_query_error<'a>(query: &'a str, fields: &[&str], others: &[&str]) -> Option<QueryError<'a>> {
    let mut seen = Vec::new();
    query.split('&').filter(|pair| !pair.is_empty()).find_map(|pair| {
        let (name, is_whole) = match pair.split_once('=') {
            Some((name, _)) => (name, query_param(pair, name).is_some()),
            None => (pair, false),
        };
        let is_field = fields.contains(&name);
        if !is_field && !others.contains(&name) {
            Some(QueryError::UnknownField(name))
        } else if !is_whole {
            Some(QueryError::Unreadable(name))
        } else if is_field && seen.contains(&name) {
            Some(QueryError::Duplicate(name))
        } else {
            seen.push(name);
            None
        }
    })
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
        let check = |query| find_query_error(query, &["q", "role"], &["after"]);
        for query in [
            "",
            "&q=a%20b&after=&role=x&",
            "q=&role=",
            "after=1&after=2",
            "q=a=b",
        ] {
            assert_eq!(check(query), None, "{query}");
        }
        for (query, found) in [
            ("q=1&Role=x", QueryError::UnknownField("Role")),
            ("q=1&=x", QueryError::UnknownField("")),
            ("q=role&role", QueryError::Unreadable("role")),
            ("q=%FF", QueryError::Unreadable("q")),
            ("q=%zz", QueryError::Unreadable("q")),
            ("q=%", QueryError::Unreadable("q")),
            ("after=%FF", QueryError::Unreadable("after")),
            ("role=a&role=b", QueryError::Duplicate("role")),
        ] {
            assert_eq!(check(query), Some(found), "{query}");
        }
    }
}
