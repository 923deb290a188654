//! Where to go after signing in: a path of this portal, and nothing else.

/// Reads a `next=` value. Anything that a browser could take for another origin is refused, in which case the
/// caller falls back to the dashboard (ASVS 5.0, 3.7.2).
///
/// A path is taken as it would stand in an address bar: it starts with one `/`, and holds no backslash, no control
/// character and no space, which browsers drop or turn into `/` before they look at the address.
pub fn safe_path(next: &str) -> Option<&str> {
    let harmless = |c: char| c.is_ascii_graphic() && c != '\\';
    // Empty and dot segments too: whoever resolves the path once more must not end up at `//elsewhere`.
    let path = next.split(['?', '#']).next().unwrap_or_default();
    let odd = path.split('/').skip(1).any(|part| matches!(part, "." | ".."));
    let local = path.starts_with('/') && !path.contains("//") && !odd;
    // The sign-in page itself would be a loop.
    let loops = next == "/login" || next.starts_with("/login?") || next.starts_with("/api/");
    (next.len() <= 512 && local && !loops && next.chars().all(harmless)).then_some(next)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_that_lead_elsewhere_are_refused() {
        for path in [
            "/.//evil.example",
            "/..//evil.example",
            "/a/../b",
            "/./a",
            "/a//b",
            "/..",
        ] {
            assert_eq!(safe_path(path), None, "{path}");
        }
        assert_eq!(safe_path("/a.b/..c?x=//y/../z"), Some("/a.b/..c?x=//y/../z"));
    }

    #[test]
    fn paths_of_the_portal_are_taken() {
        for path in [
            "/",
            "/dashboard",
            "/dashboard/settings?tab=1#sessions",
            "/dashboard/a%2Fb",
        ] {
            assert_eq!(safe_path(path), Some(path));
        }
    }

    #[test]
    fn whatever_leaves_the_origin_is_refused() {
        for path in [
            "",
            "dashboard",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/%09/e\n",
            "https:evil",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: x=1",
            " //evil",
            "/ /evil",
            "/login",
            "/login?next=/login",
            "/api/sign_out",
            "/\u{2028}",
        ] {
            assert_eq!(safe_path(path), None, "{path:?}");
        }
        assert_eq!(safe_path(&format!("/{}", "a".repeat(600))), None);
    }

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
}
