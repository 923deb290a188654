use super::*;

/// User-Agent, name, platform, browser, system.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

fn assert_names(cases: &[Case]) {
    for (agent, name, platform, browser, os) in cases {
        let expected = BrowserNames {
            browser: Some((*browser).to_owned()).filter(|text| !text.is_empty()),
            os: Some((*os).to_owned()).filter(|text| !text.is_empty()),
            platform,
            device_name: (*name).to_owned(),
        };
        assert_eq!(BrowserNames::parse(agent), expected, "{agent}");
    }
}

#[test]
fn common_browsers_get_their_common_names() {
    assert_names(&[
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36",
            "Chrome on Windows",
            "desktop",
            "Chrome 148",
            "Windows",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36 Edg/148.0.0.0",
            "Edge on Windows",
            "desktop",
            "Edge 148",
            "Windows",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox on macOS",
            "desktop",
            "Firefox 140",
            "macOS",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
            "Safari on macOS",
            "desktop",
            "Safari 18",
            "macOS",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Mobile Safari/537.36",
            "Chrome on Android",
            "phone",
            "Chrome 148",
            "Android 15",
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
            "Safari on iPad",
            "tablet",
            "Safari 17",
            "iOS 17",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox on Linux",
            "desktop",
            "Firefox 140",
            "Linux",
        ),
        (
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0",
            "Firefox on Ubuntu",
            "desktop",
            "Firefox 115",
            "Ubuntu",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 OPR/126.0.0.0",
            "Opera on Windows",
            "desktop",
            "Opera 126",
            "Windows",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/148.0.0.0 Safari/537.36",
            "HeadlessChrome on Linux",
            "desktop",
            "HeadlessChrome 148",
            "Linux",
        ),
    ]);
}

#[test]
fn frozen_versions_are_not_shown() {
    assert_names(&[
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
            "Chrome on Android",
            "phone",
            "Chrome 142",
            "Android",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
            "Chrome on Android",
            "tablet",
            "Chrome 142",
            "Android",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
            "Samsung Internet on Android",
            "phone",
            "Samsung Internet 28",
            "Android",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36 EdgA/142.0.0.0",
            "Edge on Android",
            "phone",
            "Edge 142",
            "Android",
        ),
        (
            "Mozilla/5.0 (Android 10; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0",
            "Firefox on Android",
            "phone",
            "Firefox 145",
            "Android",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
            "phone",
            "Safari 26",
            "iOS",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.7444.77 Mobile/15E148 Safari/604.1",
            "Chrome on iPhone",
            "phone",
            "Chrome 142",
            "iOS",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
            "Chrome on macOS",
            "desktop",
            "Chrome 142",
            "macOS",
        ),
        (
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
            "Chrome on ChromeOS",
            "desktop",
            "Chrome 142",
            "ChromeOS",
        ),
    ]);
}

#[test]
fn browsers_of_the_last_ten_years_are_named() {
    assert_names(&[
        (
            "Mozilla/5.0 (Windows NT 6.1; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/55.0.2883.87 Safari/537.36",
            "Chrome on Windows",
            "desktop",
            "Chrome 55",
            "Windows 7",
        ),
        (
            "Mozilla/5.0 (Windows NT 6.3; WOW64; rv:52.0) Gecko/20100101 Firefox/52.0",
            "Firefox on Windows",
            "desktop",
            "Firefox 52",
            "Windows 8.1",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
            "IE on Windows",
            "desktop",
            "IE 11",
            "Windows",
        ),
        (
            "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)",
            "IE on Windows",
            "desktop",
            "IE 10",
            "Windows 8",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/64.0.3282.140 Safari/537.36 Edge/18.17763",
            "Edge on Windows",
            "desktop",
            "Edge 18",
            "Windows",
        ),
        (
            "Mozilla/5.0 (Linux; Android 7.0; SM-G930F) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/60.0.3112.116 Mobile Safari/537.36",
            "Chrome on Android",
            "phone",
            "Chrome 60",
            "Android 7",
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; SM-X906C; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/109.0.0.0 Mobile Safari/537.36",
            "Chrome on Android",
            "phone",
            "Chrome 109",
            "Android 13",
        ),
        (
            "Mozilla/5.0 (Android 13; Mobile; rv:109.0) Gecko/118.0 Firefox/118.0",
            "Firefox on Android",
            "phone",
            "Firefox 118",
            "Android 13",
        ),
        (
            "Mozilla/5.0 (Linux; U; Android 4.4.2; de-de; GT-I9505) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30",
            "Android Browser on Android",
            "phone",
            "Android Browser",
            "Android 4",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 12_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1.2 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
            "phone",
            "Safari 12",
            "iOS 12",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/119.0 Mobile/15E148 Safari/605.1.15",
            "Firefox on iPhone",
            "phone",
            "Firefox 119",
            "iOS 16",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 EdgiOS/119.0.2151.65 Mobile/15E148 Safari/605.1.15",
            "Edge on iPhone",
            "phone",
            "Edge 119",
            "iOS 16",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1 OPT/4.3",
            "Opera on iPhone",
            "phone",
            "Opera 4",
            "iOS 16",
        ),
        (
            "Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.16",
            "Opera on Windows",
            "desktop",
            "Opera 12",
            "Windows 7",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 YaBrowser/25.10.0.0 Safari/537.36",
            "Yandex Browser on Windows",
            "desktop",
            "Yandex Browser 25",
            "Windows",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Whale/4.34.340.19 Safari/537.36",
            "Whale on Windows",
            "desktop",
            "Whale 4",
            "Windows",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0.3987.163 Safari/537.36 Vivaldi/2.12",
            "Vivaldi on Windows",
            "desktop",
            "Vivaldi 2",
            "Windows",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15 Epiphany/605.1.15",
            "GNOME Web on Linux",
            "desktop",
            "GNOME Web 605",
            "Linux",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 11_2_3) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/88.0.4324.192 Safari/537.36",
            "Chrome on macOS",
            "desktop",
            "Chrome 88",
            "macOS 11",
        ),
        (
            "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15063",
            "Edge on Windows Phone",
            "phone",
            "Edge 15",
            "Windows Phone",
        ),
        (
            "Mozilla/5.0 (Mobile; LYF/F90M; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.0",
            "Firefox on KaiOS",
            "phone",
            "Firefox 48",
            "KaiOS",
        ),
        ("curl/8.5.0", "curl", "desktop", "curl 8", ""),
    ]);
}

#[test]
fn invalid_user_agent_is_an_unknown_browser() {
    for agent in [
        "",
        "\0\0",
        "<script>alert(1)</script>",
        "Version/",
        &"a(".repeat(20_000),
    ] {
        assert_eq!(BrowserNames::parse(agent).device_name, "Unknown browser");
    }
    // A version is a number or nothing.
    let names = BrowserNames::parse("Mozilla/5.0 Firefox/<b>1</b>");
    assert_eq!(names.browser.as_deref(), Some("Firefox"));
    let names = BrowserNames::parse(&format!("Chrome/{}", "1".repeat(500)));
    assert_eq!(names.browser.as_deref(), Some("Chrome"));
}
