//! General behaviour of the JSON API.

use axum::http::Method;

use crate::harness::*;

#[tokio::test]
async fn unknown_resources_answer_with_a_problem() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    for client in [&mac, &portal.anonymous()] {
        for path in words("/api/v1 /api/v1/ /api/v1/nowhere /api/v1/sessions/ /api/v1/session_state/x") {
            for method in [Method::GET, Method::POST] {
                let response = client.call(method, path).await;
                assert_eq!(
                    (response.status, response.problem().as_str()),
                    (404, "not_found"),
                    "{path}"
                );
            }
        }
        for (method, path) in [
            (Method::PUT, "/api/v1/sessions"),
            (Method::GET, "/api/v1/devices/heartbeat"),
            (Method::POST, "/api/v1/session_state"),
            (Method::PATCH, "/api/v1/sessions/x"),
        ] {
            let response = client.call(method, path).await.expect(405);
            assert_eq!(
                response.header("content-type"),
                Some("application/problem+json"),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn invalid_body_is_a_problem_and_changes_nothing() {
    let portal = Portal::start().await;
    let device = json!({ "device_id": "a", "device_name": "b", "os": "c", "platform": "d" });
    let program = portal.anonymous();
    let sign_in = || program.post("/api/v1/sessions");
    let whole = json!({ "email": "a@b", "password": "c", "device": device });
    for call in [
        sign_in(),
        sign_in().body("application/json", "nonsense"),
        sign_in().body("application/json", "[]"),
        sign_in().body("application/json", b"\xff\xfe".to_vec()),
        sign_in().json(&json!({ "email": "a@b", "password": "c" })),
        sign_in().json(&json!({ "email": 1, "password": "c", "device": device })),
        sign_in().form(&[("email", "a@b"), ("password", "c")]),
        sign_in().body("text/plain", whole.to_string()),
    ] {
        let response = call.await;
        assert_eq!(
            (response.status, response.problem().as_str()),
            (422, "invalid_input"),
            "{response:#?}"
        );
    }
    assert_eq!(portal.rows("audit_events").await, 0);
    sign_in()
        .json(&whole)
        .await
        .assert_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn endless_body_is_a_problem() {
    let portal = Portal::start().await;
    for length in [100_000, 1 << 20] {
        let body = json!({ "email": "a@b", "password": "x".repeat(length) });
        let response = portal.anonymous().post("/api/v1/sessions").json(&body).await;
        assert!((400..500).contains(&response.status), "{response:#?}");
        response.problem();

        let response = portal.browser(CHROME).post("/api/sign_in").json(&body).await;
        assert_eq!(response.json()["code"], "invalid_input", "{response:#?}");
        assert!((400..500).contains(&response.status), "{response:#?}");
        let fields = [("email", "a@b"), ("password", &"x".repeat(length))];
        let response = portal.browser(CHROME).submit("sign_in", &fields).await;
        assert!((400..500).contains(&response.status), "{response:#?}");
    }
}

#[tokio::test]
async fn server_functions_accept_flat_json_objects() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let body = json!({ "email": maria.email, "password": maria.password, "next": null });
    let response = portal
        .browser(CHROME)
        .post("/api/sign_in")
        .json(&body)
        .await
        .expect(200);
    assert_eq!(response.json(), "/dashboard");
    for body in [json!([1]), json!({ "session_id": { "a": 1 } }), json!("text")] {
        let response = portal
            .browser(CHROME)
            .post("/api/revoke_session")
            .json(&body)
            .await
            .expect(422);
        assert_eq!(response.json()["code"], "invalid_input");
    }
}

#[tokio::test]
async fn heartbeat_updates_the_desktops_presence() {
    let (portal, _, chrome, mac) = Portal::with_devices().await;
    let began = portal.now();
    portal.advance(seconds(300)).await;

    assert_eq!(mac.post("/api/v1/devices/heartbeat").await.expect(204).body, "");
    let row = portal.session_row(mac.session()).await;
    assert_eq!((row.last_seen_at, row.last_active_at), (portal.now(), began));
    let seen: chrono::DateTime<chrono::Utc> = portal.scalar("SELECT last_seen_at FROM devices").await;
    assert_eq!(seen, portal.now());

    let response = chrome.post("/api/v1/devices/heartbeat").await;
    assert_eq!((response.status, response.problem().as_str()), (403, "forbidden"));
}

#[tokio::test]
async fn api_accepts_the_cookie() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    chrome.get("/api/v1/sessions").await.expect(200);
    chrome.revoke(firefox.session()).await;
    assert_eq!(
        firefox.get("/dashboard").await.expect(303).location(),
        "/login?next=/dashboard&reason=revoked"
    );
}

#[tokio::test]
async fn health_endpoints_report_server_health() {
    let portal = Portal::start().await;
    let _listening = portal.start_listener().await;
    assert_eq!(portal.anonymous().get_text("/healthz").await, "ok\n");
    let ready = portal.anonymous().get_json("/readyz").await;
    assert_eq!(ready["ready"], true);
    portal
        .execute("DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
        .await;
    let ready = portal.anonymous().get("/readyz").await.expect(503).json();
    assert_eq!(ready["ready"], false);
    assert!(ready["checks"].to_string().contains("1 not applied"), "{ready}");
}
