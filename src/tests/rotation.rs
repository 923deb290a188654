//! Credentials are rotated when the permissions of their session change.

use broker_portal::server::services::rotation;

use crate::harness::*;

/// Creates a member of an organization whose role an operator can change.
async fn member(portal: &Portal, role: Role) -> TestUser {
    let person = portal.user("maria").role(role).member_of("Northgate");
    person.create().await
}

#[tokio::test]
async fn role_change_rotates_the_cookie() {
    let portal = Portal::start().await;
    let maria = member(&portal, Role::Vendor).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    for path in ["/dashboard", "/api/v1/session_state"] {
        let role = if path == "/dashboard" {
            Role::Broker
        } else {
            Role::Guest
        };
        member(&portal, role).await;
        let before = chrome.duplicate();
        let response = chrome.get(path).await.expect(200);
        assert!(response.header("set-cookie").is_some(), "{path}");
        assert_ne!(chrome.cookie(), before.cookie());
        assert_eq!(before.end_reason().await, "renewal_lost");
        let state = chrome.get("/api/v1/session_state").await.expect(200);
        assert_eq!(state.json()["user"]["role"], role.as_str());
        assert_eq!(state.header("set-cookie"), None, "once is enough");
    }
    let rows = portal.audit("role_changed").await;
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (rows[0].user, &rows[0].detail["from"]),
        (Some(maria.id), &json!("vendor"))
    );
    assert_eq!(rows[0].detail["to"], "broker");
    assert_eq!(portal.audit("session_ended").await, []);
}

#[tokio::test]
async fn unchanged_role_rotates_nothing() {
    let portal = Portal::start().await;
    let maria = member(&portal, Role::Broker).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    member(&portal, Role::Broker).await;
    let response = chrome.get("/dashboard").await.expect(200);
    assert_eq!(response.header("set-cookie"), None);
    assert_eq!(portal.audit("role_changed").await, []);
}

#[tokio::test]
async fn role_change_makes_desktops_refresh() {
    let portal = Portal::start().await;
    let maria = member(&portal, Role::Vendor).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    mac.get("/api/v1/sessions").await.expect(200);
    member(&portal, Role::Broker).await;
    assert_eq!(mac.get("/api/v1/sessions").await.end_reason(), "unknown");
    let tokens = mac.refresh().await.expect(200).json();
    assert_eq!(tokens["user"]["role"], "broker");
    mac.get("/api/v1/sessions").await.expect(200);
}

#[tokio::test]
async fn role_change_enforces_the_new_limits() {
    let portal = Portal::start().await;
    let maria = member(&portal, Role::Broker).await;
    let mut clients = Vec::new();
    for round in 0..5 {
        portal.advance(seconds(1)).await;
        let client = if round % 2 == 0 {
            portal.browser(CHROME)
        } else {
            portal.desktop(&format!("desktop-{round}"))
        };
        clients.push(client.signed_in(&maria).await);
    }
    portal.advance(seconds(1)).await;
    // The oldest session is the most recently active one.
    clients[0].get("/dashboard").await.expect(200);
    portal.advance(seconds(1)).await;
    member(&portal, Role::Employee).await;
    for client in &clients[1..4] {
        portal.assert_ended(client.session(), "session_limit").await;
    }
    let live = [clients[0].session(), clients[4].session()];
    assert_eq!(portal.live_sessions(maria.id).await, live);
    clients[0].get("/dashboard").await.expect(200);
}

#[tokio::test]
async fn failed_request_keeps_the_old_cookie_valid() {
    let portal = Portal::start().await;
    let maria = member(&portal, Role::Vendor).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    member(&portal, Role::Broker).await;
    // Whatever is refused, the browser must not keep a refused cookie.
    for path in [
        "/api/revoke_session",
        "/api/change_password",
        "/api/dismiss_security_notice",
    ] {
        let response = chrome.post(path).form(&[("a", "b")]).await;
        assert_eq!(response.status, 422, "{path}");
        assert!(chrome.is_live().await, "{path}");
    }
}

#[tokio::test]
async fn late_request_with_replaced_cookie_changes_nothing() {
    let portal = Portal::start().await;
    let maria = member(&portal, Role::Vendor).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    // Requests sent with the old cookie that arrive after the rotation.
    let late = chrome.duplicate();
    member(&portal, Role::Broker).await;
    chrome.get("/dashboard").await.expect(200);
    let calls = [
        late.get("/dashboard"),
        late.get("/login"),
        late.get("/api/session_state"),
        late.get("/api/v1/sessions"),
        late.post("/api/list_active_sessions"),
        late.post("/api/extend_session"),
        late.post("/api/sign_in_notice"),
        late.post("/api/sign_out_all_devices"),
        late.delete("/api/v1/sessions?scope=all"),
        late.delete("/api/v1/sessions?scope=current"),
        late.post("/api/v1/session/extend"),
        late.submit(
            "revoke_session",
            &[("session_id", &*chrome.session().to_string())],
        ),
    ];
    for call in calls {
        let response = call.await;
        assert_eq!(response.all("set-cookie"), Vec::<&str>::new(), "{response:#?}");
        assert!(!late.is_live().await);
        assert!(chrome.is_live().await);
    }
    assert_eq!(portal.audit("session_ended").await, []);
}

#[tokio::test]
async fn late_sign_out_with_replaced_cookie_fails() {
    let portal = Portal::start().await;
    let maria = member(&portal, Role::Vendor).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    for late in [chrome.duplicate(), chrome.duplicate().without_script()] {
        member(&portal, Role::Broker).await;
        chrome.get("/dashboard").await.expect(200);
        member(&portal, Role::Vendor).await;
        chrome.get("/dashboard").await.expect(200);
        // It cannot end a session that it does not identify; without its cookie, nobody could.
        let response = late.post("/api/sign_out").await;
        assert_eq!(response.all("set-cookie"), Vec::<&str>::new(), "{response:#?}");
        chrome.get("/dashboard").await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_requests_rotate_the_cookie_once() {
    let portal = Portal::start().await;
    let maria = member(&portal, Role::Vendor).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    for round in 0..10 {
        member(
            &portal,
            if round % 2 == 0 {
                Role::Broker
            } else {
                Role::Vendor
            },
        )
        .await;
        let (before, old) = (chrome.duplicate(), chrome.cookie().expect("a cookie"));
        let mut under_way = tokio::task::JoinSet::new();
        for _ in 0..20 {
            under_way.spawn(before.get("/api/v1/sessions").into_future());
        }
        let responses = under_way.join_all().await;
        let new: Vec<_> = responses
            .iter()
            .flat_map(|response| response.all("set-cookie"))
            .collect();
        assert_eq!(new.len(), 1, "{new:?}");
        assert!(!new[0].contains("Max-Age=0"), "{new:?}");
        assert!(
            responses
                .iter()
                .all(|response| [200, 401].contains(&response.status))
        );
        let value = new[0].split([';', '=']).nth(1).expect("a value");
        chrome.set_cookie(value);
        assert!(chrome.is_live().await);
        assert_ne!(old, value);
    }
}

#[tokio::test]
async fn ending_session_gets_no_new_cookie() {
    let portal = Portal::start().await;
    let maria = member(&portal, Role::Vendor).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    member(&portal, Role::Broker).await;

    let lock = HeldLock::of_session(&portal, chrome.session()).await;
    let end = firefox.delete(&format!("/api/v1/sessions/{}", chrome.session()));
    let end = lock.queue(end, 1).await;
    let late = lock.queue(chrome.get("/api/v1/sessions"), 2).await;
    lock.release().await;
    end.await.expect("the request task").expect(204);
    let response = late.await.expect("the request task");
    assert_eq!(response.all("set-cookie"), Vec::<&str>::new());
    assert_eq!(chrome.end_reason().await, "revoked");
}

#[tokio::test]
async fn replaced_cookie_gets_no_new_cookie() {
    let portal = Portal::start().await;
    let maria = member(&portal, Role::Vendor).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let late = portal.identified(&chrome).await;
    // While a request waits, its cookie is replaced and the session is due for another rotation.
    member(&portal, Role::Broker).await;
    chrome.get("/dashboard").await.expect(200);
    member(&portal, Role::Guest).await;
    let rotated = rotation::rotate_cookie(&portal.state, &late)
        .await
        .expect("a response");
    assert!(rotated.is_none());
    assert!(chrome.is_live().await);
}
