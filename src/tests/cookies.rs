//! The session cookie in requests and responses.

use chrono::TimeDelta;

use crate::harness::*;

const HTTPS: [(&str, &str); 1] = [("PORTAL_PUBLIC_URL", "https://portal.example")];

/// Returns name, value and sorted attributes of the only `Set-Cookie`.
#[track_caller]
fn set_cookie(response: &TestResponse) -> (String, String, Vec<String>) {
    let mut cookies = response.all("set-cookie");
    cookies.retain(|cookie| !cookie.contains("portal_browser="));
    assert_eq!(cookies.len(), 1, "{response:#?}");
    let mut parts = cookies[0].split(';').map(|part| part.trim().to_owned());
    let pair = parts.next().expect("a pair");
    let (name, value) = pair.split_once('=').expect("a name");
    let mut attributes: Vec<String> = parts.collect();
    attributes.sort();
    (name.to_owned(), value.to_owned(), attributes)
}

#[tokio::test]
async fn cookie_is_protected_and_expires_with_its_session() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME);
    let response = chrome.sign_in(&maria).await;
    let (name, value, mut attributes) = set_cookie(&response);
    assert_eq!((name.as_str(), value.len()), ("portal_session", 22));
    let age = attributes
        .iter()
        .position(|attribute| attribute.starts_with("Max-Age="))
        .expect("Max-Age");
    let age: i64 = attributes.remove(age)["Max-Age=".len()..]
        .parse()
        .expect("seconds");
    // Allows for the duration of this test.
    assert!((86_400 - 60..=86_400).contains(&age), "{age}");
    assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Lax"]);
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn https_binds_the_cookie_to_this_host() {
    let portal = Portal::with(&HTTPS).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME);
    let response = chrome.sign_in(&maria).await;
    let (name, _, mut attributes) = set_cookie(&response);
    assert_eq!(name, "__Host-portal_session");
    attributes.retain(|attribute| !attribute.starts_with("Max-Age="));
    assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]);
    chrome.get("/dashboard").await.expect(200);

    // The name without the prefix, which a sibling domain could set, is ignored.
    let planted = portal.browser(CHROME);
    let value = format!("portal_session={}", chrome.cookie().expect("a cookie"));
    planted
        .get("/dashboard")
        .header("cookie", &value)
        .await
        .expect(303);
}

#[tokio::test]
async fn known_browser_and_theme_cookies_are_http_only() {
    for (settings, prefix, secure) in [(&[][..], "", ""), (&HTTPS, "__Host-", "; Secure")] {
        let portal = Portal::with(settings).await;
        let maria = portal.broker("maria").await;
        let chrome = portal.browser(CHROME);
        let signed_in = chrome.sign_in(&maria).await.expect(200);
        let chosen = chrome.submit("choose_theme", &[("theme", "dark")]).await;
        for (response, name, age) in [
            (&signed_in, format!("{prefix}portal_browser"), 180 * 86_400),
            (&chosen, "portal_theme".to_owned(), 31_536_000),
        ] {
            let cookies = response.all("set-cookie");
            let cookie = cookies
                .iter()
                .find(|cookie| cookie.starts_with(&format!("{name}=")));
            let (_, attributes) = cookie.expect(&name).split_once("; ").expect("attributes");
            let expected = format!("HttpOnly; SameSite=Lax{secure}; Path=/; Max-Age={age}");
            assert_eq!(attributes, expected, "{name}");
        }
    }
}

#[tokio::test]
async fn cookie_is_removed_with_its_own_attributes() {
    for (settings, name, attributes) in [
        (
            &[][..],
            "portal_session",
            &["HttpOnly", "Max-Age=0", "Path=/", "SameSite=Lax"][..],
        ),
        (
            &HTTPS,
            "__Host-portal_session",
            &["HttpOnly", "Max-Age=0", "Path=/", "SameSite=Lax", "Secure"],
        ),
    ] {
        let portal = Portal::with(settings).await;
        let maria = portal.broker("maria").await;
        for (path, script) in [
            ("/api/sign_out", true),
            ("/api/sign_out", false),
            ("/api/sign_out_all_devices", true),
            ("/api/sign_out_all_devices", false),
        ] {
            let chrome = portal.browser(CHROME).signed_in(&maria).await;
            let client = if script {
                chrome.clone()
            } else {
                chrome.clone().without_script()
            };
            let response = client.post(path).await;
            let gone = (
                name.to_owned(),
                String::new(),
                attributes.iter().map(|&a| a.to_owned()).collect(),
            );
            assert_eq!(set_cookie(&response), gone, "{path}");
            assert_eq!(response.header("cache-control"), Some("no-store"));
            // A browser that follows the rules has deleted it.
            assert_eq!(chrome.cookie(), None);
        }
    }
}

#[tokio::test]
async fn only_signing_in_and_out_touches_the_cookie() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    portal.browser(FIREFOX).signed_in(&maria).await;
    for path in words("/dashboard /dashboard/settings /login /nowhere /api/v1/sessions /api/session_state") {
        assert_eq!(
            chrome.get(path).await.all("set-cookie"),
            Vec::<&str>::new(),
            "{path}"
        );
    }
    for path in [
        "/api/list_active_sessions",
        "/api/sign_out_other_devices",
        "/api/show_viewer",
    ] {
        assert_eq!(
            chrome.post(path).await.all("set-cookie"),
            Vec::<&str>::new(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn late_request_keeps_the_new_cookie() {
    let (_, maria, chrome) = Portal::with_browser().await;
    let late = chrome.duplicate();
    let chrome = chrome.signed_in(&maria).await;
    for path in ["/dashboard", "/login", "/api/session_state", "/api/v1/sessions"] {
        assert_eq!(
            late.get(path).await.all("set-cookie"),
            Vec::<&str>::new(),
            "{path}"
        );
    }
    for path in [
        "/api/list_active_sessions",
        "/api/revoke_session",
        "/api/sign_out_other_devices",
    ] {
        assert_eq!(
            late.post(path).await.all("set-cookie"),
            Vec::<&str>::new(),
            "{path}"
        );
    }
    chrome.get("/dashboard").await.expect(200);
}

#[tokio::test]
async fn system_clock_does_not_change_the_cookies_expiry() {
    // The database's clock counts; this machine's is an hour off.
    for off in [TimeDelta::hours(-1), TimeDelta::hours(1)] {
        let portal = Portal::with_clock_offset(off).await;
        let maria = portal.broker("maria").await;
        let response = portal.browser(CHROME).sign_in(&maria).await;
        let (_, _, attributes) = set_cookie(&response);
        let age = attributes
            .iter()
            .find_map(|attribute| attribute.strip_prefix("Max-Age="))
            .expect("Max-Age");
        let age: i64 = age.parse().expect("seconds");
        assert!((86_400 - 60..=86_400 + 60).contains(&age), "{off}: {age}");
    }
}
