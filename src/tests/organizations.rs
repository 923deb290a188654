//! Users of several organizations select one in each session.

use crate::harness::*;

async fn organizations(portal: &Portal) -> std::collections::HashMap<String, String> {
    let rows: Vec<(String, uuid::Uuid)> = sqlx::query_as("SELECT name, id FROM organizations")
        .fetch_all(&portal.sql)
        .await
        .expect("organizations");
    rows.into_iter()
        .map(|(name, id)| (name, id.to_string()))
        .collect()
}

async fn looks_at(client: &Client) -> (Value, Value) {
    let state = client.get_json("/api/session_state").await;
    (
        state["organization"]["name"].clone(),
        state["user"]["role"].clone(),
    )
}

/// Creates a guest of Northgate who is an administrator of Harbour.
async fn maria(portal: &Portal) -> TestUser {
    let maria = portal.member_as("maria", Role::Guest, "Northgate").await;
    // Joined later, so a new session starts in the first one.
    portal.advance(seconds(1)).await;
    portal.admin("maria", "Harbour").await;
    portal.member("jonas", "Elsewhere").await;
    maria
}

#[tokio::test]
async fn switching_affects_only_the_current_session() {
    let portal = Portal::start().await;
    let _listening = portal.start_listener().await;
    let maria = maria(&portal).await;
    let ids = organizations(&portal).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let firefox = portal.browser(FIREFOX).without_script().signed_in(&maria).await;
    assert_eq!(looks_at(&chrome).await, (json!("Northgate"), json!("guest")));
    let mut stream = chrome.get("/api/v1/session/events").stream().await;

    let fields = [("organization_id", &*ids["Harbour"])];
    let switched = chrome.submit("switch_organization", &fields).await.expect(200);
    assert_eq!(
        switched.json(),
        json!({ "id": ids["Harbour"], "name": "Harbour" })
    );
    assert_eq!(
        stream.next_of_kind("organization_switched").await.data["session_id"],
        json!(chrome.session())
    );
    // With another role, the next request rotates the cookie, and the old one is refused.
    let before = chrome.duplicate();
    assert_eq!(looks_at(&chrome).await, (json!("Harbour"), json!("admin")));
    assert_ne!(chrome.cookie(), before.cookie());
    assert_eq!(
        before.get("/api/session_state").await.end_reason(),
        "renewal_lost"
    );
    assert_eq!(looks_at(&firefox).await, (json!("Northgate"), json!("guest")));

    let row = &portal.audit("organization_switched").await[0];
    assert_eq!(
        (row.session, &row.detail["to"]),
        (Some(chrome.session()), &json!(ids["Harbour"]))
    );
    let fields = [
        ("organization_id", &*ids["Harbour"]),
        ("next", "/dashboard/settings"),
    ];
    let response = firefox.submit("switch_organization", &fields).await.expect(302);
    assert_eq!(response.location(), "/dashboard/settings");
}

#[tokio::test]
async fn users_switch_only_to_their_own_organizations() {
    let portal = Portal::start().await;
    let maria = maria(&portal).await;
    let ids = organizations(&portal).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    for id in [
        &*ids["Elsewhere"],
        "00000000-0000-4000-8000-000000000000",
        "nonsense",
        "",
    ] {
        let response = chrome
            .submit("switch_organization", &[("organization_id", id)])
            .await;
        let missing = json!({ "code": "not_found", "what": "organization" });
        assert_eq!(response.expect(404).json(), missing, "{id}");
    }
    assert_eq!(looks_at(&chrome).await.0, "Northgate");
    assert_eq!(portal.audit("organization_switched").await, []);
    let fields = [("organization_id", &*ids["Harbour"])];
    portal
        .browser(CHROME)
        .submit("switch_organization", &fields)
        .await
        .expect(401);
}

#[tokio::test]
async fn switch_is_refused_when_the_session_would_expire() {
    let portal = Portal::start().await;
    let maria = maria(&portal).await;
    let ids = organizations(&portal).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    // An administrator's session lasts twelve hours.
    portal.advance(seconds(12 * 3600)).await;
    let fields = [("organization_id", &*ids["Harbour"])];
    let response = chrome.submit("switch_organization", &fields).await.expect(403);
    assert_eq!(response.json()["code"], "sign_in_too_old");
    assert_eq!(looks_at(&chrome).await, (json!("Northgate"), json!("guest")));
}

#[tokio::test]
async fn switching_enforces_the_new_roles_limit() {
    let portal = Portal::start().await;
    let maria = maria(&portal).await;
    let ids = organizations(&portal).await;
    let mut desktops = Vec::new();
    for name in ["a", "b", "c"] {
        desktops.push(portal.desktop(name).signed_in(&maria).await);
        portal.advance(seconds(1)).await;
    }
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let fields = [("organization_id", &*ids["Harbour"])];
    chrome.submit("switch_organization", &fields).await.expect(200);
    // An administrator may have two: this one and the most recently used one.
    let mut reasons = Vec::new();
    for desktop in &desktops {
        reasons.push(portal.end_reason(desktop.session()).await);
    }
    let limit = Some("session_limit".to_owned());
    assert_eq!(reasons, [limit.clone(), limit, None]);
}
