//! Which browser a client is, whatever its version and system: what a cookie cannot change by itself.

use super::user_agent::UserAgentParser;
use crate::domain::session::ClientKind;

/// Browsers that are told apart. A name that is not here, a program's among them, is no evidence of anything.
const FAMILIES: [&str; 10] = [
    "Chrome",
    "Edge",
    "Firefox",
    "Opera",
    "Safari",
    "Samsung Internet",
    "Vivaldi",
    "Whale",
    "Yandex Browser",
    "IE",
];

/// The same browser under other names.
const ALIASES: [(&str, &str); 3] = [
    ("Chromium", "Chrome"),
    ("HeadlessChrome", "Chrome"),
    ("Chrome WebView", "Chrome"),
];

fn family(user_agent: &str) -> Option<&'static str> {
    let name = UserAgentParser::default().family(user_agent)?;
    let name = ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map_or(name.as_str(), |(_, name)| name);
    FAMILIES.into_iter().find(|family| *family == name)
}

/// Whether a session that began in one client has turned up in another: a browser's in a browser of another family, a
/// desktop's in a browser. Another version, another system and the "desktop site" of a phone are no other client.
pub fn is_another_client(kind: ClientKind, began_in: &str, seen_in: &str) -> bool {
    if began_in == seen_in {
        return false;
    }
    match (family(began_in), family(seen_in)) {
        (Some(began), Some(seen)) => began != seen,
        (None, Some(_)) => kind == ClientKind::Desktop,
        (_, None) => false,
    }
}

/// Whether a browser that was known by name has become a program of which nothing can be told.
pub fn names_no_browser_any_more(began_in: &str, seen_in: &str) -> bool {
    family(began_in).is_some() && family(seen_in).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
    const CHROME_LATER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0.0.0 Safari/537.36";
    const CHROME_ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Mobile Safari/537.36";
    const CHROME_ANDROID_DESKTOP_SITE: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
    const CHROME_IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/148.0.0.0 Mobile/15E148 Safari/604.1";
    const HEADLESS: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/148.0.0.0 Safari/537.36";
    const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36 Edg/148.0.0.0";
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const SAFARI_IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
    const SAFARI_DESKTOP_SITE: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15";
    const DESKTOP: &str = "Broker Portal Desktop/2.4.0";

    #[test]
    fn another_version_system_or_site_is_the_same_client() {
        for (began, seen) in [
            (CHROME, CHROME_LATER),
            (CHROME_ANDROID, CHROME_ANDROID_DESKTOP_SITE),
            (CHROME, CHROME_IPHONE),
            (CHROME, HEADLESS),
            (SAFARI_IPAD, SAFARI_DESKTOP_SITE),
            (CHROME, "curl/8.5.0"),
            ("curl/8.5.0", CHROME),
            (CHROME, ""),
        ] {
            assert!(
                !is_another_client(ClientKind::Browser, began, seen),
                "{began} {seen}"
            );
        }
        assert!(!is_another_client(
            ClientKind::Desktop,
            DESKTOP,
            "Broker Portal Desktop/2.5.0"
        ));
        assert!(!is_another_client(ClientKind::Desktop, DESKTOP, "curl/8.5.0"));
    }

    #[test]
    fn a_program_is_told_from_another_version() {
        for program in ["curl/8.5.0", ""] {
            assert!(names_no_browser_any_more(CHROME, program));
            assert!(!names_no_browser_any_more(DESKTOP, program));
            assert!(!names_no_browser_any_more(program, CHROME));
        }
        assert!(!names_no_browser_any_more(CHROME, CHROME_LATER));
    }

    #[test]
    fn another_browser_is_another_client() {
        for (began, seen) in [
            (CHROME, FIREFOX),
            (FIREFOX, CHROME),
            (CHROME, EDGE),
            (SAFARI_IPAD, CHROME_IPHONE),
        ] {
            assert!(
                is_another_client(ClientKind::Browser, began, seen),
                "{began} {seen}"
            );
        }
        assert!(is_another_client(ClientKind::Desktop, DESKTOP, CHROME));
        assert!(is_another_client(ClientKind::Desktop, "", FIREFOX));
    }
}
