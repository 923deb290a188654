//! Lists of a user's own sessions.

use std::collections::BTreeSet;

use domain::time::format_rfc3339;

use crate::harness::*;

/// Returns the list for `client`.
async fn list(client: &Client) -> Vec<Value> {
    let response = client.get_json("/api/v1/sessions").await;
    response["sessions"].as_array().expect("a list").clone()
}

fn ids(list: &[Value]) -> Vec<Value> {
    list.iter().map(|session| session["id"].clone()).collect()
}

fn current(list: &[Value]) -> Vec<Value> {
    let current = list.iter().filter(|session| session["is_current"] == true);
    current.map(|session| session["id"].clone()).collect()
}

#[tokio::test]
async fn list_is_ordered_by_activity_with_one_current() {
    let portal = Portal::start().await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(60)).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    portal.advance(seconds(60)).await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    portal.browser(SAFARI).signed_in(&jonas).await;
    portal.advance(seconds(60)).await;

    // The request itself makes the session the most recent one, before that is written.
    let seen = list(&chrome).await;
    assert_eq!(
        ids(&seen),
        [chrome.session(), firefox.session(), mac.session()].map(|id| json!(id))
    );
    assert_eq!(current(&seen), [json!(chrome.session())]);

    portal.advance(seconds(60)).await;
    let seen = list(&mac).await;
    assert_eq!(
        ids(&seen),
        [mac.session(), chrome.session(), firefox.session()].map(|id| json!(id))
    );
    assert_eq!(current(&seen), [json!(mac.session())]);

    // Pages use another route and get the same.
    portal.advance(seconds(60)).await;
    let response = firefox.post_json("/api/list_active_sessions").await;
    assert_eq!(response["server_time"], format_rfc3339(portal.now()));
    let seen = response["sessions"].as_array().expect("a list");
    assert_eq!(
        ids(seen),
        [firefox.session(), mac.session(), chrome.session()].map(|id| json!(id))
    );
    assert_eq!(current(seen), [json!(firefox.session())]);
}

#[tokio::test]
async fn listed_session_has_exactly_the_contracts_fields() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let began = portal.now();
    let chrome = portal.browser(CHROME).at("203.0.113.9").signed_in(&maria).await;
    let mac = portal.desktop("mac").at("2001:db8::7").signed_in(&maria).await;
    portal.advance(seconds(3600)).await;

    let seen = list(&chrome).await;
    let of = |client: &Client| {
        let id = json!(client.session());
        seen.iter()
            .find(|session| session["id"] == id)
            .expect("listed")
            .clone()
    };
    assert_eq!(
        of(&mac),
        json!({
            "id": mac.session(),
            "kind": "desktop",
            "device_name": "The mac",
            "os": "macOS 15",
            "platform": "macos-arm64",
            "browser": null,
            "ip_address": "2001:db8::7",
            "created_at": format_rfc3339(began),
            "last_active_at": format_rfc3339(began),
            "last_seen_at": format_rfc3339(began),
            "expires_at": format_rfc3339(began + seconds(12 * 3600)),
            "is_current": false,
        })
    );
    let mut browser = of(&chrome);
    // The expiry of the current session has its own test.
    browser.as_object_mut().expect("an object").remove("expires_at");
    assert_eq!(
        browser,
        json!({
            "id": chrome.session(),
            "kind": "browser",
            "device_name": "Chrome on Windows",
            "os": "Windows",
            "platform": "desktop",
            "browser": "Chrome 148",
            "ip_address": "203.0.113.9",
            "created_at": format_rfc3339(began),
            "last_active_at": format_rfc3339(portal.now()),
            "last_seen_at": format_rfc3339(portal.now()),
            "is_current": true,
        })
    );
}

#[tokio::test]
async fn list_and_session_state_agree_on_expiry() {
    let (portal, _, chrome) = Portal::with_browser().await;
    portal.advance(seconds(3600)).await;

    let seen = list(&chrome).await;
    portal.write_activity().await;
    let state = chrome.get_json("/api/v1/session_state").await;
    assert_eq!(state["session"]["last_active_at"], seen[0]["last_active_at"]);
    assert_eq!(state["session"]["idle_expires_at"], seen[0]["expires_at"]);
}

#[tokio::test]
async fn ended_and_expired_sessions_are_not_listed() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let asleep = portal.browser(SAFARI).signed_in(&maria).await;
    portal.advance(seconds(11 * 3600)).await;
    let ended = portal.desktop("mac").signed_in(&maria).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    ended.revoke_scope("current").await;
    assert_eq!(list(&chrome).await.len(), 2);
    portal.advance(seconds(3600)).await;
    // Its twelve hours have passed.
    assert_eq!(ids(&list(&chrome).await), [json!(chrome.session())]);
    asleep.get("/api/v1/sessions").await.expect(401);
}

#[tokio::test]
async fn responses_hold_no_secrets_or_foreign_data() {
    let portal = Portal::start().await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let of_jonas = portal.browser(FIREFOX).signed_in(&jonas).await;

    let hashes: Vec<String> = portal
        .column("SELECT encode(credential_hash, 'hex') FROM sessions")
        .await;
    let mut secrets = vec![
        chrome.cookie().expect("a cookie"),
        mac.access_token(),
        mac.refresh_token(),
        of_jonas.session().to_string(),
        jonas.email.clone(),
        "argon2".to_owned(),
    ];
    secrets.extend(hashes);
    for client in [&chrome, &mac] {
        let mut responses = Vec::new();
        for path in words(
            "/api/v1/sessions /api/v1/session_state /api/session_state /dashboard /dashboard/settings
            /dashboard/settings/sign-out-all /dashboard/nowhere /readyz /healthz",
        ) {
            responses.push((path, client.get(path).await));
        }
        for path in [
            "/api/list_active_sessions",
            "/api/show_viewer",
            "/api/show_overview",
        ] {
            responses.push((path, client.post(path).await.expect(200)));
        }
        for (path, response) in responses {
            for secret in &secrets {
                assert!(
                    !response.body.contains(secret.as_str()),
                    "{path} holds {secret}: {}",
                    response.body
                );
            }
        }
    }
}

#[tokio::test]
async fn session_state_has_exactly_the_documented_fields() {
    let portal = Portal::start().await;
    let maria = portal.member("maria", "Northgate Brokerage").await;
    let began = portal.now();
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(1800)).await;

    let organization: uuid::Uuid = portal.scalar("SELECT id FROM organizations").await;
    let last_event: i64 = portal
        .scalar(&format!(
            "SELECT max(id) FROM session_events WHERE user_id = '{}'",
            maria.id
        ))
        .await;
    let mut expected = json!({
        "authenticated": true,
        "session": {
            "id": chrome.session(),
            "kind": "browser",
            "expires_at": format_rfc3339(began + seconds(24 * 3600)),
            "idle_expires_at": format_rfc3339(began + seconds(12 * 3600)),
            "last_active_at": format_rfc3339(began),
            "reauth_required": false,
        },
        "user": { "id": maria.id, "email": maria.email, "display_name": "maria", "role": "broker" },
        "organization": { "id": organization, "name": "Northgate Brokerage" },
        "server_time": format_rfc3339(portal.now()),
    });
    // Beyond the contract: creation time, warning time, and where a stream starts.
    expected["session"]["created_at"] = json!(format_rfc3339(began));
    expected["session"]["warning_seconds"] = json!(300);
    expected["event_number"] = json!(last_event);
    for path in ["/api/v1/session_state", "/api/session_state"] {
        assert_eq!(chrome.get_json(path).await, expected, "{path}");
    }

    portal.advance(seconds(1)).await;
    expected["session"]["reauth_required"] = json!(true);
    expected["server_time"] = json!(format_rfc3339(portal.now()));
    assert_eq!(chrome.get("/api/v1/session_state").await.json(), expected);
}

#[tokio::test]
async fn session_state_without_session_is_401_with_reason() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let response = portal.anonymous().get("/api/session_state").await;
    assert_eq!(response.end_reason(), "unknown");
    assert_eq!(response.header("www-authenticate"), Some("Bearer"));

    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let replica = chrome.duplicate();
    chrome.sign_out().await;
    assert_eq!(replica.get("/api/session_state").await.end_reason(), "signed_out");
}

#[tokio::test]
async fn listed_ids_are_random_and_no_credentials() {
    let (portal, _, chrome, mac) = Portal::with_devices().await;
    let mut seen = BTreeSet::new();
    for id in [chrome.session(), mac.session()] {
        assert_eq!(id.0.get_version_num(), 4);
        assert!(seen.insert(id));
        let id_as_credential = data_encoding::BASE64URL_NOPAD.encode(id.0.as_bytes());
        let thief = portal.desktop("thief");
        for text in [id.to_string(), id_as_credential] {
            thief.set_access_token(&text);
            thief.get("/api/v1/sessions").await.expect(401);
            let thief = portal.browser(CHROME);
            thief.set_cookie(&text);
            thief.get("/api/v1/sessions").await.expect(401);
        }
    }
}

#[tokio::test]
async fn dashboard_count_equals_the_list() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    portal.browser(SAFARI).signed_in(&maria).await;
    portal.desktop("mac").signed_in(&maria).await;
    portal.advance(seconds(60)).await;
    portal.browser(FIREFOX).fail_to_sign_in(&maria.email).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;

    let overview = chrome.post_json("/api/show_overview").await;
    assert_eq!(
        (&overview["browsers"], &overview["desktops"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(overview["current"]["id"], json!(chrome.session()));
    assert_eq!(overview["previous_sign_in"]["device_name"], "The mac");
    assert_eq!(
        overview["attention"],
        json!([
            { "kind": "security_notices", "count": 1, "device_name": "" },
            { "kind": "failed_sign_ins", "count": 1, "device_name": "" },
        ])
    );
}
