//! An expired session is recorded with its expiry, whoever notices it and when.

use chrono::TimeDelta;
use domain::time::format_rfc3339;

use crate::harness::*;

/// Idle timeout of five seconds and lifetime of twenty.
const LIMITS: [(&str, &str); 2] = [
    ("PORTAL_SESSION_TIMEOUT_GUEST", "5"),
    ("PORTAL_SESSION_LIFETIME_GUEST", "20"),
];

/// What notices it.
const NOTICED_BY: [&str; 9] = [
    "clean-up",
    "its own request",
    "sign out all",
    "sign out others",
    "its device signing in",
    "an administrator",
    "revoke user",
    "revoke everyone",
    "disable",
];

async fn notice(by: &str, portal: &Portal, guest: &TestUser, expired: &Client) {
    let again = async || portal.browser(FIREFOX).signed_in(guest).await;
    match by {
        "clean-up" => assert_eq!(portal.clean_up().await.ended, 1),
        "its own request" => assert!(!expired.is_live().await),
        "sign out all" => drop(again().await.revoke_scope("all").await),
        "sign out others" => {
            let response = again().await.delete("/api/v1/sessions?scope=others").await;
            assert_eq!(
                response.expect(200).json(),
                json!({ "ended": 0 }),
                "none was live"
            );
        }
        "its device signing in" => drop(portal.desktop("mac").signed_in(guest).await),
        "an administrator" => {
            let ada = portal.system_admin("ada").await;
            let admin = portal.browser(CHROME).signed_in(&ada).await;
            let body = json!({ "user_id": guest.id });
            let response = admin.post("/api/v1/admin/sessions/revoke").json(&body).await;
            assert_eq!(response.expect(200).json()["ended"], 0, "none was live");
        }
        "revoke user" => {
            let ended = portal.accounts().revoke_user(&guest.email, None).await;
            assert_eq!(ended.expect("revoked"), 0);
        }
        "revoke everyone" => {
            let ended = portal.accounts().revoke_everyone(None).await;
            assert_eq!(ended.expect("revoked"), 0);
        }
        _ => drop(portal.accounts().disable(&guest.email).await.expect("disabled")),
    }
}

#[tokio::test]
async fn expired_session_is_recorded_at_its_expiry() {
    for by in NOTICED_BY {
        // Active once: the idle timeout comes first. Active until shortly before the end: the lifetime comes first.
        for (active_until, lasted, reason) in [(0, 5, "idle_timeout"), (16, 20, "lifetime_exceeded")] {
            let what = format!("{reason}, noticed by {by}");
            let portal = Portal::with(&LIMITS).await;
            let guest = portal.user("gus").role(Role::Guest).create().await;
            let mac = portal.desktop("mac").signed_in(&guest).await;
            let expected = portal.now() + TimeDelta::seconds(lasted);
            for _ in 0..active_until / 4 {
                portal.advance(seconds(4)).await;
                mac.get("/api/v1/sessions").await.expect(200);
            }
            portal.advance(seconds(60)).await;
            notice(by, &portal, &guest, &mac).await;

            let row = portal.session_row(mac.session()).await;
            assert_eq!(row.end_reason.as_deref(), Some(reason), "{what}");
            assert_eq!(row.ended_at, Some(expected), "{what}");
            portal.assert_ended(mac.session(), reason).await;
            let audit = portal.ends_of(mac.session()).await.remove(0);
            assert_eq!(
                audit.at,
                portal.now(),
                "the row is from when it was noticed: {what}"
            );
            assert_eq!(audit.detail["ended_at"], format_rfc3339(expected), "{what}");
        }
    }
}

#[tokio::test]
async fn lists_show_the_expiry_whether_recorded_or_not() {
    let portal = Portal::with(&LIMITS).await;
    let guest = portal.user("gus").role(Role::Guest).create().await;
    let ada = portal.system_admin("ada").await;
    portal.browser(SAFARI).signed_in(&guest).await;
    let expected = format_rfc3339(portal.now() + TimeDelta::seconds(5));
    portal.advance(seconds(60)).await;
    let admin = portal.browser(CHROME).signed_in(&ada).await;
    for recorded in [false, true] {
        if recorded {
            portal.clean_up().await;
        }
        let list = admin.get_json("/api/v1/admin/sessions?state=ended").await;
        let row = &list["sessions"][0];
        assert_eq!(
            (&row["ended_at"], &row["reason"]),
            (&json!(expected), &json!("idle_timeout")),
            "recorded: {recorded}"
        );
        let csv = admin.get_text("/api/v1/admin/sessions.csv?state=ended").await;
        assert!(csv.contains(&expected), "{csv}");
    }
}

#[tokio::test]
async fn ended_session_shows_one_end_time() {
    let (portal, _, chrome) = Portal::with_browser().await;
    chrome.sign_out().await;
    let ended = portal.now();
    portal.advance(seconds(7 * 86_400)).await;
    portal.clean_up().await;
    assert_eq!(portal.session_row(chrome.session()).await.ended_at, Some(ended));
    assert_eq!(portal.ends_of(chrome.session()).await[0].detail, json!({}));
}
