//! Idle timeout and lifetime of sessions.

use domain::policy::{RolePolicy, SessionPolicy};

use crate::harness::*;

const HOUR: u64 = 3600;

/// Idle timeout and lifetime in seconds, as in the contract.
const LIMITS: [(Role, u64, u64); 6] = [
    (Role::Guest, 24 * HOUR, 7 * 24 * HOUR),
    (Role::Employee, 8 * HOUR, 24 * HOUR),
    (Role::Vendor, 12 * HOUR, 24 * HOUR),
    (Role::Broker, 12 * HOUR, 24 * HOUR),
    (Role::Admin, 4 * HOUR, 12 * HOUR),
    (Role::SystemAdmin, 4 * HOUR, 12 * HOUR),
];

/// Returns the session state. This is no activity.
async fn state(client: &Client) -> TestResponse {
    client.get("/api/v1/session_state").await
}

#[tokio::test]
async fn session_ends_exactly_at_its_idle_expiry() {
    for (role, idle, _) in LIMITS {
        let portal = Portal::start().await;
        let person = portal.user("someone").role(role).create().await;
        let chrome = portal.browser(CHROME).signed_in(&person).await;
        portal.advance(seconds(idle - 1)).await;
        state(&chrome).await.expect(200);
        portal.advance(seconds(1)).await;
        assert_eq!(state(&chrome).await.end_reason(), "idle_timeout", "{role}");
        portal.advance(seconds(1)).await;
        assert_eq!(state(&chrome).await.end_reason(), "idle_timeout", "{role}");
        let page = chrome.get("/dashboard").await.expect(303);
        assert_eq!(page.location(), "/login?next=/dashboard&reason=idle_timeout");
        chrome.post("/api/list_active_sessions").await.expect(401);
    }
}

#[tokio::test]
async fn constant_activity_still_ends_at_the_absolute_limit() {
    for (role, idle, lifetime) in LIMITS {
        let portal = Portal::start().await;
        let person = portal.user("someone").role(role).create().await;
        let chrome = portal.browser(CHROME).signed_in(&person).await;
        let step = idle - 1;
        let mut passed = 0;
        while passed + step < lifetime - 1 {
            portal.advance(seconds(step)).await;
            passed += step;
            chrome.get("/dashboard").await.expect(200);
        }
        portal.advance(seconds(lifetime - 1 - passed)).await;
        chrome.get("/dashboard").await.expect(200);
        let ends = chrome.get("/api/v1/session_state").await.json()["session"]["expires_at"].clone();
        portal.advance(seconds(1)).await;
        assert_eq!(ends, domain::time::format_rfc3339(portal.now()));
        assert_eq!(state(&chrome).await.end_reason(), "lifetime_exceeded", "{role}");
    }
}

#[tokio::test]
async fn pages_server_functions_and_api_calls_are_activity() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    for _ in 0..2 {
        portal.advance(seconds(7 * HOUR)).await;
        chrome.get("/dashboard/settings").await.expect(200);
    }
    let other = portal.browser(FIREFOX).signed_in(&maria).await;
    portal.advance(seconds(9 * HOUR)).await;
    chrome.post("/api/list_active_sessions").await.expect(200);
    assert_eq!(
        state(&other).await.expect(200).json()["session"]["kind"],
        "browser"
    );

    let mac = portal.desktop("mac").signed_in(&maria).await;
    let before = portal.session_row(mac.session()).await.last_active_at;
    portal.advance(seconds(600)).await;
    mac.get("/api/v1/sessions").await.expect(200);
    portal.write_activity().await;
    assert_eq!(
        portal.session_row(mac.session()).await.last_active_at,
        before + seconds(600)
    );
}

#[tokio::test]
async fn background_requests_extend_no_session() {
    let portal = Portal::with(&[("PORTAL_ACCESS_TOKEN_SECONDS", "86400")]).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let began = portal.now();
    for _ in 0..3 {
        portal.advance(seconds(3 * HOUR)).await;
        for path in ["/api/session_state", "/api/v1/session_state"] {
            chrome.get(path).await.expect(200);
            mac.get(path).await.expect(200);
        }
        mac.post("/api/v1/devices/heartbeat").await.expect(204);
        chrome
            .get("/dashboard")
            .header("x-portal-background", "1")
            .await
            .expect(200);
        chrome
            .post("/api/list_active_sessions")
            .header("x-portal-background", "1")
            .await
            .expect(200);
        mac.get("/api/v1/sessions")
            .header("x-portal-background", "1")
            .await
            .expect(200);
        chrome
            .call(axum::http::Method::HEAD, "/dashboard")
            .await
            .expect(200);
    }
    portal.write_activity().await;
    for client in [&chrome, &mac] {
        let row = portal.session_row(client.session()).await;
        assert_eq!((row.last_active_at, row.last_seen_at), (began, portal.now()));
    }
    portal.advance(seconds(3 * HOUR)).await;
    assert_eq!(state(&chrome).await.end_reason(), "idle_timeout");
    assert_eq!(state(&mac).await.end_reason(), "idle_timeout");
    mac.post("/api/v1/devices/heartbeat").await.expect(401);
}

#[tokio::test]
async fn late_activity_counts_on_every_node() {
    let portal = Portal::start().await;
    let node = portal.second_node().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(12 * HOUR - 1)).await;
    chrome.get("/dashboard").await.expect(200);
    // Only the clock moves; the job has not written it yet.
    portal.clock.advance(seconds(1));
    state(&chrome).await.expect(200);
    state(&chrome.clone().via(&node.router)).await.expect(200);
}

#[tokio::test]
async fn late_activity_revives_no_expired_session() {
    let (portal, _, chrome) = Portal::with_browser().await;
    portal.advance(seconds(12 * HOUR)).await;
    for _ in 0..2 {
        chrome.get("/dashboard").await.expect(303);
        chrome.post("/api/list_active_sessions").await.expect(401);
        portal.write_activity().await;
    }
    assert_eq!(state(&chrome).await.end_reason(), "idle_timeout");
}

/// What notices the expiry before the limits change.
#[derive(Clone, Copy, Debug)]
enum NoticedBy {
    OwnRequest,
    OwnSignOut,
    SignInElsewhere,
    SignOutOfOthers,
    CleanUp,
    Nobody,
}

#[tokio::test]
async fn longer_limits_revive_no_expired_session() {
    use NoticedBy::*;
    for noticed in [
        OwnRequest,
        OwnSignOut,
        SignInElsewhere,
        SignOutOfOthers,
        CleanUp,
        Nobody,
    ] {
        // A portal for each, because recording by one would hide that another does not record.
        let (portal, maria, chrome) = Portal::with_browser().await;
        portal.advance(seconds(12 * HOUR)).await;
        match noticed {
            OwnRequest => assert_eq!(state(&chrome).await.end_reason(), "idle_timeout"),
            OwnSignOut => drop(chrome.duplicate().sign_out().await),
            SignInElsewhere => drop(portal.desktop("mac").signed_in(&maria).await),
            SignOutOfOthers => {
                let mac = portal.desktop("mac").signed_in(&maria).await;
                let response = mac.revoke_scope("others").await;
                assert_eq!(response["ended"], 0, "it was not live any more");
            }
            CleanUp => assert_eq!(portal.clean_up().await.ended, 1),
            Nobody => {}
        }
        // Before the limits change, which records expiry itself.
        let written = portal.ends_of(chrome.session()).await.len();
        let is_written = !matches!(noticed, SignInElsewhere | Nobody);
        assert_eq!(written, usize::from(is_written), "{noticed:?}");
        let mut policy = SessionPolicy::default();
        let longer = RolePolicy {
            idle: seconds(24 * HOUR),
            ..policy.for_role(Role::Broker)
        };
        policy.set(Role::Broker, longer);
        portal.accounts().apply_policy(&policy).await.expect("applied");
        let response = state(&chrome).await;
        assert_eq!(response.status, 401, "{noticed:?}");
        assert_eq!(response.end_reason(), "idle_timeout", "{noticed:?}");
        assert_eq!(portal.ends_of(chrome.session()).await.len(), 1, "{noticed:?}");
    }
}

#[tokio::test]
async fn account_disabled_in_the_database_is_signed_out() {
    let portal = Portal::start().await;
    let node = portal.second_node().await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let of_jonas = portal.browser(CHROME).signed_in(&jonas).await;
    // As an operator with psql, without the portal's command, which also ends sessions.
    portal
        .execute(&format!(
            "UPDATE users SET disabled_at = now() WHERE id = '{}'",
            maria.id
        ))
        .await;
    for client in [&chrome, &mac] {
        for client in [client.clone(), client.clone().via(&node.router)] {
            assert_eq!(state(&client).await.end_reason(), "account_disabled");
        }
    }
    chrome.get("/dashboard").await.expect(303);
    mac.refresh().await.expect(401);
    of_jonas.get("/dashboard").await.expect(200);
}

#[tokio::test]
async fn changed_policy_applies_to_open_sessions() {
    let portal = Portal::start().await;
    let (maria, jonas) = (
        portal.broker("maria").await,
        portal.user("jonas").role(Role::Vendor).create().await,
    );
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let firefox = portal.browser(FIREFOX).signed_in(&jonas).await;
    portal.advance(seconds(HOUR)).await;
    state(&chrome).await.expect(200);

    let mut policy = SessionPolicy::default();
    policy.set(
        Role::Broker,
        RolePolicy {
            idle: seconds(HOUR),
            ..policy.for_role(Role::Broker)
        },
    );
    portal.accounts().apply_policy(&policy).await.expect("applied");
    assert_eq!(state(&chrome).await.end_reason(), "idle_timeout");
    state(&firefox).await.expect(200);

    policy.set(
        Role::Vendor,
        RolePolicy {
            lifetime: seconds(HOUR),
            ..policy.for_role(Role::Vendor)
        },
    );
    portal.accounts().apply_policy(&policy).await.expect("applied");
    assert_eq!(state(&firefox).await.end_reason(), "lifetime_exceeded");

    let rows = portal.audit("policy_changed").await;
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows[0].detail["role"], &rows[0].detail["idle_seconds"]),
        (&json!("broker"), &json!(3600))
    );
}

#[tokio::test]
async fn configured_policy_applies() {
    let settings = [
        ("PORTAL_SESSION_TIMEOUT_BROKER", "60"),
        ("PORTAL_SESSION_LIFETIME_BROKER", "90"),
    ];
    let portal = Portal::with(&settings).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(59)).await;
    chrome.get("/dashboard").await.expect(200);
    portal.advance(seconds(30)).await;
    state(&chrome).await.expect(200);
    portal.advance(seconds(1)).await;
    assert_eq!(state(&chrome).await.end_reason(), "lifetime_exceeded");
}

#[tokio::test]
async fn changed_role_applies_to_open_sessions() {
    let portal = Portal::start().await;
    let maria = portal.member_as("maria", Role::Guest, "Northgate").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(5 * HOUR)).await;
    assert_eq!(state(&chrome).await.expect(200).json()["user"]["role"], "guest");

    portal.member_as("maria", Role::Employee, "Northgate").await;
    assert_eq!(
        state(&chrome).await.expect(200).json()["user"]["role"],
        "employee"
    );
    portal.admin("maria", "Northgate").await;
    assert_eq!(state(&chrome).await.end_reason(), "idle_timeout");
}

#[tokio::test]
async fn access_token_expires_before_its_session() {
    let (portal, _, chrome, mac) = Portal::with_devices().await;
    portal.advance(seconds(899)).await;
    mac.get("/api/v1/sessions").await.expect(200);
    portal.advance(seconds(1)).await;
    assert_eq!(mac.get("/api/v1/sessions").await.end_reason(), "unknown");
    assert_eq!(portal.end_reason(mac.session()).await, None);
    let list = chrome.get("/api/v1/sessions").await.json();
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn sign_in_shows_the_roles_idle_timeout() {
    let portal = Portal::start().await;
    let maria = portal.user("maria").role(Role::Employee).create().await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(8 * HOUR)).await;
    let page = chrome.get("/dashboard").await;
    let login = chrome.follow(&page).await.expect(200);
    assert!(
        login
            .body
            .contains("You were signed out after 8 hours without activity."),
        "{}",
        login.body
    );
}
