//! Database outages sign nobody out.

use broker_portal::server::database::Database;

use crate::harness::*;

#[track_caller]
fn assert_unavailable(name: &str, response: &TestResponse) {
    assert_eq!(response.status, 503, "{name}: {response:#?}");
    assert!(
        response
            .header("retry-after")
            .is_some_and(|s| s.parse::<u32>().is_ok()),
        "{name}: {response:#?}"
    );
    assert_eq!(response.all("set-cookie"), Vec::<&str>::new(), "{name}");
    for word in ["sqlx", "postgres", "Postgres", "datab_", "test_", "connection"] {
        assert!(!response.body.contains(word), "{name}: {}", response.body);
    }
}

/// Sends requests during an outage, signed in and anonymous.
async fn while_away(chrome: &Client, mac: &Client, person: &TestUser) {
    let portal = &chrome.portal;
    let plain = chrome.clone().without_script();
    for path in ["/dashboard", "/dashboard/settings", "/login", "/nowhere"] {
        let page = chrome.get(path).await;
        assert_unavailable(path, &page);
        assert!(page.body.contains("You are still signed in."), "{}", page.body);
    }
    for client in [chrome, mac] {
        for path in ["/api/v1/sessions", "/api/v1/session_state", "/api/session_state"] {
            let response = client.get(path).await;
            assert_unavailable(path, &response);
            assert_eq!(response.problem(), "unavailable");
        }
        let response = client.delete("/api/v1/sessions?scope=all").await;
        assert_unavailable("revoke", &response);
    }
    for path in [
        "/api/list_active_sessions",
        "/api/sign_out_all_devices",
        "/api/sign_out",
        "/api/show_viewer",
    ] {
        let response = chrome.post(path).await;
        assert_unavailable(path, &response);
        assert_eq!(response.json(), json!({ "code": "unavailable" }), "{path}");
        assert_unavailable(path, &plain.post(path).await);
    }

    // The sign-in page works; submitting it reports the outage.
    portal.browser(SAFARI).get("/login").await.expect(200);
    portal.browser(SAFARI).get("/dashboard").await.expect(303);
    let response = portal.desktop("thinkpad").post("/api/v1/sessions").json(&json!({
        "email": person.email,
        "password": person.password,
        "device": { "device_id": "a", "device_name": "b", "os": "c", "platform": "d" },
    }));
    let response = response.await;
    assert_unavailable("desktop sign-in", &response);
    assert_eq!(response.problem(), "unavailable");

    portal.anonymous().get("/healthz").await.expect(200);
    let ready = portal.anonymous().get("/readyz").await.expect(503);
    assert_eq!(ready.json()["ready"], false);
}

/// Waits until everything works again. Each broken connection in the pool may cost one request.
async fn recovers(client: &Client, path: &str) {
    for _ in 0..Database::MAX_CONNECTIONS {
        let response = client.get(path).await;
        if response.status == 503 {
            assert_unavailable(path, &response);
        } else {
            response.expect(200);
        }
    }
    client.get(path).await.expect(200);
}

#[tokio::test]
async fn refused_database_connections_are_503_everywhere() {
    let (portal, maria, chrome, mac) = Portal::with_devices().await;

    let outage = portal.disconnect_database().await;
    while_away(&chrome, &mac, &maria).await;
    outage.end().await;
    recovers(&chrome, "/dashboard").await;
    recovers(&mac, "/api/v1/sessions").await;
    assert_eq!(portal.audit("session_ended").await, []);
}

#[tokio::test]
async fn stopped_database_is_503_everywhere() {
    let cluster = private_cluster("outage").await;
    let portal = Portal::on_cluster(&cluster.url("portal")).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;

    cluster.stop().await.expect("stopped");
    while_away(&chrome, &mac, &maria).await;
    let cluster = private_cluster("outage").await;
    recovers(&chrome, "/dashboard").await;
    recovers(&mac, "/api/v1/sessions").await;
    assert_eq!(portal.audit("session_ended").await, []);
    drop((chrome, mac, portal));
    cluster.stop().await.expect("stopped");
}

#[tokio::test]
async fn sign_in_during_an_outage_says_retry_after() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let outage = portal.disconnect_database().await;
    let fields = [("email", &*maria.email), ("password", &*maria.password)];
    let response = portal.browser(CHROME).submit("sign_in", &fields).await;
    assert_eq!(response.json()["code"], "unavailable");
    assert_unavailable("sign-in", &response);

    let plain = portal.browser(CHROME).without_script();
    let origin = portal.state.config.public_url.origin();
    let call = plain
        .post("/api/sign_in")
        .header("referer", &format!("{origin}/login"))
        .form(&fields);
    let back = call.await.expect(302);
    let page = plain.get(back.location()).await.expect(200);
    assert!(
        page.body.contains("cannot reach its database right now"),
        "{}",
        page.body
    );
    outage.end().await;
    recovers(&chrome, "/api/v1/sessions").await;
    portal.browser(FIREFOX).signed_in(&maria).await;
}

#[tokio::test]
async fn activity_before_an_outage_is_written_afterwards() {
    let (portal, _, chrome) = Portal::with_browser().await;
    portal.advance(seconds(600)).await;
    chrome.get("/dashboard").await.expect(200);
    let active = portal.now();

    let outage = portal.disconnect_database().await;
    portal
        .state
        .activity
        .flush(&portal.state.database)
        .await
        .expect_err("the database is gone");
    outage.end().await;
    portal.write_activity().await;
    assert_eq!(portal.session_row(chrome.session()).await.last_active_at, active);
}

#[tokio::test]
async fn outage_during_page_render_is_503() {
    let (portal, _, chrome) = Portal::with_browser().await;
    // Identifying the caller works, but loading the page fails.
    let mut holding = portal.sql.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *holding)
        .await
        .expect("locked");
    assert_unavailable("dashboard", &chrome.get("/dashboard").await);
    holding.commit().await.expect("commit");
    chrome.get("/dashboard").await.expect(200);
}

#[tokio::test]
async fn locked_user_row_asks_to_retry() {
    let portal = Portal::start().await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let firefox = portal.browser(FIREFOX).signed_in(&jonas).await;
    let lock = HeldLock::of_user(&portal, &maria).await;
    let stuck = tokio::spawn(chrome.delete("/api/v1/sessions?scope=all").into_future());
    lock.until_waiting(1).await;
    // Meanwhile the user reads, and other users do anything.
    chrome.get("/dashboard/settings").await.expect(200);
    firefox.revoke_scope("all").await;
    assert_unavailable("revoke", &stuck.await.expect("the request task"));
    lock.release().await;
    assert_eq!(portal.end_reason(chrome.session()).await, None);
    chrome.revoke_scope("all").await;
}
