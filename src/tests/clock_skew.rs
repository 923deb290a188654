//! A server with a wrong clock revokes exactly the live sessions: no revocation compares times of two nodes.

use broker_portal::server::{services::accounts::Accounts, state::AppState};
use chrono::TimeDelta;

use crate::harness::*;

/// Difference in seconds between the clocks of the revoking node and the node that created the sessions.
const OFFSETS: [i64; 4] = [-3600, -2, 2, 3600];

/// A password check on the other node may look an hour old.
const SETTINGS: [(&str, &str); 1] = [("PORTAL_REAUTH_SECONDS", "86400")];

/// Starts a portal, and a second node with a clock that is off by `seconds`.
async fn two_clocks(seconds: i64) -> (Portal, Node) {
    let portal = Portal::with(&SETTINGS).await;
    let node = portal
        .second_node_with_clock_offset(TimeDelta::seconds(seconds))
        .await;
    (portal, node)
}

async fn assert_refused_everywhere(client: &Client, node: &Node, what: &str) {
    assert!(!client.is_live().await, "{what}");
    assert!(!client.clone().via(&node.router).is_live().await, "{what}");
}

/// Returns the cutoff that a page sends with its form.
fn begun_by(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"begun_by\" value=\"").expect("the dialog");
    rest.split('"').next().expect("a value").to_owned()
}

#[tokio::test]
async fn administrator_revokes_across_any_clock_skew() {
    for offset in OFFSETS {
        let (portal, node) = two_clocks(offset).await;
        let ada = portal.system_admin("ada").await;
        let bea = portal.broker("bea").await;
        let on_a = portal.browser(CHROME).signed_in(&ada).await;
        let admin = on_a.clone().via(&node.router);
        let revoke = async |body: Value| {
            let call = admin.post("/api/v1/admin/sessions/revoke").json(&body);
            call.await.expect(200).json()
        };
        for round in ["ids", "user", "filter", "page"] {
            let what = format!("{round}, {offset} s");
            let target = portal.desktop("mac").signed_in(&bea).await;
            let user = bea.id.to_string();
            let ended = match round {
                "ids" => revoke(json!({ "ids": [target.session()] })).await,
                "user" => revoke(json!({ "user_id": bea.id })).await,
                "filter" => revoke(json!({ "filter": { "user": user } })).await,
                _ => {
                    let place = format!("/dashboard/admin/sessions?user={user}&ask=end_listed");
                    let page = admin.get_text(&place).await;
                    let filter = format!("user={user}");
                    let fields = [
                        ("which", "end_listed"),
                        ("filter", &*filter),
                        ("begun_by", &*begun_by(&page)),
                    ];
                    let call = admin.submit("admin_end_sessions", &fields);
                    call.await.expect(200).json()
                }
            };
            assert_eq!(
                (&ended["ended"], &ended["left"]),
                (&json!(1), &json!(0)),
                "{what}"
            );
            assert_refused_everywhere(&target, &node, &what).await;
            portal.assert_ended(target.session(), "revoked_by_admin").await;
        }
        assert!(on_a.is_live().await);
    }
}

#[tokio::test]
async fn later_sign_in_survives_across_any_clock_skew() {
    for offset in OFFSETS {
        let (portal, node) = two_clocks(offset).await;
        let ada = portal.system_admin("ada").await;
        let bea = portal.broker("bea").await;
        let admin = portal.browser(CHROME).signed_in(&ada).await.via(&node.router);
        let before = portal.desktop("mac").signed_in(&bea).await;
        let filter = json!({ "user": bea.id.to_string() });
        let call = admin.post("/api/v1/admin/sessions/revoke");
        let first = call.json(&json!({ "filter": filter })).await.expect(200).json();
        assert_eq!(first["ended"], 1);
        let after = portal.browser(FIREFOX).signed_in(&bea).await;
        let body = json!({ "filter": filter, "begun_by": first["begun_by"] });
        let call = admin.post("/api/v1/admin/sessions/revoke").json(&body);
        assert_eq!(call.await.expect(200).json()["ended"], 0, "{offset} s");
        assert_refused_everywhere(&before, &node, "before").await;
        assert!(after.is_live().await, "{offset} s");
        assert!(after.clone().via(&node.router).is_live().await, "{offset} s");
    }
}

#[tokio::test]
async fn user_revokes_across_any_clock_skew() {
    for offset in OFFSETS {
        let (portal, node) = two_clocks(offset).await;
        let maria = portal.broker("maria").await;
        for round in ["one", "others", "all"] {
            let what = format!("{round}, {offset} s");
            let chrome = portal.browser(CHROME).signed_in(&maria).await;
            let caller = chrome.clone().via(&node.router);
            let target = portal.desktop("mac").signed_in(&maria).await;
            let ended = match round {
                "one" => {
                    let path = format!("/api/v1/sessions/{}", target.session());
                    caller.delete(&path).await.expect(204);
                    1
                }
                scope => {
                    let path = format!("/api/v1/sessions?scope={scope}");
                    let ended = caller.delete(&path).await.expect(200).json();
                    ended["ended"].as_i64().expect("a number")
                }
            };
            assert_eq!(ended, if round == "all" { 2 } else { 1 }, "{what}");
            assert_refused_everywhere(&target, &node, &what).await;
            assert_eq!(chrome.is_live().await, round != "all", "{what}");
            chrome.post("/api/sign_out").await;
        }
    }
}

#[tokio::test]
async fn operator_revokes_across_any_clock_skew() {
    for offset in OFFSETS {
        let (portal, node) = two_clocks(offset).await;
        let maria = portal.broker("maria").await;
        let AppState {
            database,
            clock,
            passwords,
            ..
        } = node.state.clone();
        let accounts = Accounts {
            database,
            clock,
            passwords,
        };
        for round in ["one", "user", "everyone"] {
            let target = portal.browser(CHROME).signed_in(&maria).await;
            let ended = match round {
                "one" => {
                    let revoked = accounts.revoke_session(target.session(), None).await;
                    revoked.map(|()| 1)
                }
                "user" => accounts.revoke_user(&maria.email, None).await,
                _ => accounts.revoke_everyone(None).await,
            };
            assert_eq!(ended.expect("revoked"), 1, "{round}, {offset} s");
            assert_refused_everywhere(&target, &node, round).await;
            portal.assert_ended(target.session(), "revoked_by_admin").await;
        }
    }
}
