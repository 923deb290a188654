//! Refresh tokens: exchanged, reused, and lost responses.

use tokio::{spawn, task::JoinSet};

use crate::harness::*;

/// Creates a user with a signed-in desktop.
async fn on_a_desktop(portal: &Portal) -> (TestUser, Client) {
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    (maria, mac)
}

#[track_caller]
fn assert_refused(response: TestResponse) {
    assert_eq!(response.problem(), "invalid_grant");
    response.expect(401);
}

/// Asserts that the session was revoked for token reuse, with a notice to the user.
async fn assert_ended_for_reuse(portal: &Portal, mac: &Client) {
    portal.assert_ended(mac.session(), "token_reuse").await;
    let audit = portal.audit("token_reused").await;
    assert_eq!(audit.len(), 1);
    assert_eq!(
        (audit[0].session, audit[0].ip_address.as_deref()),
        (Some(mac.session()), Some("198.51.100.7"))
    );
    let notices = portal.notices().await;
    let about: Vec<_> = notices
        .iter()
        .filter(|notice| notice.session == mac.session())
        .map(|notice| &notice.rules[..])
        .collect();
    assert_eq!(about, [["token_reuse"]]);
    assert_eq!(mac.end_reason().await, "token_reuse");
}

#[tokio::test]
async fn refresh_rotates_tokens_and_invalidates_the_old() {
    let portal = Portal::start().await;
    let (maria, mac) = on_a_desktop(&portal).await;
    portal.advance(seconds(60)).await;
    let before = mac.duplicate();

    let response = mac.refresh().await.expect(200);
    let tokens = response.json();
    assert_eq!(tokens["session_id"], json!(mac.session()));
    assert_eq!(
        (&tokens["expires_in"], &tokens["token_type"]),
        (&json!(900), &json!("Bearer"))
    );
    assert_eq!(
        tokens["expires_at"],
        domain::time::format_rfc3339(portal.now() + seconds(900))
    );
    assert_eq!(tokens["user"]["email"], maria.email);
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_ne!(mac.access_token(), before.access_token());
    assert_ne!(mac.refresh_token(), before.refresh_token());

    mac.get("/api/v1/sessions").await.expect(200);
    assert_eq!(before.end_reason().await, "unknown");
    for _ in 0..5 {
        portal.advance(seconds(60)).await;
        mac.refresh().await.expect(200);
        mac.get("/api/v1/sessions").await.expect(200);
    }
}

#[tokio::test]
async fn refresh_renews_an_expired_access_token() {
    let portal = Portal::with(&[("PORTAL_ACCESS_TOKEN_SECONDS", "60")]).await;
    let (_, mac) = on_a_desktop(&portal).await;
    for _ in 0..3 {
        portal.advance(seconds(59)).await;
        mac.get("/api/v1/sessions").await.expect(200);
        portal.advance(seconds(1)).await;
        assert_eq!(mac.get("/api/v1/sessions").await.end_reason(), "unknown");
        mac.refresh().await.expect(200);
        mac.get("/api/v1/sessions").await.expect(200);
    }
}

#[tokio::test]
async fn token_reuse_after_rotation_ends_the_session() {
    let portal = Portal::start().await;
    let (maria, mac) = on_a_desktop(&portal).await;
    let others = [
        portal.desktop("thinkpad").signed_in(&maria).await,
        portal.browser(CHROME).signed_in(&maria).await,
    ];
    let thief = mac.duplicate();
    mac.refresh().await.expect(200);
    // At once, but the owner has already used the successor.
    mac.refresh().await.expect(200);

    assert_refused(thief.refresh().await);
    assert_ended_for_reuse(&portal, &mac).await;
    assert_refused(mac.refresh().await);
    // Further attempts are refused, and nothing more is written.
    assert_refused(thief.refresh().await);
    assert_ended_for_reuse(&portal, &mac).await;
    for other in &others {
        assert!(other.is_live().await);
    }
    others[0].refresh().await.expect(200);
}

#[tokio::test]
async fn reuse_of_any_older_token_ends_the_session() {
    for generation in 0..4 {
        let portal = Portal::start().await;
        let (_, mac) = on_a_desktop(&portal).await;
        let mut line = Vec::new();
        for _ in 0..4 {
            line.push(mac.refresh_token());
            portal.advance(seconds(600)).await;
            mac.refresh().await.expect(200);
        }
        portal.advance(seconds(31)).await;
        assert_refused(mac.exchange(&line[generation]).await);
        assert_ended_for_reuse(&portal, &mac).await;
    }
}

#[tokio::test]
async fn retry_within_thirty_seconds_returns_the_same_tokens() {
    let portal = Portal::start().await;
    let (_, mac) = on_a_desktop(&portal).await;
    let lost = mac.exchange(&mac.refresh_token()).await.expect(200).json();
    for wait in [0, 10, 20] {
        portal.advance(seconds(wait)).await;
        let again = mac.duplicate();
        let response = again.refresh().await.expect(200).json();
        for field in ["access_token", "refresh_token", "expires_at", "session_id"] {
            assert_eq!(response[field], lost[field], "{field}");
        }
        again.get("/api/v1/sessions").await.expect(200);
    }
    // Thirty seconds have passed. The returned token works for a refresh of its own.
    mac.refresh().await.expect(200);
    mac.refresh().await.expect(200);
    assert!(mac.is_live().await);
    assert_eq!(portal.audit("token_reused").await, []);
}

#[tokio::test]
async fn retry_after_thirty_seconds_is_reuse() {
    let portal = Portal::start().await;
    let (_, mac) = on_a_desktop(&portal).await;
    let thief = mac.duplicate();
    mac.refresh().await.expect(200);
    portal.advance(seconds(31)).await;
    assert_refused(thief.refresh().await);
    assert_ended_for_reuse(&portal, &mac).await;
}

#[tokio::test]
async fn parent_token_after_reauthentication_is_reuse() {
    let portal = Portal::start().await;
    let (maria, mac) = on_a_desktop(&portal).await;
    let thief = mac.duplicate();
    mac.refresh().await.expect(200);
    // The desktop has used the new tokens, so the response was not lost, within the grace period or after it.
    let body = json!({ "password": maria.password });
    let response = mac
        .post("/api/v1/session/reauthenticate")
        .json(&body)
        .await
        .expect(200);
    mac.take_tokens(&response);
    assert_refused(thief.refresh().await);
    assert_ended_for_reuse(&portal, &mac).await;
}

#[tokio::test]
async fn cleanup_keeps_the_retry_window() {
    let portal = Portal::start().await;
    let (_, mac) = on_a_desktop(&portal).await;
    let late = mac.duplicate();
    mac.refresh().await.expect(200);
    portal.advance(seconds(30)).await;
    assert_eq!(portal.clean_up().await.salts_erased, 0);
    late.exchange(&late.refresh_token()).await.expect(200);
    portal.advance(seconds(1)).await;
    assert_eq!(portal.clean_up().await.salts_erased, 1);
    assert_refused(late.refresh().await);
    assert_ended_for_reuse(&portal, &mac).await;
}

#[tokio::test]
async fn only_refresh_tokens_are_accepted() {
    let portal = Portal::start().await;
    let (maria, mac) = on_a_desktop(&portal).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let cookie = chrome.cookie().expect("a cookie");
    for wrong in [
        &*mac.access_token(),
        &cookie,
        "",
        "nonsense",
        "AAAAAAAAAAAAAAAAAAAAAA",
        &"x".repeat(5000),
        "\0",
        &mac.session().to_string(),
    ] {
        assert_refused(mac.exchange(wrong).await);
        assert_refused(portal.anonymous().exchange(wrong).await);
    }
    let thief = portal.desktop("mac");
    thief.set_access_token(&mac.refresh_token());
    assert_eq!(thief.end_reason().await, "unknown");
    thief.get("/api/v1/sessions").await.expect(401);

    // Nothing counts against the session.
    mac.refresh().await.expect(200);
    assert!(chrome.is_live().await);
}

#[tokio::test]
async fn refresh_is_no_activity() {
    let portal = Portal::start().await;
    let (_, mac) = on_a_desktop(&portal).await;
    let idle_end = mac.idle_expiry().await;
    let began = portal.session_row(mac.session()).await.last_active_at;
    for _ in 0..3 {
        portal.advance(seconds(600)).await;
        mac.refresh().await.expect(200);
        assert_eq!(mac.idle_expiry().await, idle_end);
    }
    portal.write_activity().await;
    let row = portal.session_row(mac.session()).await;
    assert_eq!((row.last_active_at, row.last_seen_at), (began, portal.now()));

    portal.advance(seconds(12 * 3600 - 1800 - 1)).await;
    mac.refresh().await.expect(200);
    portal.advance(seconds(1)).await;
    assert_refused(mac.refresh().await);
    assert_eq!(mac.end_reason().await, "idle_timeout");
}

#[tokio::test]
async fn refresh_never_exceeds_the_lifetime() {
    let portal = Portal::start().await;
    let (_, mac) = on_a_desktop(&portal).await;
    let ends = portal.now() + seconds(24 * 3600);
    for _ in 0..2 {
        portal.advance(seconds(12 * 3600 - 200)).await;
        mac.refresh().await.expect(200);
        mac.get("/api/v1/sessions").await.expect(200);
    }
    portal.advance(seconds(100)).await;
    // 300 seconds are left, and the new tokens last no longer.
    let tokens = mac.refresh().await.expect(200).json();
    assert_eq!(tokens["expires_in"], 300);
    assert_eq!(tokens["expires_at"], domain::time::format_rfc3339(ends));
    portal.advance(seconds(299)).await;
    mac.refresh().await.expect(200);
    mac.get("/api/v1/sessions").await.expect(200);
    portal.advance(seconds(1)).await;
    assert_refused(mac.refresh().await);
    assert_eq!(mac.end_reason().await, "lifetime_exceeded");
}

#[tokio::test]
async fn ended_sessions_refresh_token_is_rejected() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let refused = async |mac: Client, reason: &str| {
        assert_refused(mac.refresh().await);
        portal.assert_ended(mac.session(), reason).await;
    };

    let mac = portal.desktop("mac").signed_in(&maria).await;
    mac.revoke_scope("current").await;
    refused(mac, "signed_out").await;

    let mac = portal.desktop("mac").signed_in(&maria).await;
    let one = format!("/api/v1/sessions/{}", mac.session());
    chrome.delete(&one).await.expect(204);
    refused(mac, "revoked").await;

    // The response of an earlier exchange cannot be repeated any more.
    let mac = portal.desktop("mac").signed_in(&maria).await;
    mac.exchange(&mac.refresh_token()).await.expect(200);
    chrome.revoke_scope("all").await;
    refused(mac, "signed_out_everywhere").await;

    let mac = portal.desktop("mac").signed_in(&maria).await;
    portal.accounts().disable(&maria.email).await.expect("disabled");
    refused(mac, "account_disabled").await;
    assert_eq!(portal.audit("token_reused").await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_refreshes_give_one_successor() {
    let portal = Portal::start().await;
    let node = portal.second_node().await;
    let (_, mac) = on_a_desktop(&portal).await;
    for round in 0..10 {
        let mut under_way = JoinSet::new();
        for place in 0..20 {
            let mac = if place % 2 == 0 {
                mac.clone()
            } else {
                mac.clone().via(&node.router)
            };
            under_way.spawn(mac.exchange(&mac.refresh_token()).into_future());
        }
        let responses = under_way.join_all().await;
        let tokens = |response: &TestResponse| {
            let response = response.clone().expect(200).json();
            (
                response["access_token"].clone(),
                response["refresh_token"].clone(),
            )
        };
        assert!(
            responses
                .iter()
                .all(|response| tokens(response) == tokens(&responses[0]))
        );
        assert_eq!(portal.rows("refresh_tokens").await, round + 2);
        mac.take_tokens(&responses[0]);
        mac.get("/api/v1/sessions").await.expect(200);
    }
    assert_eq!(portal.audit("token_reused").await, []);
}

#[tokio::test]
async fn refresh_that_waited_for_revocation_gives_nothing() {
    let portal = Portal::start().await;
    let (maria, mac) = on_a_desktop(&portal).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let end = chrome.delete(&format!("/api/v1/sessions/{}", mac.session()));

    let lock = HeldLock::of_user(&portal, &maria).await;
    let end = lock.queue(end, 1).await;
    let refresh = lock.queue(mac.exchange(&mac.refresh_token()), 2).await;
    lock.release().await;
    end.await.expect("the request task").expect(204);
    assert_refused(refresh.await.expect("the request task"));
    assert_eq!(mac.end_reason().await, "revoked");
}

#[tokio::test]
async fn tokens_issued_just_before_revocation_are_invalid() {
    let portal = Portal::start().await;
    let (maria, mac) = on_a_desktop(&portal).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let end = chrome.delete(&format!("/api/v1/sessions/{}", mac.session()));

    let lock = HeldLock::of_user(&portal, &maria).await;
    let refresh = lock.queue(mac.exchange(&mac.refresh_token()), 1).await;
    let end = lock.queue(end, 2).await;
    lock.release().await;
    mac.take_tokens(&refresh.await.expect("the request task").expect(200));
    end.await.expect("the request task").expect(204);
    assert_eq!(mac.end_reason().await, "revoked");
    assert_refused(mac.refresh().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_survives_parallel_refresh_and_revocation() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let mut refreshed = 0;
    for round in 0..500_u64 {
        let mac = portal.desktop("mac").signed_in(&maria).await;
        let before = mac.duplicate();
        let path = if round % 2 == 0 {
            format!("/api/v1/sessions/{}", mac.session())
        } else {
            "/api/v1/sessions?scope=others".to_owned()
        };
        let refreshing = spawn(mac.exchange(&mac.refresh_token()).into_future());
        // Varies over the duration of a refresh.
        tokio::time::sleep(std::time::Duration::from_micros(100 * (round % 40))).await;
        let ending = chrome.delete(&path).await;
        assert!(ending.status < 300, "{ending:#?}");

        let response = refreshing.await.expect("the request task");
        if response.status == 200 {
            refreshed += 1;
            mac.take_tokens(&response);
        } else {
            assert_refused(response);
        }
        for held in [&mac, &before] {
            assert!(!held.is_live().await, "round {round}");
            assert_refused(held.refresh().await);
        }
        assert_eq!(portal.live_sessions(maria.id).await, [chrome.session()]);
    }
    assert!(
        (1..500).contains(&refreshed),
        "the two never raced: {refreshed} refreshes were first"
    );
    assert_eq!(portal.audit("token_reused").await, []);
}
