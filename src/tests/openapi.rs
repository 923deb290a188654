//! The API matches its OpenAPI description.

use std::collections::BTreeSet;

use domain::filter::Filter as _;

use crate::harness::*;

/// Calls every operation until each of its usual responses was seen, and compares each response with the description.
#[tokio::test]
async fn every_api_response_matches_its_description() {
    let portal = Portal::with(&[("PORTAL_REAUTH_SECONDS", "600"), ("PORTAL_SIGN_IN_ATTEMPTS", "5")]).await;
    let maria = portal.member("maria", "Northgate").await;
    let ada = portal.admin("ada", "Northgate").await;
    let described = Description::fetch(&portal).await;
    let mut seen = BTreeSet::new();
    let mut check = |operation: &str, response: &TestResponse| {
        described.assert_matches(operation, response);
        seen.insert(format!("{operation} {}", response.status));
    };

    let stranger = portal.anonymous();
    let mac = portal.desktop("mac");
    let signed_in = mac.sign_in(&maria).await;
    check("POST /api/v1/sessions", &signed_in);
    check(
        "POST /api/v1/sessions",
        &portal.desktop("mac").try_sign_in(&maria.email, "wrong").await,
    );
    check(
        "POST /api/v1/sessions",
        &stranger
            .post("/api/v1/sessions")
            .json(&json!({ "email": maria.email }))
            .await,
    );
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    for client in [&chrome, &mac] {
        check("GET /api/v1/sessions", &client.get("/api/v1/sessions").await);
        check(
            "GET /api/v1/session_state",
            &client.get("/api/v1/session_state").await,
        );
        check(
            "POST /api/v1/session/extend",
            &client.post("/api/v1/session/extend").await,
        );
    }
    check(
        "POST /api/v1/devices/heartbeat",
        &mac.post("/api/v1/devices/heartbeat").await,
    );
    check(
        "POST /api/v1/devices/heartbeat",
        &chrome.post("/api/v1/devices/heartbeat").await,
    );

    let node = portal.start_listener().await;
    const STREAM: &str = "GET /api/v1/session/events";
    let safari = portal.browser(SAFARI).signed_in(&maria).await;
    let stream = tokio::spawn(safari.get("/api/v1/session/events").into_future());
    while portal.state.hub.open_streams() == 0 {
        tokio::task::yield_now().await;
    }
    safari.sign_out().await;
    check(STREAM, &stream.await.expect("the stream came to its end"));
    check(STREAM, &safari.get("/api/v1/session/events").await);
    drop(node);

    const REAUTHENTICATE: &str = "POST /api/v1/session/reauthenticate";
    const REFRESH: &str = "POST /api/v1/sessions/refresh";
    let renew = async |client: &Client, password: &str| {
        let call = client.post("/api/v1/session/reauthenticate");
        call.json(&json!({ "password": password })).await
    };
    check(REAUTHENTICATE, &renew(&chrome, &maria.password).await);
    check(REAUTHENTICATE, &renew(&chrome, "wrong").await);
    check(
        REAUTHENTICATE,
        &chrome
            .post("/api/v1/session/reauthenticate")
            .json(&json!({}))
            .await,
    );
    for _ in 0..5 {
        let response = renew(&chrome, "wrong").await;
        check(REAUTHENTICATE, &response);
    }
    let renewed = renew(&mac, &maria.password).await;
    check(REAUTHENTICATE, &renewed);
    let refresh = async |token: &str| {
        let call = stranger.post("/api/v1/sessions/refresh");
        call.json(&json!({ "refresh_token": token })).await
    };
    let refreshed = refresh(&mac.refresh_token()).await;
    check(REFRESH, &refreshed);
    check(REFRESH, &refresh("nonsense").await);
    check(
        REFRESH,
        &stranger.post("/api/v1/sessions/refresh").json(&json!({})).await,
    );
    mac.set_access_token(refreshed.json()["access_token"].as_str().expect("a token"));

    const LIST: &str = "GET /api/v1/admin/sessions";
    const CSV: &str = "GET /api/v1/admin/sessions.csv";
    const AUDIT: &str = "GET /api/v1/admin/audit";
    const LINES: &str = "GET /api/v1/admin/audit.jsonl";
    const REVOKE: &str = "POST /api/v1/admin/sessions/revoke";
    let read = async |client: &Client, operation: &str, query: &str| {
        let path = operation.trim_start_matches("GET ");
        client.get(&format!("{path}?{query}")).await
    };
    let revoke = async |client: &Client, body: Value| {
        let call = client.post("/api/v1/admin/sessions/revoke");
        call.json(&body).await
    };
    let admin = portal.browser(FIREFOX).signed_in(&ada).await;
    let target = portal.desktop("target");
    target.sign_in(&maria).await.expect(201);
    for query in ["state=all", "state=all&limit=1", "q=nobody"] {
        check(LIST, &read(&admin, LIST, query).await);
    }
    for query in ["", "limit=1", "kind=session_ended"] {
        check(AUDIT, &read(&admin, AUDIT, query).await);
    }
    check(CSV, &read(&admin, CSV, "state=all").await);
    check(LINES, &read(&admin, LINES, "").await);
    for operation in [LIST, CSV, AUDIT, LINES] {
        check(operation, &read(&admin, operation, "misspelt=1").await);
        check(operation, &read(&mac, operation, "").await);
    }
    let ids = json!({ "ids": [target.session()], "reason": "a test" });
    check(REVOKE, &revoke(&mac, ids.clone()).await);
    check(
        REVOKE,
        &revoke(&admin, json!({ "filter": { "misspelt": "1" } })).await,
    );
    check(
        REVOKE,
        &revoke(&admin, json!({ "user_id": uuid::Uuid::new_v4() })).await,
    );
    check(REVOKE, &revoke(&admin, ids.clone()).await);
    // With a recorded end, its note and its actor.
    check(
        LIST,
        &read(&admin, LIST, "reason=revoked_by_admin&state=ended").await,
    );
    check(
        AUDIT,
        &read(&admin, AUDIT, "person=maria&kind=session_ended").await,
    );

    const ONE: &str = "DELETE /api/v1/sessions/{id}";
    const MANY: &str = "DELETE /api/v1/sessions";
    check(MANY, &chrome.delete("/api/v1/sessions?scope=some").await);
    check(ONE, &chrome.delete("/api/v1/sessions/nonsense").await);
    portal.advance(seconds(601)).await;
    check(REVOKE, &revoke(&admin, ids.clone()).await);
    check(
        ONE,
        &chrome
            .delete(&format!("/api/v1/sessions/{}", mac.session()))
            .await,
    );
    check(MANY, &chrome.delete("/api/v1/sessions?scope=all").await);
    check(
        ONE,
        &chrome
            .delete(&format!("/api/v1/sessions/{}", chrome.session()))
            .await,
    );
    check(MANY, &mac.delete("/api/v1/sessions?scope=current").await);

    for client in [&chrome, &stranger] {
        check("GET /api/v1/sessions", &client.get("/api/v1/sessions").await);
        check(
            "GET /api/v1/session_state",
            &client.get("/api/v1/session_state").await,
        );
        check(
            "POST /api/v1/session/extend",
            &client.post("/api/v1/session/extend").await,
        );
        check(REAUTHENTICATE, &renew(client, "x").await);
        check(
            "POST /api/v1/devices/heartbeat",
            &client.post("/api/v1/devices/heartbeat").await,
        );
        check(ONE, &client.delete("/api/v1/sessions/nonsense").await);
        check(MANY, &client.delete("/api/v1/sessions?scope=all").await);
        for operation in [LIST, CSV, AUDIT, LINES] {
            check(operation, &read(client, operation, "").await);
        }
        check(REVOKE, &revoke(client, ids.clone()).await);
    }

    for (operation, statuses) in [
        (LIST, &[200, 401, 403, 422][..]),
        (CSV, &[200, 401, 403, 422]),
        (AUDIT, &[200, 401, 403, 422]),
        (LINES, &[200, 401, 403, 422]),
        (REVOKE, &[200, 401, 403, 404, 422]),
    ] {
        for status in statuses {
            assert!(
                seen.contains(&format!("{operation} {status}")),
                "{operation} {status}: {seen:?}"
            );
        }
    }

    assert!(seen.contains(&format!("{REAUTHENTICATE} 429")), "{seen:?}");

    // Every described operation was called, and each succeeded and failed once.
    for operation in described.operations() {
        let statuses: Vec<&String> = seen
            .iter()
            .filter(|seen| seen.starts_with(&format!("{operation} ")))
            .collect();
        assert!(
            statuses.iter().any(|seen| seen.contains(" 2")),
            "{operation}: {statuses:?}"
        );
        assert!(
            statuses.iter().any(|seen| seen.contains(" 4")),
            "{operation}: {statuses:?}"
        );
    }
}

#[tokio::test]
async fn only_sign_in_and_refresh_need_no_credential() {
    let portal = Portal::start().await;
    let described = Description::fetch(&portal).await;
    for operation in described.operations() {
        let (method, path) = operation.split_once(' ').expect("an operation");
        let path = path.replace("{id}", "00000000-0000-4000-8000-000000000000");
        let call = portal.anonymous().call(method.parse().expect("a method"), &path);
        let response = call.json(&json!({})).await;
        let open = ["POST /api/v1/sessions", "POST /api/v1/sessions/refresh"].contains(&operation.as_str());
        assert_eq!(
            response.status,
            if open { 422 } else { 401 },
            "{operation}: {response:#?}"
        );
    }
}

/// The parameters of an operation, in order.
async fn parameters(portal: &Portal, path: &str) -> Vec<String> {
    let document = portal.anonymous().get_json("/api/openapi.json").await;
    let parameters = document["paths"][path]["get"]["parameters"].as_array();
    let name = |parameter: &Value| parameter["name"].as_str().expect("a name").to_owned();
    parameters.expect("parameters").iter().map(name).collect()
}

#[tokio::test]
async fn described_parameters_are_those_of_the_query() {
    let portal = Portal::start().await;
    let sessions = [
        domain::session_filter::SessionFilter::FIELDS,
        &["sort", "after", "limit"],
    ]
    .concat();
    let audit = [domain::audit::AuditFilter::FIELDS, &["after", "limit"]].concat();
    for (path, expected) in [
        ("/api/v1/admin/sessions", &sessions),
        ("/api/v1/admin/sessions.csv", &sessions),
        ("/api/v1/admin/audit", &audit),
        ("/api/v1/admin/audit.jsonl", &audit),
    ] {
        assert_eq!(parameters(&portal, path).await, *expected, "{path}");
    }
}
