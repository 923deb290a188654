//! The browser engine of a client, which no setting of a browser changes.
//!
//! A browser can change its version, system and brand, and on iOS all at once: "Request Desktop Website" in Firefox for
//! iOS sends the User-Agent of Safari on a Mac. The engine stays the same.

use super::user_agent::BrowserNames;
use domain::session::ClientKind;

/// Engines that a User-Agent identifies. Not Internet Explorer and the first Edge, since Edge's IE mode sends both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Blink,
    Gecko,
    WebKit,
}

/// The engine that a User-Agent names. `None` for programs and other names that do not identify an engine.
fn engine(user_agent: &str) -> Option<Engine> {
    let has = |word: &str| user_agent.contains(word);
    if ["Trident/", "MSIE ", "Edge/", "Presto/"].into_iter().any(has) {
        return None;
    }
    // All browsers on iOS use Apple's engine, even if they claim to run on a Mac.
    let ios = [
        "iPhone", "iPad", "iPod", "CriOS/", "FxiOS/", "EdgiOS/", "OPT/", "OPX/", "OPiOS/",
    ];
    if ios.into_iter().any(has) {
        return Some(Engine::WebKit);
    }
    if has("Firefox/") {
        return Some(Engine::Gecko);
    }
    if has("Chrome/") || has("Chromium/") {
        return Some(Engine::Blink);
    }
    (has("AppleWebKit/") && has("Version/") && has("Safari/")).then_some(Engine::WebKit)
}

/// A User-Agent with other evidence about the browser.
#[derive(Clone, Copy, Debug)]
pub struct ClientSignature<'a> {
    pub user_agent: &'a str,
    /// The browser sent Chromium's client hints (`sec-ch-ua`). Extensions that change the User-Agent do not change these.
    pub has_chromium_hints: bool,
}

impl ClientSignature<'_> {
    fn engine(self) -> Option<Engine> {
        match engine(self.user_agent) {
            Some(_) if self.has_chromium_hints => Some(Engine::Blink),
            named => named,
        }
    }

    /// Whether the User-Agent names another engine than the browser has, because an extension changed it.
    pub fn is_disguised(self) -> bool {
        self.engine() != engine(self.user_agent)
    }
}

/// Whether a session moved to another client: from a browser to one with another engine and name, or from a desktop app to
/// a browser. Nothing that a legitimate client does counts.
pub fn is_other_client(kind: ClientKind, original: &str, seen: ClientSignature<'_>) -> bool {
    if original == seen.user_agent {
        return false;
    }
    match (engine(original), seen.engine()) {
        (Some(began), Some(now)) => began != now && browser_name(original) != browser_name(seen.user_agent),
        (None, Some(_)) => kind == ClientKind::Desktop,
        (_, None) => false,
    }
}

/// Whether the User-Agent named a browser before and now names an unidentified program.
pub fn has_lost_browser_name(original: &str, seen_in: &str) -> bool {
    engine(original).is_some() && engine(seen_in).is_none()
}

fn browser_name(user_agent: &str) -> Option<String> {
    let named = BrowserNames::parse(user_agent).browser?;
    let name = named.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end();
    Some(match name {
        "Chromium" | "HeadlessChrome" => "Chrome".to_owned(),
        name => name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
    const CHROME_LATER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0.0.0 Safari/537.36";
    const CHROME_ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Mobile Safari/537.36";
    const CHROME_ANDROID_DESKTOP_SITE: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
    const CHROME_IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/148.0.0.0 Mobile/15E148 Safari/604.1";
    const CHROME_IPHONE_DESKTOP_SITE: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/148 Version/11.1.1 Safari/605.1.15";
    const HEADLESS: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/148.0.0.0 Safari/537.36";
    const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36 Edg/148.0.0.0";
    const EDGE_IE_MODE: &str = "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko";
    const SAMSUNG: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36";
    const SAMSUNG_DESKTOP_SITE: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36";
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const FIREFOX_ANDROID: &str = "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0";
    const FIREFOX_IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/140.0 Mobile/15E148 Safari/605.1.15";
    const SAFARI_IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
    const SAFARI_MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15";
    const DESKTOP: &str = "Broker Portal Desktop/2.4.0";

    fn plain(user_agent: &str) -> ClientSignature<'_> {
        ClientSignature {
            user_agent,
            has_chromium_hints: false,
        }
    }

    #[test]
    fn honest_client_changes_are_the_same_client() {
        for (began, seen) in [
            (CHROME, CHROME_LATER),
            (CHROME, HEADLESS),
            // Edge takes over Chrome's cookies, and shows some sites Chrome's name.
            (CHROME, EDGE),
            (EDGE, EDGE_IE_MODE),
            (CHROME_ANDROID, CHROME_ANDROID_DESKTOP_SITE),
            (SAMSUNG, SAMSUNG_DESKTOP_SITE),
            (FIREFOX_ANDROID, FIREFOX),
            (FIREFOX_IPHONE, SAFARI_MAC),
            (CHROME_IPHONE, CHROME_IPHONE_DESKTOP_SITE),
            (CHROME_IPHONE, SAFARI_MAC),
            (SAFARI_IPAD, SAFARI_MAC),
            (CHROME, CHROME_IPHONE),
            (CHROME, "curl/8.5.0"),
            (CHROME, ""),
        ] {
            for (began, seen) in [(began, seen), (seen, began)] {
                let is_another = is_other_client(ClientKind::Browser, began, plain(seen));
                assert!(!is_another, "{began} {seen}");
            }
        }
        for seen in ["Broker Portal Desktop/2.5.0", "curl/8.5.0"] {
            assert!(!is_other_client(ClientKind::Desktop, DESKTOP, plain(seen)));
        }
    }

    #[test]
    fn client_hints_show_a_changed_user_agent() {
        for claimed in [FIREFOX, SAFARI_MAC] {
            let disguised = ClientSignature {
                user_agent: claimed,
                has_chromium_hints: true,
            };
            assert!(disguised.is_disguised() && !plain(claimed).is_disguised());
            assert!(!is_other_client(ClientKind::Browser, CHROME, disguised));
            assert!(is_other_client(ClientKind::Browser, CHROME, plain(claimed)));
            // A desktop has no engine that a browser could have.
            assert!(is_other_client(ClientKind::Desktop, DESKTOP, disguised));
        }
    }

    #[test]
    fn program_differs_from_a_newer_browser_version() {
        for program in ["curl/8.5.0", ""] {
            assert!(has_lost_browser_name(CHROME, program));
            assert!(!has_lost_browser_name(DESKTOP, program));
            assert!(!has_lost_browser_name(program, CHROME));
        }
        assert!(!has_lost_browser_name(CHROME, CHROME_LATER));
    }

    #[test]
    fn another_engine_is_another_client() {
        for (began, seen) in [
            (CHROME, FIREFOX),
            (FIREFOX, CHROME),
            (EDGE, FIREFOX),
            (CHROME, SAFARI_MAC),
            (SAFARI_IPAD, FIREFOX_ANDROID),
            (SAFARI_MAC, CHROME),
            (FIREFOX_IPHONE, CHROME),
            (CHROME_IPHONE, FIREFOX),
        ] {
            assert!(
                is_other_client(ClientKind::Browser, began, plain(seen)),
                "{began} {seen}"
            );
        }
        assert!(is_other_client(ClientKind::Desktop, DESKTOP, plain(CHROME)));
        assert!(is_other_client(ClientKind::Desktop, "", plain(FIREFOX)));
    }
}
