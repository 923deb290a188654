//! The session store behind tower-sessions, and the cookies that it accepts.

use std::{collections::HashMap, sync::Arc};

use broker_portal::server::{auth::token::PlainToken, http::session_store::PortalSessionStore};
use time::OffsetDateTime;
use tower_sessions::{
    Session, SessionStore as _,
    session::{Id, Record},
};

use crate::harness::*;

fn store(portal: &Portal) -> PortalSessionStore {
    PortalSessionStore {
        database: portal.state.database.clone(),
        clock: portal.clock.clone(),
    }
}

/// Returns the id of a browser's session in tower-sessions.
fn id_of(client: &Client) -> Id {
    client.cookie().expect("a cookie").parse().expect("an id")
}

fn record(id: Id, data: &[(&str, Value)]) -> Record {
    let data: HashMap<String, Value> = data
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    Record {
        id,
        data,
        expiry_date: OffsetDateTime::UNIX_EPOCH,
    }
}

#[tokio::test]
async fn session_data_is_kept_until_the_end() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    let store = store(&portal);

    let lifetime = seconds(24 * 3600);
    store
        .save(&record(id_of(&chrome), &[("draft", json!("half a letter"))]))
        .await
        .expect("saved");
    let loaded = store.load(&id_of(&chrome)).await.expect("loaded").expect("live");
    assert_eq!(
        loaded.data,
        HashMap::from([("draft".to_owned(), json!("half a letter"))])
    );
    assert_eq!(
        loaded.expiry_date.unix_timestamp(),
        (portal.now() + lifetime).timestamp()
    );
    assert_eq!(
        store
            .load(&id_of(&firefox))
            .await
            .expect("loaded")
            .expect("live")
            .data,
        HashMap::new()
    );

    // A later request keeps it.
    chrome.get("/dashboard").await.expect(200);
    assert_eq!(
        portal.session_row(chrome.session()).await.data,
        json!({ "draft": "half a letter" })
    );
    portal.advance(seconds(12 * 3600)).await;
    assert_eq!(store.load(&id_of(&firefox)).await.expect("loaded"), None);
}

#[tokio::test]
async fn saving_after_the_end_revives_nothing() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    let store = store(&portal);
    // A request in progress holds its record.
    let mut held = store.load(&id_of(&chrome)).await.expect("loaded").expect("live");
    let session = Session::new(Some(id_of(&chrome)), Arc::new(store.clone()), None);
    session.insert("draft", "half a letter").await.expect("inserted");

    firefox.revoke(chrome.session()).await;
    let ended = portal.session_row(chrome.session()).await;
    held.data.insert("draft".to_owned(), json!("too late"));
    store
        .save(&held)
        .await
        .expect("an end is no failure of the request under way");
    session
        .save()
        .await
        .expect("an end is no failure of the request under way");

    assert_eq!(portal.session_row(chrome.session()).await, ended);
    assert_eq!(
        (ended.end_reason.as_deref(), &ended.data),
        (Some("revoked"), &json!({}))
    );
    assert_eq!(store.load(&id_of(&chrome)).await.expect("loaded"), None);
    assert_eq!(chrome.get("/api/session_state").await.end_reason(), "revoked");
    assert_eq!(portal.rows("sessions").await, 2);
}

#[tokio::test]
async fn unknown_record_creates_no_session() {
    let portal = Portal::start().await;
    let store = store(&portal);
    let mut invented = record(Id(4711), &[("user", json!("maria"))]);
    store.save(&invented).await.expect("dropped");
    assert!(store.create(&mut invented).await.is_err());
    let session = Session::new(None, Arc::new(store.clone()), None);
    session.insert("user", "maria").await.expect("inserted");
    assert!(session.save().await.is_err());
    assert_eq!(store.load(&Id(4711)).await.expect("loaded"), None);
    store.delete(&Id(4711)).await.expect("nothing to do");
    assert_eq!(
        (portal.rows("sessions").await, portal.rows("audit_events").await),
        (0, 0)
    );
}

#[tokio::test]
async fn deleting_a_record_signs_out_and_audits() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    let store = store(&portal);

    for _ in 0..2 {
        store.delete(&id_of(&chrome)).await.expect("deleted");
        let rows = portal.ends_of(chrome.session()).await;
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].actor, rows[0].reason.as_deref()),
            (Some(maria.id), Some("signed_out"))
        );
    }
    assert_eq!(chrome.get("/api/session_state").await.end_reason(), "signed_out");
    firefox.get("/dashboard").await.expect(200);
}

#[tokio::test]
async fn no_session_or_cookie_before_sign_in() {
    let portal = Portal::start().await;
    let chrome = portal.browser(CHROME);
    for path in words("/ /login /login?reason=idle_timeout /dashboard /nowhere /api/session_state") {
        let response = chrome.get(path).await;
        // It lets sign-in detect blocked cookies. It is the same for all browsers.
        let others = response.all("set-cookie").into_iter().filter(|cookie| {
            !(path.starts_with("/login") && cookie.starts_with("portal_probe=cookies-work;"))
        });
        assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new(), "{path}");
    }
    chrome.post("/api/sign_in_notice").await.expect(200);
    chrome.fail_to_sign_in("nobody@broker.example").await;
    assert_eq!((chrome.cookie(), portal.rows("sessions").await), (None, 0));
}

#[tokio::test]
async fn invented_cookie_is_never_accepted() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let invented = PlainToken::from_bytes([7; 16]).reveal();
    let chrome = portal.browser(CHROME);
    chrome.set_cookie(&invented);

    assert_eq!(
        chrome.get("/dashboard").await.expect(303).location(),
        "/login?next=/dashboard"
    );
    assert_eq!(chrome.get("/api/session_state").await.end_reason(), "unknown");
    chrome.get("/login").await.expect(200);
    assert_eq!(portal.rows("sessions").await, 0);

    let chrome = chrome.signed_in(&maria).await;
    assert_ne!(chrome.cookie().as_deref(), Some(&*invented));
    let planted = portal.browser(CHROME);
    planted.set_cookie(&invented);
    planted.get("/api/session_state").await.expect(401);
    assert_eq!(portal.rows("sessions").await, 1);
}

#[tokio::test]
async fn malformed_cookie_is_no_session() {
    let portal = Portal::start().await;
    for value in [
        "",
        "x",
        "AAAAAAAAAAAAAAAAAAAAAA==",
        "\"'<script>",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let chrome = portal.browser(CHROME);
        chrome.set_cookie(value);
        assert_eq!(
            chrome.get("/api/session_state").await.end_reason(),
            "unknown",
            "{value}"
        );
        let chrome = portal.browser(CHROME);
        chrome.set_cookie(value);
        chrome.get("/dashboard").await.expect(303);
    }
    assert_eq!(portal.rows("sessions").await, 0);
}

#[tokio::test]
async fn credentials_work_only_in_their_own_place() {
    let (portal, _, chrome, mac) = Portal::with_devices().await;

    let with_token = |token: &str| {
        let desktop = portal.desktop("thief");
        desktop.set_access_token(token);
        desktop
    };
    let with_cookie = |cookie: &str| {
        let browser = portal.browser(CHROME);
        browser.set_cookie(cookie);
        browser
    };
    for client in [
        with_token(&chrome.cookie().expect("a cookie")),
        with_token(&mac.refresh_token()),
        with_cookie(&mac.access_token()),
        with_cookie(&mac.refresh_token()),
    ] {
        assert_eq!(client.get("/api/v1/sessions").await.end_reason(), "unknown");
        client.get("/dashboard").await.expect(303);
    }
    assert_eq!(
        mac.get_json("/api/v1/session_state").await["session"]["kind"],
        "desktop"
    );
}

#[tokio::test]
async fn cookie_does_not_rescue_an_invalid_bearer() {
    let (_, _, chrome) = Portal::with_browser().await;
    for value in ["Bearer x", "Bearer", "bearer  ", "Bearer AAAAAAAAAAAAAAAAAAAAAA"] {
        let response = chrome
            .get("/api/v1/sessions")
            .header("authorization", value)
            .await;
        assert_eq!(response.end_reason(), "unknown", "{value}");
    }
}

#[tokio::test]
async fn tokens_in_the_url_are_ignored() {
    let (portal, _, chrome, mac) = Portal::with_devices().await;
    let (cookie, token) = (chrome.cookie().expect("a cookie"), mac.access_token());
    let stranger = portal.anonymous();
    for query in [
        format!("access_token={token}"),
        format!("token={token}"),
        format!("authorization=Bearer%20{token}"),
        format!("portal_session={cookie}"),
        format!("session={cookie}"),
        format!("session_id={}", chrome.session()),
    ] {
        for path in [
            "/api/v1/sessions",
            "/api/v1/session_state",
            "/api/v1/session/events",
            "/dashboard",
        ] {
            let status = stranger.get(&format!("{path}?{query}")).await.status;
            assert!([303, 401, 404].contains(&status), "{path}?{query}: {status}");
        }
        stranger
            .delete(&format!("/api/v1/sessions?scope=all&{query}"))
            .await
            .expect(401);
        stranger
            .post(&format!("/api/sign_out_all_devices?{query}"))
            .await
            .expect(401);
    }
    chrome.get("/dashboard").await.expect(200);
}
