//! Names for browsers and systems, by the `ua-parser` crate and the uap-core project's expressions.

use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use ua_parser::{os, user_agent};

/// What a User-Agent says of the browser that sent it. Nothing of it is believed for security.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserNames {
    /// "Chrome 148"
    pub browser: Option<String>,
    /// "iOS 18"
    pub os: Option<String>,
    /// `desktop`, `phone` or `tablet`
    pub platform: &'static str,
    /// "Chrome on Windows"
    pub device_name: String,
}

/// Reads User-Agents. Cheap to clone. The expressions are compiled once, when first needed.
#[derive(Clone)]
pub struct UserAgentParser(Arc<LazyLock<Option<Expressions>>>);

struct Expressions {
    browsers: user_agent::Extractor<'static>,
    systems: os::Extractor<'static>,
}

#[derive(Deserialize)]
struct UapCore {
    user_agent_parsers: Vec<user_agent::Parser<'static>>,
    os_parsers: Vec<os::Parser<'static>>,
}

impl Default for UserAgentParser {
    fn default() -> Self {
        // One for the process: compiling takes a moment, and the result never differs.
        static EXPRESSIONS: LazyLock<UserAgentParser> =
            LazyLock::new(|| UserAgentParser(Arc::new(LazyLock::new(compile))));
        EXPRESSIONS.clone()
    }
}

fn compile() -> Option<Expressions> {
    let core: UapCore = serde_json::from_str(include_str!("uap-core.json"))
        .inspect_err(|error| tracing::error!(%error, "the User-Agent expressions cannot be read"))
        .ok()?;
    let browsers = user_agent::Builder::new()
        .push_all(core.user_agent_parsers)
        .and_then(|b| Ok(b.build()?));
    let systems = os::Builder::new()
        .push_all(core.os_parsers)
        .map_err(Into::into)
        .and_then(|b| Ok(b.build()?));
    let wrong =
        |error: &ua_parser::Error| tracing::error!(%error, "the User-Agent expressions cannot be compiled");
    Some(Expressions {
        browsers: browsers.inspect_err(wrong).ok()?,
        systems: systems.inspect_err(wrong).ok()?,
    })
}

impl UserAgentParser {
    /// Compiles the expressions now, so that the first sign-in need not wait for it.
    pub fn warm_up(&self) {
        LazyLock::force(&self.0);
    }

    /// The browser's name without its version: "Chrome".
    pub fn family(&self, user_agent: &str) -> Option<String> {
        let browser = LazyLock::force(&self.0).as_ref()?.browsers.extract(user_agent)?;
        Some(plain_family(&browser.family))
    }

    /// The names in `user_agent`, or "Unknown browser" where it has none.
    pub fn read(&self, user_agent: &str) -> BrowserNames {
        let expressions = LazyLock::force(&self.0).as_ref();
        let browser = expressions.and_then(|e| e.browsers.extract(user_agent));
        let system = expressions.and_then(|e| e.systems.extract(user_agent));

        let family = browser.as_ref().map(|b| plain_family(&b.family));
        // What people call the thing in their hand, rather than what runs on it.
        let thing = ["iPhone", "iPad"]
            .into_iter()
            .find(|thing| user_agent.contains(thing))
            .map(str::to_owned);
        let os_family = thing.or_else(|| system.as_ref().map(|s| plain_os(&s.os)));
        let device_name = match (&family, &os_family) {
            (Some(browser), Some(os)) => format!("{browser} on {os}"),
            (Some(browser), None) => browser.clone(),
            (None, Some(os)) => format!("Unknown browser on {os}"),
            (None, None) => "Unknown browser".to_owned(),
        };
        BrowserNames {
            browser: browser
                .as_ref()
                .map(|b| versioned(plain_family(&b.family), b.major)),
            os: system.as_ref().map(|s| system_name(&s.os, s.major.as_deref())),
            platform: platform(user_agent, os_family.as_deref()),
            device_name: capped(&device_name),
        }
    }
}

/// "Chrome Mobile", "Mobile Safari" and "Edge Mobile" are what people call Chrome, Safari and Edge.
fn plain_family(family: &str) -> String {
    let plain = family.trim_start_matches("Mobile ").trim_end_matches(" iOS");
    plain
        .trim_end_matches(" Mobile")
        .trim_end_matches(" WebView")
        .to_owned()
}

fn plain_os(os: &str) -> String {
    match os {
        "Mac OS X" => "macOS".to_owned(),
        other => other.to_owned(),
    }
}

fn versioned(name: String, version: Option<&str>) -> String {
    capped(&version.map_or(name.clone(), |version| format!("{name} {version}")))
}

/// The system with its version, where that is the truth: browsers say "Windows NT 10.0" and "Mac OS X 10.15" on whatever
/// came later (User-Agent reduction, https://www.chromium.org/updates/ua-reduction/).
fn system_name(os: &str, version: Option<&str>) -> String {
    let name = plain_os(os);
    let frozen = version == Some("10") && matches!(name.as_str(), "Windows" | "macOS");
    versioned(name, version.filter(|_| !frozen))
}

/// Names stay short whatever was sent.
fn capped(name: &str) -> String {
    name.chars().take(80).collect()
}

fn platform(user_agent: &str, os: Option<&str>) -> &'static str {
    let has = |word: &str| user_agent.contains(word);
    match os {
        _ if has("iPad") || has("Tablet") => "tablet",
        Some("Android") if !has("Mobile") => "tablet",
        _ if has("Mobi") || has("iPhone") => "phone",
        _ => "desktop",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME_WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
    const EDGE_WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36 Edg/148.0.0.0";
    const SAFARI_IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";
    const FIREFOX_MAC: &str =
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0";
    const CHROME_ANDROID: &str = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Mobile Safari/537.36";
    const SAFARI_IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";

    #[test]
    fn common_browsers_get_the_names_that_people_use() {
        let parser = UserAgentParser::default();
        for (agent, name, platform) in [
            (CHROME_WINDOWS, "Chrome on Windows", "desktop"),
            (EDGE_WINDOWS, "Edge on Windows", "desktop"),
            (SAFARI_IPHONE, "Safari on iPhone", "phone"),
            (FIREFOX_MAC, "Firefox on macOS", "desktop"),
            (CHROME_ANDROID, "Chrome on Android", "phone"),
            (SAFARI_IPAD, "Safari on iPad", "tablet"),
        ] {
            let names = parser.read(agent);
            assert_eq!(
                (names.device_name.as_str(), names.platform),
                (name, platform),
                "{agent}"
            );
        }
        let names = parser.read(CHROME_WINDOWS);
        assert_eq!(
            (names.browser.as_deref(), names.os.as_deref()),
            (Some("Chrome 148"), Some("Windows"))
        );
    }

    #[test]
    fn nonsense_is_an_unknown_browser() {
        let parser = UserAgentParser::default();
        for agent in ["", "\0\0", "<script>alert(1)</script>", &"a(".repeat(20_000)] {
            assert_eq!(parser.read(agent).device_name, "Unknown browser");
        }
    }
}
