//! Limits on the rate of expensive actions.

use tokio::task::JoinSet;

use crate::harness::*;
use crate::throttle::{DEFAULTS, assert_throttled, guess};

/// Asserts a refusal because of a rate limit and not of a wrong password.
fn assert_rate_limited(response: &TestResponse) {
    let body = response.json();
    assert_eq!(
        (response.status, &body["code"], &body["problem"]),
        (429, &json!("too_many_attempts"), &json!("rate_limited")),
        "{response:?}"
    );
    assert!(response.header("retry-after").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_correct_passwords_are_never_called_wrong() {
    let portal = Portal::with(&DEFAULTS).await;
    let node = portal.second_node().await;
    let maria = portal.broker("maria").await;
    let mut under_way = JoinSet::new();
    for round in 0..30 {
        let client = match round % 3 {
            0 => portal.browser(CHROME),
            1 => portal.desktop(&format!("desktop-{round}")),
            _ => portal.browser(FIREFOX).via(&node.router),
        };
        under_way.spawn(client.spawn_sign_in(&maria));
    }
    let responses = under_way.join_all().await;
    for response in responses
        .iter()
        .filter(|response| ![200, 201].contains(&response.status))
    {
        assert_rate_limited(response);
    }
    assert!(responses.iter().filter(|response| response.status < 300).count() >= 5);
    assert_eq!(portal.audit("sign_in_throttled").await, []);
    // Afterwards none of them is counted.
    guess(&portal.browser(SAFARI), &maria.email, 5).await;
    assert_throttled(&portal.browser(SAFARI), &maria, 901).await;
}

#[tokio::test]
async fn lost_attempts_do_not_lock_the_account() {
    let portal = Portal::with(&DEFAULTS).await;
    let maria = portal.broker("maria").await;
    guess(&portal.browser(CHROME), &maria.email, 3).await;
    // Two servers were killed during a password check.
    portal
        .execute("UPDATE password_attempts SET taken = 5 WHERE taken = 3")
        .await;
    let response = portal.browser(CHROME).sign_in(&maria).await;
    assert_rate_limited(&response);
    portal.advance(seconds(60)).await;
    portal.browser(CHROME).signed_in(&maria).await;
    guess(&portal.browser(CHROME), &maria.email, 2).await;
    assert_throttled(&portal.browser(CHROME), &maria, 841).await;
}

#[tokio::test]
async fn sign_ins_of_one_account_are_limited() {
    let portal = Portal::with(&[("PORTAL_ACTIONS_PER_ACCOUNT", "5")]).await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    for round in 0..5 {
        portal
            .desktop(&format!("desktop-{round}"))
            .signed_in(&maria)
            .await;
    }
    for client in [portal.browser(CHROME), portal.desktop("another")] {
        let response = client.sign_in(&maria).await;
        assert_rate_limited(&response);
        assert_eq!(response.header("retry-after"), Some("181"));
    }
    portal.browser(CHROME).signed_in(&jonas).await;
    portal.advance(seconds(180)).await;
    portal.browser(CHROME).signed_in(&maria).await;
    assert_eq!(portal.audit("signed_in").await.len(), 7);
}

#[tokio::test]
async fn sign_ins_from_one_address_are_limited() {
    let portal = Portal::with(&[("PORTAL_ACTIONS_PER_ADDRESS", "5")]).await;
    for round in 0..5 {
        let person = portal.broker(&format!("broker-{round}")).await;
        portal.browser(CHROME).signed_in(&person).await;
    }
    let maria = portal.broker("maria").await;
    let response = portal.browser(CHROME).sign_in(&maria).await;
    assert_rate_limited(&response);
    portal.browser(CHROME).at("203.0.113.9").signed_in(&maria).await;
}

#[tokio::test]
async fn repeated_actions_are_limited_and_end_nothing() {
    let portal = Portal::with(&[("PORTAL_ACTIONS_PER_ACCOUNT", "4")]).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let foreign = "/api/v1/sessions/00000000-0000-4000-8000-000000000000";
    let password = json!({ "password": &*maria.password });
    for round in 0..6 {
        let expected = |ok: u16| if round < 4 { ok } else { 429 };
        let responses = [
            (chrome.post("/api/v1/session/extend").await, 200),
            (chrome.delete(foreign).await, 404),
            (mac.refresh().await, 200),
            (
                chrome
                    .post("/api/v1/session/reauthenticate")
                    .json(&password)
                    .await,
                200,
            ),
        ];
        for (response, ok) in responses {
            let response = response.expect(expected(ok));
            if response.status == 429 {
                assert_rate_limited(&response);
            }
        }
    }
    chrome.post("/api/extend_session").await.expect(429);
    let call = chrome.post("/api/revoke_session");
    call.form(&[("session_id", "nonsense")]).await.expect(429);
    assert!(chrome.is_live().await && mac.is_live().await);
    // A refused refresh leaves its token unchanged.
    portal.advance(seconds(225)).await;
    mac.refresh().await.expect(200);
}

#[tokio::test]
async fn strangers_exhaust_no_rate_limit_of_known_devices() {
    let portal = Portal::with(&[
        ("PORTAL_ACTIONS_PER_ACCOUNT", "4"),
        ("PORTAL_ACTIONS_PER_ADDRESS", "4"),
        ("PORTAL_SIGN_IN_ATTEMPTS", "1000"),
    ])
    .await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    // From the same address, with and without a device that is unknown to the account.
    let strangers = [portal.browser(FIREFOX), portal.desktop("another")];
    for stranger in &strangers {
        guess(stranger, &maria.email, 1).await;
    }
    for stranger in &strangers {
        assert_rate_limited(&stranger.try_sign_in(&maria.email, "not it").await);
    }
    for _ in 0..4 {
        chrome.sign_in(&maria).await.expect(200);
        mac.sign_in(&maria).await.expect(201);
    }
    // Known devices have limits too.
    for known in [&chrome, &mac] {
        assert_rate_limited(&known.sign_in(&maria).await);
    }
}

#[tokio::test]
async fn stolen_cookies_exhaust_no_limit_of_other_sessions() {
    let portal = Portal::with(&[
        ("PORTAL_ACTIONS_PER_ACCOUNT", "4"),
        ("PORTAL_ACTIONS_PER_ADDRESS", "4"),
        ("PORTAL_SIGN_IN_ATTEMPTS", "1000"),
    ])
    .await;
    let maria = portal.broker("maria").await;
    let stolen = portal.browser(CHROME).signed_in(&maria).await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    let reauthenticate = |client: &Client, password: &str| {
        client
            .post("/api/v1/session/reauthenticate")
            .json(&json!({ "password": password }))
    };
    for round in 0..6 {
        let (guessed, extended) = if round < 4 { (401, 200) } else { (429, 429) };
        reauthenticate(&stolen, "not it").await.expect(guessed);
        stolen.post("/api/v1/session/extend").await.expect(extended);
    }
    firefox.post("/api/v1/session/extend").await.expect(200);
    reauthenticate(&firefox, &maria.password).await.expect(200);
    let thief = format!("/api/v1/sessions/{}", stolen.session().0);
    firefox.delete(&thief).await.expect(204);
    assert!(!stolen.is_live().await);
}

#[tokio::test]
async fn invalid_refresh_tokens_limit_no_valid_ones() {
    let portal = Portal::with(&[
        ("PORTAL_ACTIONS_PER_ACCOUNT", "4"),
        ("PORTAL_ACTIONS_PER_ADDRESS", "4"),
    ])
    .await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let old = portal.desktop("old").signed_in(&maria).await;
    let ended = old.refresh_token();
    old.revoke_scope("current").await;
    // Not a known refresh token.
    let unknown = mac.access_token();
    for round in 0..6 {
        let token = if round % 2 == 0 { &ended } else { &unknown };
        let response = mac
            .exchange(token)
            .await
            .expect(if round < 4 { 401 } else { 429 });
        if round >= 4 {
            assert_rate_limited(&response);
        }
    }
    for _ in 0..4 {
        mac.refresh().await.expect(200);
    }
}

#[tokio::test]
async fn rate_limits_delay_no_reuse_detection() {
    let portal = Portal::with(&[("PORTAL_ACTIONS_PER_ACCOUNT", "4")]).await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let thief = mac.duplicate();
    thief.refresh().await.expect(200);
    // Within the grace period, the same response is repeated.
    let own = thief.refresh_token();
    for round in 0..5 {
        thief
            .exchange(&own)
            .await
            .expect(if round < 3 { 200 } else { 429 });
    }
    mac.refresh().await.expect(401);
    portal.assert_ended(mac.session(), "token_reuse").await;
}
