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

/// The first name in a query string that is none of the known ones: a misspelt filter must not list everything.
pub fn unknown_name<'a>(query: &'a str, known: &[&[&str]]) -> Option<&'a str> {
    let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
    names.find(|name| !name.is_empty() && !known.iter().any(|known| known.contains(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_value_comes_back_as_it_was() {
        let query = format!("a=1&next={}&b=%zz", query_value("/a?b=c&d #é"));
        assert_eq!(form_value(&query, "next").as_deref(), Some("/a?b=c&d #é"));
        assert_eq!(form_value(&query, "b"), None);
        assert_eq!(form_value(&query, "c"), None);
        assert_eq!(form_value("x=%4", "x"), None);
    }

    #[test]
    fn a_query_value_cannot_end_its_parameter() {
        assert_eq!(query_value("/a?b=c&d #é"), "/a%3Fb%3Dc%26d%20%23%C3%A9");
    }

    #[test]
    fn a_name_that_nobody_knows_is_found() {
        let known: [&[&str]; 2] = [&["q", "role"], &["after"]];
        assert_eq!(unknown_name("&q=a=b&after=&role=x&", &known), None);
        assert_eq!(unknown_name("q=1&Role=x", &known), Some("Role"));
        assert_eq!(unknown_name("q=role&y", &known), Some("y"));
    }
}
