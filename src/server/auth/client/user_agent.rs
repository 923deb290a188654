//! Reads browser and system names from the User-Agent.
//!
//! Uses a table of our own: general parsers compile more than a thousand regular expressions and report frozen versions as
//! facts (`docs/decisions.md`). Browsers send "Windows NT 10.0", "Mac OS X 10_15_7", "Android 10" and "iPhone OS 18_6" on
//! later systems too (<https://www.chromium.org/updates/ua-reduction/>). These versions are omitted.

/// What a User-Agent says about its browser. Must not be used for security decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserNames {
    /// "Chrome 148"
    pub browser: Option<String>,
    /// "iOS 17", or "Android" if the version is unknown
    pub os: Option<String>,
    /// `desktop`, `phone` or `tablet`
    pub platform: &'static str,
    /// "Chrome on Windows"
    pub device_name: String,
}

impl BrowserNames {
    /// Parses a User-Agent. The device name is "Unknown browser" if it names none.
    pub fn parse(user_agent: &str) -> Self {
        let browser = browser(user_agent);
        let system = system(user_agent);
        // The product that users know, instead of its system.
        let device = match system {
            Some(("iOS", _)) if user_agent.contains("iPad") => Some("iPad"),
            Some(("iOS", _)) if user_agent.contains("iPhone") => Some("iPhone"),
            system => system.map(|(name, _)| name),
        };
        let device_name = match (browser, device) {
            (Some((browser, _)), Some(device)) => format!("{browser} on {device}"),
            (Some((browser, _)), None) => browser.to_owned(),
            (None, Some(device)) => format!("Unknown browser on {device}"),
            (None, None) => "Unknown browser".to_owned(),
        };
        Self {
            browser: browser.map(with_version),
            os: system.map(with_version),
            platform: platform(user_agent, device),
            device_name,
        }
    }
}

/// A name and its version, if known.
type Named<'a> = (&'static str, Option<&'a str>);

fn with_version((name, version): Named<'_>) -> String {
    version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}"))
}

/// The token before a browser's version, and the browser's name. The first match wins: most browsers also claim to be the
/// one that they are based on, and all of these claim to be Safari.
const BROWSERS: [(&str, &str); 46] = [
    ("EdgiOS/", "Edge"),
    ("EdgA/", "Edge"),
    ("Edg/", "Edge"),
    ("Edge/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("OPX/", "Opera"),
    ("OPiOS/", "Opera Mini"),
    ("Opera Mini/", "Opera Mini"),
    ("Opera/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex Browser"),
    ("Whale/", "Whale"),
    ("UCBrowser/", "UC Browser"),
    ("HuaweiBrowser/", "Huawei Browser"),
    ("MiuiBrowser/", "Mi Browser"),
    ("MQQBrowser/", "QQ Browser"),
    ("QQBrowser/", "QQ Browser"),
    ("Silk/", "Silk"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("Brave/", "Brave"),
    ("Epiphany/", "GNOME Web"),
    ("Konqueror/", "Konqueror"),
    ("Falkon/", "Falkon"),
    ("MicroMessenger/", "WeChat"),
    ("Instagram ", "Instagram"),
    ("FBAV/", "Facebook"),
    ("GSA/", "Google"),
    ("Electron/", "Electron"),
    ("Focus/", "Firefox Focus"),
    ("Klar/", "Firefox Klar"),
    ("FxiOS/", "Firefox"),
    ("SeaMonkey/", "SeaMonkey"),
    ("PaleMoon/", "Pale Moon"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "HeadlessChrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("MSIE ", "IE"),
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("python-requests/", "python-requests"),
    ("PostmanRuntime/", "Postman"),
];

/// Finds the browser.
fn browser(user_agent: &str) -> Option<Named<'_>> {
    if let Some((name, rest)) = BROWSERS
        .iter()
        .find_map(|(token, name)| Some((*name, after(user_agent, token)?)))
    {
        // Opera with the Presto engine has its version elsewhere: "Opera/9.80 ... Version/12.16".
        let version = match name {
            "Opera" => after(user_agent, "Version/").filter(|_| user_agent.starts_with("Opera/")),
            _ => None,
        };
        return Some((name, number(version.unwrap_or(rest))));
    }
    if user_agent.contains("Trident/7.0") {
        return Some(("IE", Some("11")));
    }
    // Safari, and the browser of Android before 4.4, have a separate version token.
    let version = after(user_agent, "Version/")?;
    let is_apple = ["Macintosh", "iPhone", "iPad", "iPod"]
        .iter()
        .any(|device| user_agent.contains(device));
    match after(user_agent, "Safari/") {
        Some(_) if is_apple => Some(("Safari", number(version))),
        Some(_) if user_agent.contains("Android") => Some(("Android Browser", None)),
        _ => None,
    }
}

/// Finds the system, with its version unless browsers freeze it.
fn system(user_agent: &str) -> Option<Named<'_>> {
    let has = |word: &str| user_agent.contains(word);
    // Also claims to be an iPhone and an Android device.
    if has("Windows Phone") {
        return Some(("Windows Phone", None));
    }
    if has("iPhone") || has("iPad") || has("iPod") {
        let version = after(user_agent, " OS ").and_then(number);
        // Safari 26 and all web views send 18 on every system.
        return Some(("iOS", version.filter(|version| *version != "18")));
    }
    if let Some(rest) = after(user_agent, "Windows NT ") {
        let version = [
            ("6.3", "8.1"),
            ("6.2", "8"),
            ("6.1", "7"),
            ("6.0", "Vista"),
            ("5.", "XP"),
        ]
        .into_iter()
        .find_map(|(kernel, version)| rest.starts_with(kernel).then_some(version));
        return Some(("Windows", version));
    }
    if has("OpenHarmony") || has("HarmonyOS") {
        return Some(("HarmonyOS", None));
    }
    if has("Tizen") {
        return Some(("Tizen", None));
    }
    if has("Android") {
        let version = after(user_agent, "Android ").and_then(number);
        return Some(("Android", version.filter(|version| *version != "10")));
    }
    if let Some(rest) = after(user_agent, "Mac OS X ") {
        return Some(("macOS", number(rest).filter(|version| *version != "10")));
    }
    // ChromeOS sends the version of its platform, which users do not know and which is frozen too.
    let names = [
        ("CrOS ", "ChromeOS"),
        ("KAIOS/", "KaiOS"),
        ("Web0S", "webOS"),
        ("Macintosh", "macOS"),
        ("Windows", "Windows"),
        ("Ubuntu", "Ubuntu"),
        ("Fedora", "Fedora"),
        ("FreeBSD", "FreeBSD"),
        ("OpenBSD", "OpenBSD"),
        ("Linux", "Linux"),
    ];
    names
        .into_iter()
        .find_map(|(word, name)| has(word).then_some((name, None)))
}

fn platform(user_agent: &str, device: Option<&str>) -> &'static str {
    let has = |word: &str| user_agent.contains(word);
    match device {
        _ if has("iPad") || has("Tablet") => "tablet",
        Some("Android") if !has("Mobile") => "tablet",
        _ if has("Mobi") || has("iPhone") => "phone",
        _ => "desktop",
    }
}

/// The text after `token`, if the token starts a word or starts with a space.
fn after<'a>(user_agent: &'a str, token: &str) -> Option<&'a str> {
    user_agent.match_indices(token).find_map(|(start, _)| {
        let before = user_agent[..start].chars().next_back();
        let is_word = token.starts_with(' ') || !before.is_some_and(char::is_alphanumeric);
        is_word.then(|| &user_agent[start + token.len()..])
    })
}

/// The leading number of `text`, with at most four digits.
fn number(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (1..=4).contains(&end).then(|| &text[..end])
}

#[cfg(test)]
mod tests;
