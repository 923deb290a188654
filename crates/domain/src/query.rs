//! Query strings and forms, as browsers write them: `name=value&name=value`.

/// Writes a value so that it can stand in a query string.
pub fn query_value(text: &str) -> String {
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

/// Reads a value from a query string, percent-decoded. `None`: it is not there, or is not text.
pub fn form_value(query: &str, name: &str) -> Option<String> {
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

/// Why a query string is no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw<'a> {
    /// Nobody knows a field of that name.
    Unknown(&'a str),
    /// There is no telling which of the two counts.
    Twice(&'a str),
    /// It has no value, or one that is not text.
    Unreadable(&'a str),
}

impl std::fmt::Display for Flaw<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Flaw::Unknown(name) => write!(f, "“{name}” in the address is no filter."),
            Flaw::Twice(name) => write!(f, "“{name}” is in the address twice."),
            Flaw::Unreadable(name) => write!(f, "“{name}” in the address cannot be read."),
        }
    }
}

/// What is wrong with a query string, if anything is, as one of `fields`, beside which `others` may stand: a filter that is
/// misspelt or garbled must not list everything.
pub fn flaw<'a>(query: &'a str, fields: &[&str], others: &[&str]) -> Option<Flaw<'a>> {
    let mut seen = Vec::new();
    query.split('&').filter(|pair| !pair.is_empty()).find_map(|pair| {
        let (name, is_whole) = match pair.split_once('=') {
            Some((name, _)) => (name, form_value(pair, name).is_some()),
            None => (pair, false),
        };
        let is_field = fields.contains(&name);
        if !is_field && !others.contains(&name) {
            Some(Flaw::Unknown(name))
        } else if !is_whole {
            Some(Flaw::Unreadable(name))
        } else if is_field && seen.contains(&name) {
            Some(Flaw::Twice(name))
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
        let query = format!("a=1&next={}&b=%zz", query_value("/a?b=c&d #é"));
        assert_eq!(form_value(&query, "next").as_deref(), Some("/a?b=c&d #é"));
        assert_eq!(form_value(&query, "b"), None);
        assert_eq!(form_value(&query, "c"), None);
        assert_eq!(form_value("x=%4", "x"), None);
    }

    #[test]
    fn query_value_cannot_end_its_parameter() {
        assert_eq!(query_value("/a?b=c&d #é"), "/a%3Fb%3Dc%26d%20%23%C3%A9");
    }

    #[test]
    fn unknown_malformed_and_repeated_parameters_are_found() {
        let flaw = |query| flaw(query, &["q", "role"], &["after"]);
        for query in [
            "",
            "&q=a%20b&after=&role=x&",
            "q=&role=",
            "after=1&after=2",
            "q=a=b",
        ] {
            assert_eq!(flaw(query), None, "{query}");
        }
        for (query, found) in [
            ("q=1&Role=x", Flaw::Unknown("Role")),
            ("q=1&=x", Flaw::Unknown("")),
            ("q=role&role", Flaw::Unreadable("role")),
            ("q=%FF", Flaw::Unreadable("q")),
            ("q=%zz", Flaw::Unreadable("q")),
            ("q=%", Flaw::Unreadable("q")),
            ("after=%FF", Flaw::Unreadable("after")),
            ("role=a&role=b", Flaw::Twice("role")),
        ] {
            assert_eq!(flaw(query), Some(found), "{query}");
        }
    }
}
