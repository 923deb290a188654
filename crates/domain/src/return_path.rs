//! Where to go after signing in: a path of this portal.

/// Validates a `next=` parameter. `None` for anything that a browser could interpret as another origin; the caller
/// then uses the dashboard (ASVS 5.0, 3.7.2).
///
/// A path starts with one `/` and contains no backslash, control character or space, because browsers remove these or
/// replace them by `/`.
pub fn safe_return_path(next: &str) -> Option<&str> {
    let harmless = |c: char| c.is_ascii_graphic() && c != '\\';
    // Reject empty and dot segments too: resolving the path again must not lead to `//elsewhere`.
    let path = next.split(['?', '#']).next().unwrap_or_default();
    let odd = path.split('/').skip(1).any(|part| matches!(part, "." | ".."));
    let local = path.starts_with('/') && !path.contains("//") && !odd;
    // The sign-in page would redirect to itself.
    let loops = next == "/login" || next.starts_with("/login?") || next.starts_with("/api/");
    (next.len() <= 512 && local && !loops && next.chars().all(harmless)).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_and_empty_segments_are_rejected() {
        for path in [
            "/.//evil.example",
            "/..//evil.example",
            "/a/../b",
            "/./a",
            "/a//b",
            "/..",
        ] {
            assert_eq!(safe_return_path(path), None, "{path}");
        }
        assert_eq!(
            safe_return_path("/a.b/..c?x=//y/../z"),
            Some("/a.b/..c?x=//y/../z")
        );
    }

    #[test]
    fn portal_paths_are_accepted() {
        for path in [
            "/",
            "/dashboard",
            "/dashboard/settings?tab=1#sessions",
            "/dashboard/a%2Fb",
        ] {
            assert_eq!(safe_return_path(path), Some(path));
        }
    }

    #[test]
    fn paths_to_another_origin_are_rejected() {
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
            assert_eq!(safe_return_path(path), None, "{path:?}");
        }
        assert_eq!(safe_return_path(&format!("/{}", "a".repeat(600))), None);
    }
}
