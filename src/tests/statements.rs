//! Statements per request, counted by the database.

use crate::harness::*;

#[tokio::test]
async fn signed_in_check_costs_one_statement() {
    let (portal, _, chrome, mac) = Portal::with_devices().await;
    for client in [&chrome, &mac] {
        let (statements, response) = portal
            .statements_of(client.get("/api/v1/session_state").into_future())
            .await;
        assert_eq!((statements, response.status), (1, 200));
    }
    // One to identify the caller, one to respond.
    let (statements, response) = portal
        .statements_of(mac.get("/api/v1/sessions").into_future())
        .await;
    assert_eq!((statements, response.status), (2, 200));
    let (statements, response) = portal.statements_of(chrome.get("/login").into_future()).await;
    assert_eq!((statements, response.status), (1, 303));
}

#[tokio::test]
async fn ended_session_costs_one_statement() {
    let (portal, _, chrome) = Portal::with_browser().await;
    chrome.revoke_scope("all").await;
    for (path, status) in [("/dashboard", 303), ("/api/v1/sessions", 401), ("/login", 200)] {
        let (statements, response) = portal.statements_of(chrome.get(path).into_future()).await;
        assert_eq!((statements, response.status), (1, status), "{path}");
    }
}

#[tokio::test]
async fn settings_page_costs_at_most_three_statements() {
    let portal = Portal::start().await;
    let maria = portal.member("maria", "Northgate Brokerage").await;
    portal.desktop("mac").signed_in(&maria).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let (statements, response) = portal
        .statements_of(chrome.get("/dashboard/settings").into_future())
        .await;
    response.expect(200);
    assert!(statements <= 3, "{statements}");
}

#[tokio::test]
async fn request_without_credential_costs_no_statement() {
    let portal = Portal::start().await;
    portal.broker("maria").await;
    let stranger = portal.browser(CHROME);
    for path in words(
        "/ /login /login?reason=idle_timeout /dashboard /dashboard/settings /nowhere /api/session_state
        /api/v1/sessions /healthz /pkg/portal.js",
    ) {
        let (statements, _) = portal.statements_of(stranger.get(path).into_future()).await;
        assert_eq!(statements, 0, "{path}");
    }
    let (statements, _) = portal
        .statements_of(stranger.post("/api/sign_out").into_future())
        .await;
    assert_eq!(statements, 0);
    let (statements, _) = portal
        .statements_of(stranger.delete("/api/v1/sessions?scope=all").into_future())
        .await;
    assert_eq!(statements, 0);
}

#[tokio::test]
async fn activity_of_many_requests_is_written_once() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    for _ in 0..10 {
        chrome.get("/api/v1/sessions").await.expect(200);
        firefox.get("/api/v1/sessions").await.expect(200);
    }
    // The update in its transaction.
    let (statements, ()) = portal.statements_of(portal.write_activity()).await;
    assert_eq!(statements, 3);
    let (statements, ()) = portal.statements_of(portal.write_activity()).await;
    assert_eq!(statements, 0);
}

#[tokio::test]
async fn statement_count_is_independent_of_session_count() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let alone = portal
        .statements_of(chrome.get("/dashboard/settings").into_future())
        .await
        .0;
    for device in ["mac", "thinkpad", "workstation"] {
        portal.desktop(device).signed_in(&maria).await;
    }
    // While the sign-ins are unconfirmed, the page loads the notices: one more statement for any number.
    let asked = portal
        .statements_of(chrome.get("/dashboard/settings").into_future())
        .await
        .0;
    assert_eq!(asked, alone + 1);
    portal.confirm_notices(&chrome).await;
    let among_many = portal
        .statements_of(chrome.get("/dashboard/settings").into_future())
        .await
        .0;
    assert_eq!(alone, among_many);
}
