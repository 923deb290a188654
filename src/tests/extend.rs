//! Extending a session.

use crate::harness::*;

const HOUR: u64 = 3600;

/// Calls that extend a session, by page and by API.
fn calls(client: &Client) -> [Call; 2] {
    [
        client.post("/api/extend_session"),
        client.post("/api/v1/session/extend"),
    ]
}

#[tokio::test]
async fn extending_moves_and_stores_the_idle_expiry() {
    for route in 0..2 {
        let portal = Portal::start().await;
        let maria = portal.broker("maria").await;
        for client in [portal.browser(CHROME), portal.desktop("mac")] {
            let client = client.signed_in(&maria).await;
            portal.advance(seconds(600)).await;
            let [page, api] = calls(&client);
            [page, api]
                .into_iter()
                .nth(route)
                .expect("a call")
                .await
                .expect(200);
            // Written already, so another node would know.
            let row = portal.session_row(client.session()).await;
            assert_eq!(row.last_active_at, portal.now());
            let told: Vec<_> = portal
                .events("session_updated")
                .await
                .into_iter()
                .filter(|event| event.session == Some(client.session()))
                .collect();
            assert_eq!(told.len(), 1);
        }
    }
}

#[tokio::test]
async fn extend_response_contains_the_new_expiry() {
    let (portal, _, chrome) = Portal::with_browser().await;
    portal.advance(seconds(12 * HOUR - 1)).await;
    let state = chrome.post_json("/api/v1/session/extend").await;
    let idle_end = domain::time::format_rfc3339(portal.now() + seconds(12 * HOUR));
    assert_eq!(state["session"]["idle_expires_at"], idle_end);
    assert_eq!(chrome.idle_expiry().await, idle_end);
    portal.advance(seconds(12 * HOUR - 1)).await;
    assert!(chrome.is_live().await);
}

#[tokio::test]
async fn pages_receive_the_new_expiry() {
    let (portal, _, chrome) = Portal::with_browser().await;
    let before = chrome.idle_expiry().await;
    portal.advance(seconds(HOUR)).await;
    // In the background, so that only the extension moves the expiry.
    let call = chrome
        .post("/api/extend_session")
        .header("x-portal-background", "1");
    let state = call.await.expect(200).json();
    let idle_end = domain::time::format_rfc3339(portal.now() + seconds(12 * HOUR));
    assert_eq!(state["session"]["idle_expires_at"], idle_end);
    assert_ne!(before, idle_end);
    assert_eq!(
        chrome.get_json("/api/session_state").await["session"],
        state["session"]
    );
}

#[tokio::test]
async fn clients_receive_the_warning_time() {
    for (settings, warning) in [
        (&[][..], 300),
        (&[("PORTAL_WARNING_SECONDS", "60")], 60),
        (&[("PORTAL_WARNING_SECONDS", "0")], 0),
    ] {
        let portal = Portal::with(settings).await;
        let maria = portal.broker("maria").await;
        let chrome = portal.browser(CHROME).signed_in(&maria).await;
        let state = chrome.get_json("/api/v1/session_state").await;
        assert_eq!(state["session"]["warning_seconds"], warning);
        let page = chrome.post_json("/api/show_viewer").await;
        assert_eq!(page["state"]["session"]["warning_seconds"], warning);
    }
}

#[tokio::test]
async fn extending_is_activity_even_in_the_background() {
    let (portal, _, chrome) = Portal::with_browser().await;
    for route in 0..2 {
        portal.advance(seconds(600)).await;
        let [page, api] = calls(&chrome);
        let call = [page, api].into_iter().nth(route).expect("a call");
        let response = call.header("x-portal-background", "1").await.expect(200).json();
        let idle_end = domain::time::format_rfc3339(portal.now() + seconds(12 * HOUR));
        assert_eq!(chrome.idle_expiry().await, idle_end);
        if route == 1 {
            assert_eq!(response["session"]["idle_expires_at"], idle_end);
        }
    }
}

#[tokio::test]
async fn no_extension_exceeds_the_lifetime() {
    for route in 0..2 {
        let (portal, _, chrome) = Portal::with_browser().await;
        for _ in 0..23 {
            portal.advance(seconds(HOUR)).await;
            for call in calls(&chrome) {
                call.await.expect(200);
            }
        }
        portal.advance(seconds(HOUR - 1)).await;
        for call in calls(&chrome) {
            call.await.expect(200);
        }
        portal.advance(seconds(1)).await;
        let [page, api] = calls(&chrome);
        let response = [page, api].into_iter().nth(route).expect("a call").await;
        assert_eq!(response.expect(401).json()["reason"], "lifetime_exceeded");
        portal.assert_ended(chrome.session(), "lifetime_exceeded").await;
    }
}

#[tokio::test]
async fn ended_session_is_not_extended_but_explained() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let owner = portal.browser(FIREFOX).signed_in(&maria).await;
    let revoked = portal.browser(CHROME).signed_in(&maria).await;
    owner.revoke(revoked.session()).await;
    for call in calls(&revoked) {
        assert_eq!(call.await.expect(401).json()["reason"], "revoked");
    }
    portal.advance(seconds(12 * HOUR)).await;
    for call in calls(&owner) {
        assert_eq!(call.await.expect(401).json()["reason"], "idle_timeout");
    }
    for call in calls(&portal.browser(CHROME)) {
        assert_eq!(call.await.expect(401).json()["reason"], "unknown");
    }
}

#[tokio::test]
async fn extension_that_waited_for_revocation_revives_nothing() {
    for route in 0..2 {
        let portal = Portal::start().await;
        let maria = portal.broker("maria").await;
        let owner = portal.browser(FIREFOX).signed_in(&maria).await;
        let chrome = portal.browser(CHROME).signed_in(&maria).await;
        portal.advance(seconds(60)).await;
        let before = portal.session_row(chrome.session()).await.last_active_at;

        let lock = HeldLock::of_session(&portal, chrome.session()).await;
        let end = owner.delete(&format!("/api/v1/sessions/{}", chrome.session()));
        let end = lock.queue(end, 1).await;
        let [page, api] = calls(&chrome);
        let late = [page, api].into_iter().nth(route).expect("a call");
        let late = lock.queue(late, 2).await;
        lock.release().await;
        end.await.expect("the request task").expect(204);
        let response = late.await.expect("the request task").expect(401);
        assert_eq!(response.json()["reason"], "revoked");
        portal.write_activity().await;
        let row = portal.session_row(chrome.session()).await;
        assert_eq!(row.last_active_at, before);
        portal.assert_ended(chrome.session(), "revoked").await;
        assert_eq!(chrome.end_reason().await, "revoked");
    }
}

#[tokio::test]
async fn extension_just_before_revocation_keeps_nothing_alive() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let owner = portal.browser(FIREFOX).signed_in(&maria).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(60)).await;

    let lock = HeldLock::of_session(&portal, chrome.session()).await;
    let early = lock.queue(chrome.post("/api/v1/session/extend"), 1).await;
    let end = owner.delete(&format!("/api/v1/sessions/{}", chrome.session()));
    let end = lock.queue(end, 2).await;
    lock.release().await;
    early.await.expect("the request task").expect(200);
    end.await.expect("the request task").expect(204);
    portal.assert_ended(chrome.session(), "revoked").await;
    assert_eq!(chrome.end_reason().await, "revoked");
}
