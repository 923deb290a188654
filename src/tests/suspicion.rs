//! Suspicion rules and their effects.

use crate::harness::*;
use crate::security_notices::questions;

const CHROME_LATER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0.0.0 Safari/537.36";
const CHROME_ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0.0.0 Mobile Safari/537.36";
const CHROME_DESKTOP_SITE: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0.0.0 Safari/537.36";
const SAMSUNG: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36";
const FIREFOX_ANDROID: &str = "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0";
const FIREFOX_IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/140.0 Mobile/15E148 Safari/605.1.15";
const SAFARI_MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15";
const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36 Edg/148.0.0.0";

/// Asserts that the session was revoked for a client change, with one notice to the user.
async fn assert_ended_for_client_change(portal: &Portal, session: SessionId) {
    portal.assert_ended(session, "client_changed").await;
    let row = &portal.ends_of(session).await[0];
    assert_eq!(
        (row.actor, row.ip_address.as_deref()),
        (None, Some("203.0.113.66"))
    );
    let raised = portal.audit("suspicion_raised").await;
    let raised: Vec<_> = raised
        .iter()
        .filter(|row| row.session == Some(session) && row.reason.as_deref() == Some("client_changed"))
        .collect();
    assert_eq!(raised.len(), 1);
    let notices = portal.notices().await;
    let about: Vec<_> = notices
        .iter()
        .filter(|notice| notice.session == session && notice.rules == ["client_changed"])
        .collect();
    assert_eq!(about.len(), 1);
}

#[tokio::test]
async fn cookie_in_another_browser_ends_its_session() {
    for other in [FIREFOX, SAFARI, FIREFOX_ANDROID, SAFARI_MAC] {
        let (portal, maria, chrome) = Portal::with_browser().await;
        let bystander = portal.browser(SAFARI).signed_in(&maria).await;
        let thief = chrome.duplicate().with_user_agent(other).at("203.0.113.66");

        let page = thief.get("/dashboard").await.expect(303);
        assert_eq!(page.location(), "/login?next=/dashboard&reason=client_changed");
        assert_ended_for_client_change(&portal, chrome.session()).await;
        assert_eq!(chrome.end_reason().await, "client_changed");
        thief.get("/dashboard").await.expect(303);
        assert_ended_for_client_change(&portal, chrome.session()).await;

        // The user is asked in the other session, although the session in question has ended.
        let asked = questions(&bystander).await;
        let asked: Vec<_> = asked
            .iter()
            .filter(|one| one["rules"] == json!(["client_changed"]))
            .collect();
        assert_eq!(asked.len(), 1, "{other}");
        assert_eq!(
            (&asked[0]["is_live"], &asked[0]["ip_address"]),
            (&json!(false), &json!("203.0.113.66"))
        );
    }
}

#[tokio::test]
async fn request_from_another_browser_is_not_executed() {
    let (portal, _, chrome, mac) = Portal::with_devices().await;
    let thief = chrome.duplicate().with_user_agent(FIREFOX).at("203.0.113.66");
    let answer = thief.delete("/api/v1/sessions?scope=all").await;
    assert_eq!(answer.end_reason(), "client_changed");
    assert!(mac.is_live().await);
    assert_ended_for_client_change(&portal, chrome.session()).await;
}

#[tokio::test]
async fn same_browser_changes_are_allowed_and_listed() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    for (user_agent, browser, os) in [
        (CHROME_LATER, "Chrome 149", "Windows"),
        (CHROME_ANDROID, "Chrome 149", "Android"),
        (CHROME_DESKTOP_SITE, "Chrome 149", "Linux"),
        (CHROME, "Chrome 148", "Windows"),
    ] {
        let later = chrome.clone().with_user_agent(user_agent);
        let list = later.get_json("/api/v1/sessions").await;
        let own = &list["sessions"][0];
        assert_eq!(own["browser"], browser);
        assert!(
            own["os"].as_str().is_some_and(|name| name.starts_with(os)),
            "{own}"
        );
        assert_eq!(portal.session_row(chrome.session()).await.user_agent, user_agent);
    }
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let mac = mac.with_user_agent("BrokerPortalDesktop/4.0.0");
    mac.get("/api/v1/sessions").await.expect(200);
    mac.refresh().await.expect(200);
    assert_eq!(portal.audit("session_ended").await, []);
}

#[tokio::test]
async fn changes_of_an_honest_client_end_no_session() {
    let portal = Portal::start().await;
    for (began, changed) in [
        (FIREFOX_IPHONE, SAFARI_MAC),
        (SAFARI, SAFARI_MAC),
        (CHROME_ANDROID, CHROME_DESKTOP_SITE),
        (SAMSUNG, CHROME_DESKTOP_SITE),
        (FIREFOX_ANDROID, FIREFOX),
        (CHROME, EDGE),
    ] {
        let maria = portal.user(&uuid::Uuid::new_v4().to_string()).create().await;
        let client = portal.browser(began).signed_in(&maria).await;
        // Back and forth, as often as the user likes.
        for user_agent in [changed, began, changed] {
            assert!(
                client.clone().with_user_agent(user_agent).is_live().await,
                "{began} {user_agent}"
            );
        }
    }
    assert_eq!(portal.audit("session_ended").await, []);
}

#[tokio::test]
async fn renamed_chromium_keeps_its_session() {
    let (portal, _, chrome) = Portal::with_browser().await;
    for name in [FIREFOX, SAFARI_MAC, CHROME] {
        let hints = r#""Chromium";v="148", "Google Chrome";v="148", "Not/A)Brand";v="99""#;
        let renamed = chrome.clone().with_user_agent(name);
        let call = renamed.get("/api/v1/session_state").header("sec-ch-ua", hints);
        call.await.expect(200);
    }
    let thief = chrome.duplicate().with_user_agent(FIREFOX).at("203.0.113.66");
    assert!(!thief.is_live().await);
    assert_ended_for_client_change(&portal, chrome.session()).await;
}

#[tokio::test]
async fn unknown_program_ends_no_session() {
    let (_, _, chrome, mac) = Portal::with_devices().await;
    for name in ["curl/8.5.0", "", "python-requests/2.32", "<script>"] {
        assert!(chrome.clone().with_user_agent(name).is_live().await, "{name}");
        assert!(mac.clone().with_user_agent(name).is_live().await, "{name}");
        mac.clone().with_user_agent(name).refresh().await.expect(200);
    }
    assert!(chrome.is_live().await && mac.is_live().await);
}

#[tokio::test]
async fn detour_through_a_program_allows_no_other_browser() {
    let (portal, _, chrome) = Portal::with_browser().await;
    let thief = chrome.duplicate().at("203.0.113.66");
    for name in ["curl/8.5.0", ""] {
        assert!(thief.clone().with_user_agent(name).is_live().await);
    }
    assert!(!thief.with_user_agent(FIREFOX).is_live().await);
    assert_ended_for_client_change(&portal, chrome.session()).await;
}

#[tokio::test]
async fn desktop_tokens_in_a_browser_end_the_session() {
    for refresh in [false, true] {
        let portal = Portal::start().await;
        let maria = portal.broker("maria").await;
        let mac = portal.desktop("mac").signed_in(&maria).await;
        let thief = portal.browser(CHROME).at("203.0.113.66");
        if refresh {
            let answer = thief.exchange(&mac.refresh_token()).await.expect(401);
            assert_eq!(answer.problem(), "invalid_grant");
        } else {
            thief.set_access_token(&mac.access_token());
            assert_eq!(thief.end_reason().await, "client_changed");
        }
        assert_ended_for_client_change(&portal, mac.session()).await;
        assert_eq!(mac.end_reason().await, "client_changed");
        mac.refresh().await.expect(401);
    }
}

#[tokio::test]
async fn operator_can_allow_another_browser() {
    let portal = Portal::with(&[("PORTAL_END_ON_CLIENT_CHANGE", "off")]).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    assert!(chrome.clone().with_user_agent(FIREFOX).is_live().await);
    mac.with_user_agent(CHROME).refresh().await.expect(200);
    assert_eq!(portal.audit("session_ended").await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_unusual_requests_raise_one_notice() {
    let (portal, _, chrome) = Portal::with_browser().await;
    let at_once = async |client: &Client| {
        let mut under_way = tokio::task::JoinSet::new();
        for _ in 0..12 {
            under_way.spawn(client.get("/api/v1/sessions").into_future());
        }
        under_way.join_all().await
    };
    for answer in at_once(&chrome.clone().at("203.0.113.5")).await {
        answer.expect(200);
    }
    assert_eq!(portal.notices().await.len(), 1);
    let thief = chrome.duplicate().with_user_agent(FIREFOX).at("203.0.113.66");
    for answer in at_once(&thief).await {
        assert_eq!(answer.end_reason(), "client_changed");
    }
    assert_ended_for_client_change(&portal, chrome.session()).await;
}
