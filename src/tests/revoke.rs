//! Revoking sessions: one, the others, all.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::harness::*;

/// A user with two browsers and two desktops.
struct Signed {
    person: TestUser,
    chrome: Client,
    firefox: Client,
    mac: Client,
    thinkpad: Client,
}

impl Signed {
    async fn in_everywhere(portal: &Portal, name: &str) -> Self {
        let person = portal.broker(name).await;
        Self {
            chrome: portal.browser(CHROME).signed_in(&person).await,
            firefox: portal.browser(FIREFOX).signed_in(&person).await,
            mac: portal.desktop("mac").signed_in(&person).await,
            thinkpad: portal.desktop("thinkpad").signed_in(&person).await,
            person,
        }
    }

    fn clients(&self) -> [&Client; 4] {
        [&self.chrome, &self.firefox, &self.mac, &self.thinkpad]
    }

    /// Returns the sessions whose clients are still accepted, and checks that the database agrees.
    async fn live(&self) -> Vec<SessionId> {
        let mut live = Vec::new();
        for client in self.clients() {
            let status = client.duplicate().get("/api/v1/session_state").await.status;
            let row = client.portal.session_row(client.session()).await;
            assert_eq!(status == 200, row.ended_at.is_none(), "{row:?}");
            if status == 200 {
                live.push(client.session());
            }
        }
        live
    }
}

#[tokio::test]
async fn every_route_ends_exactly_one_session() {
    let portal = Portal::start().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    let jonas = Signed::in_everywhere(&portal, "jonas").await;

    let id = maria.firefox.session().to_string();
    maria
        .chrome
        .submit("revoke_session", &[("session_id", &id)])
        .await
        .expect(200);
    assert_eq!(
        maria.firefox.get("/api/session_state").await.end_reason(),
        "revoked"
    );
    assert_eq!(maria.live().await.len(), 3);

    let body = json!({ "session_id": maria.thinkpad.session() });
    maria
        .chrome
        .post("/api/revoke_session")
        .json(&body)
        .await
        .expect(200);
    assert_eq!(
        maria.thinkpad.get("/api/session_state").await.end_reason(),
        "revoked"
    );

    let gone = maria.mac.revoke(maria.chrome.session()).await;
    assert_eq!(gone.body, "");
    assert_eq!(maria.live().await, [maria.mac.session()]);
    assert_eq!(jonas.live().await.len(), 4);
    assert_eq!(portal.epoch(maria.person.id).await, 0);
}

#[tokio::test]
async fn revoking_the_current_session_is_signing_out() {
    let portal = Portal::start().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    maria.mac.revoke(maria.mac.session()).await;
    assert_eq!(
        maria.mac.get("/api/session_state").await.end_reason(),
        "signed_out"
    );
    maria.thinkpad.revoke_scope("current").await;
    assert_eq!(
        maria.thinkpad.get("/api/session_state").await.end_reason(),
        "signed_out"
    );
    assert_eq!(maria.live().await.len(), 2);
}

#[tokio::test]
async fn signing_out_ends_this_session_and_removes_cookie() {
    let portal = Portal::start().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    let replica = maria.chrome.duplicate();

    let response = maria.chrome.sign_out().await;
    assert_eq!(response.json(), "/login?reason=signed_out");
    assert_eq!(maria.chrome.cookie(), None);
    assert_eq!(replica.get("/api/session_state").await.end_reason(), "signed_out");
    let page = maria.chrome.get("/dashboard").await.expect(303);
    assert_eq!(page.location(), "/login?next=/dashboard");
    assert_eq!(portal.ends_of(maria.chrome.session()).await.len(), 1);

    // Without a session there is nothing to do, which is no error.
    for client in [&maria.chrome, &replica, &portal.browser(SAFARI)] {
        client.sign_out().await;
    }
    assert_eq!(portal.audit("session_ended").await.len(), 1);
    assert_eq!(maria.firefox.get("/api/session_state").await.status, 200);
}

#[tokio::test]
async fn sign_out_others_keeps_only_the_caller() {
    let portal = Portal::start().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    let jonas = Signed::in_everywhere(&portal, "jonas").await;

    assert_eq!(maria.mac.revoke_scope("others").await, json!({ "ended": 3 }));
    assert_eq!(maria.live().await, [maria.mac.session()]);
    for client in [&maria.chrome, &maria.firefox, &maria.thinkpad] {
        assert_eq!(client.get("/api/session_state").await.end_reason(), "revoked");
    }
    assert_eq!(maria.mac.revoke_scope("others").await, json!({ "ended": 0 }));
    assert_eq!(maria.live().await, [maria.mac.session()]);
    // Each rejects sign-ins in progress.
    assert_eq!(portal.epoch(maria.person.id).await, 2);

    let response = jonas.chrome.post("/api/sign_out_other_devices").await.expect(200);
    assert_eq!(response.json(), 3);
    assert_eq!(jonas.live().await, [jonas.chrome.session()]);
    assert_eq!(jonas.chrome.post_json("/api/sign_out_other_devices").await, 0);
}

#[tokio::test]
async fn sign_out_all_ends_everything_and_raises_epoch() {
    let portal = Portal::start().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    let jonas = Signed::in_everywhere(&portal, "jonas").await;

    assert_eq!(maria.mac.revoke_scope("all").await, json!({ "ended": 4 }));
    assert_eq!(maria.live().await, []);
    assert_eq!(
        (
            portal.epoch(maria.person.id).await,
            portal.epoch(jonas.person.id).await
        ),
        (1, 0)
    );

    // The second time, the caller is not signed in any more.
    let again = maria.mac.delete("/api/v1/sessions?scope=all").await;
    assert_eq!(again.end_reason(), "signed_out_everywhere");
    assert_eq!(portal.epoch(maria.person.id).await, 1);
    assert_eq!(portal.audit("session_ended").await.len(), 4);

    let response = jonas.chrome.post("/api/sign_out_all_devices").await.expect(200);
    assert_eq!(response.json(), "/login?reason=signed_out_everywhere&by=you");
    assert_eq!(jonas.chrome.cookie(), None);
    assert_eq!(
        jonas.firefox.get("/api/session_state").await.end_reason(),
        "signed_out_everywhere"
    );
    assert_eq!(portal.epoch(jonas.person.id).await, 1);
}

#[tokio::test]
async fn sign_out_all_is_explained_on_every_device() {
    let portal = Portal::start().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    maria.mac.revoke_scope("all").await;

    for browser in [&maria.chrome, &maria.firefox] {
        for path in [
            "/dashboard",
            "/dashboard/settings?tab=x",
            "/dashboard/settings/sign-out-all",
        ] {
            let page = browser.get(path).await.expect(303);
            let next = domain::query::encode_query_value(path);
            assert_eq!(
                page.location(),
                format!("/login?next={next}&reason=signed_out_everywhere")
            );
            let login = browser.follow(&page).await.expect(200);
            let words = "Your session was ended from another device. Please sign in again.";
            assert!(login.body.contains(words), "{}", login.body);
        }
        for path in [
            "/api/list_active_sessions",
            "/api/sign_out_other_devices",
            "/api/sign_out_all_devices",
        ] {
            let response = browser.post(path).await.expect(401);
            assert_eq!(
                response.json(),
                json!({ "code": "session_ended", "reason": "signed_out_everywhere" })
            );
        }
    }
    for desktop in [&maria.mac, &maria.thinkpad] {
        for response in [
            desktop.get("/api/v1/session_state").await,
            desktop.get("/api/v1/sessions").await,
            desktop.post("/api/v1/devices/heartbeat").await,
            desktop.delete("/api/v1/sessions?scope=others").await,
        ] {
            assert_eq!(response.end_reason(), "signed_out_everywhere");
        }
    }

    // Signing in works at once, on the browser that still has its old cookie.
    let chrome = maria.chrome.clone().signed_in(&maria.person).await;
    chrome.get("/dashboard").await.expect(200);
    assert_eq!(maria.firefox.get("/dashboard").await.status, 303);
}

#[tokio::test]
async fn replayed_credentials_are_refused_after_sign_out() {
    let portal = Portal::start().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    let node = portal.second_node().await;
    let (cookie, token) = (maria.chrome.duplicate(), maria.mac.duplicate());
    maria.chrome.sign_out().await;
    maria.mac.revoke_scope("current").await;

    for client in [&cookie, &token] {
        for client in [client.clone(), client.clone().via(&node.router)] {
            assert_eq!(client.get("/api/v1/sessions").await.end_reason(), "signed_out");
            assert_eq!(
                client.delete("/api/v1/sessions?scope=all").await.end_reason(),
                "signed_out"
            );
            client.get("/dashboard/settings").await.expect(303);
            client.post("/api/sign_out_all_devices").await.expect(401);
        }
    }
    assert_eq!(maria.live().await.len(), 2);
}

#[tokio::test]
async fn no_node_accepts_a_session_after_its_revocation() {
    let portal = Portal::start().await;
    let node = portal.second_node().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    // The other node has seen all of them.
    for client in maria.clients() {
        client
            .clone()
            .via(&node.router)
            .get("/api/v1/sessions")
            .await
            .expect(200);
    }
    maria.mac.revoke_scope("others").await;
    for client in [&maria.chrome, &maria.firefox, &maria.thinkpad] {
        let there = client.clone().via(&node.router);
        assert_eq!(there.get("/api/v1/sessions").await.end_reason(), "revoked");
    }
    node.state
        .activity
        .flush(&node.state.database)
        .await
        .expect("written");
    assert_eq!(maria.live().await, [maria.mac.session()]);
}

#[tokio::test]
async fn missing_or_invalid_scope_ends_nothing() {
    let portal = Portal::start().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    for query in [
        "",
        "?",
        "?scope",
        "?scope=",
        "?scope=All",
        "?scope=every",
        "?scope=all%20",
        "?scope=allothers",
        "?all",
        "?scope=others&scope=all",
        "?scopes=all",
        "?SCOPE=all",
        "?scope=%FF",
    ] {
        for client in [&maria.chrome, &maria.mac] {
            let response = client.delete(&format!("/api/v1/sessions{query}")).await;
            assert_eq!(
                (response.status, response.problem().as_str()),
                (400, "invalid_scope"),
                "{query}"
            );
        }
        // A scope in the body does not count.
        let response = maria
            .mac
            .delete("/api/v1/sessions")
            .json(&json!({ "scope": "all" }))
            .await;
        assert_eq!(
            (response.status, response.problem().as_str()),
            (400, "invalid_scope")
        );
    }
    assert_eq!(maria.live().await.len(), 4);
    assert_eq!(portal.audit("session_ended").await, []);
}

#[tokio::test]
async fn foreign_unknown_and_ended_ids_are_indistinguishable() {
    let portal = Portal::start().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    let jonas = Signed::in_everywhere(&portal, "jonas").await;
    let ended = jonas.thinkpad.session();
    jonas.thinkpad.revoke_scope("current").await;
    portal.advance(seconds(1)).await;
    let before = portal.audit("session_ended").await;

    let long = "x".repeat(3000);
    let ids = [
        maria.chrome.session().to_string(),
        maria.mac.session().to_string(),
        "00000000-0000-4000-8000-000000000000".to_owned(),
        ended.to_string(),
        "nonsense".to_owned(),
        "'%20OR%201=1--".to_owned(),
        "%00".to_owned(),
        long,
    ];
    let mut by_api = Vec::new();
    let mut by_form = Vec::new();
    let mut by_json = Vec::new();
    for id in &ids {
        by_api.push(
            jonas
                .mac
                .delete(&format!("/api/v1/sessions/{id}"))
                .await
                .comparable(),
        );
        by_form.push(
            jonas
                .chrome
                .submit("revoke_session", &[("session_id", id)])
                .await
                .comparable(),
        );
        by_json.push(
            jonas
                .chrome
                .post("/api/revoke_session")
                .json(&json!({ "session_id": id }))
                .await
                .comparable(),
        );
    }
    for responses in [by_api, by_form, by_json] {
        assert_eq!(responses[0].0, 404, "{responses:?}");
        assert!(responses[0].2.contains(r#""code":"not_found""#), "{responses:?}");
        assert!(
            responses.iter().all(|response| *response == responses[0]),
            "{responses:#?}"
        );
    }
    assert_eq!(maria.live().await.len(), 4);
    assert_eq!(portal.audit("session_ended").await, before);
}

#[tokio::test]
async fn no_scope_reaches_another_users_sessions() {
    let portal = Portal::start().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    let jonas = Signed::in_everywhere(&portal, "jonas").await;

    let mine: Vec<String> = jonas
        .clients()
        .iter()
        .map(|client| client.session().to_string())
        .collect();
    for response in [
        jonas.chrome.get_json("/api/v1/sessions").await,
        jonas.chrome.post_json("/api/list_active_sessions").await,
        // Unknown fields change nothing.
        jonas
            .chrome
            .get_json(&format!("/api/v1/sessions?user={}", maria.person.id))
            .await,
        jonas
            .chrome
            .submit(
                "list_active_sessions",
                &[("user_id", &maria.person.id.to_string())],
            )
            .await
            .expect(200)
            .json(),
    ] {
        let seen: Vec<&str> = response["sessions"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|s| s["id"].as_str())
            .collect();
        assert_eq!(seen.len(), 4);
        assert!(
            seen.iter().all(|id| mine.iter().any(|known| known == id)),
            "{response}"
        );
    }
    jonas
        .chrome
        .delete(&format!("/api/v1/sessions?scope=others&user={}", maria.person.id))
        .await
        .expect(200);
    jonas
        .chrome
        .submit(
            "sign_out_all_devices",
            &[("user_id", &maria.person.id.to_string())],
        )
        .await
        .expect(200);
    assert_eq!(jonas.live().await, []);
    assert_eq!(maria.live().await.len(), 4);
}

#[tokio::test]
async fn listing_and_revoking_need_a_session() {
    let portal = Portal::start().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    let id = maria.chrome.session().to_string();
    for stranger in [portal.anonymous(), portal.browser(SAFARI)] {
        for response in [
            stranger.get("/api/v1/sessions").await,
            stranger.get("/api/v1/session_state").await,
            stranger.delete(&format!("/api/v1/sessions/{id}")).await,
            stranger.delete("/api/v1/sessions?scope=all").await,
            stranger.post("/api/v1/devices/heartbeat").await,
        ] {
            assert_eq!(response.end_reason(), "unknown");
        }
        for path in words(
            "/api/list_active_sessions /api/sign_out_other_devices /api/sign_out_all_devices
            /api/show_viewer /api/show_overview",
        ) {
            let response = stranger.post(path).await.expect(401);
            assert_eq!(
                response.json(),
                json!({ "code": "session_ended", "reason": "unknown" }),
                "{path}"
            );
        }
        stranger
            .submit("revoke_session", &[("session_id", &id)])
            .await
            .expect(401);
    }
    assert_eq!(maria.live().await.len(), 4);
}

#[tokio::test]
async fn session_ids_are_case_insensitive() {
    let portal = Portal::start().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    let id = maria.chrome.session().to_string().to_uppercase();
    maria
        .mac
        .delete(&format!("/api/v1/sessions/{id}"))
        .await
        .expect(204);
    assert_eq!(maria.live().await.len(), 3);
}

#[tokio::test]
async fn desktop_with_ended_session_is_inactive() {
    let portal = Portal::start().await;
    let maria = Signed::in_everywhere(&portal, "maria").await;
    let active = async || -> Vec<String> {
        portal
            .column("SELECT device_id FROM devices WHERE is_active ORDER BY 1")
            .await
    };
    assert_eq!(active().await, ["mac", "thinkpad"]);
    maria.chrome.revoke(maria.mac.session()).await;
    assert_eq!(active().await, ["thinkpad"]);
    maria.chrome.post("/api/sign_out_all_devices").await.expect(200);
    assert_eq!(active().await, Vec::<String>::new());
}

#[tokio::test]
async fn late_request_body_has_no_ended_sessions_rights() {
    let portal = Portal::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = portal
        .router()
        .into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(axum::serve(listener, app).into_future());

    // The second action only reads, so nothing checks its session again.
    for (name, action) in [("maria", "revoke_session"), ("jonas", "list_active_sessions")] {
        let user = Signed::in_everywhere(&portal, name).await;
        let body = format!("session_id={}", user.firefox.session());
        let head = format!(
            "POST /api/{action} HTTP/1.1\r\nHost: {address}\r\nCookie: portal_session={}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\
             Connection: close\r\n\r\n",
            user.chrome.cookie().expect("a cookie"),
            body.len()
        );
        let mut thief = TcpStream::connect(address).await.expect("connected");
        thief.write_all(head.as_bytes()).await.expect("sent");
        // The server asks for the body: it has read the head and waits while the session is live.
        let mut asked_for = [0; 25];
        thief.read_exact(&mut asked_for).await.expect("asked for");
        assert_eq!(&asked_for, b"HTTP/1.1 100 Continue\r\n\r\n");
        user.mac.revoke(user.chrome.session()).await;
        thief.write_all(body.as_bytes()).await.expect("sent");
        let mut response = String::new();
        thief
            .read_to_string(&mut response)
            .await
            .expect("the request task");
        assert!(response.starts_with("HTTP/1.1 401 "), "{response}");
        assert_eq!(user.live().await.len(), 3);
    }
    server.abort();
}

#[tokio::test]
async fn revocation_aborted_by_a_deadlock_is_repeated() {
    for by_admin in [false, true] {
        let portal = Portal::start().await;
        let maria = portal.member("maria", "Northgate").await;
        let admin = portal.member_as("ada", Role::Admin, "Northgate").await;
        let chrome = portal.browser(CHROME).signed_in(&maria).await;
        let ada = portal.browser(FIREFOX).signed_in(&admin).await;
        let mut held = HeldLock::of_session(&portal, chrome.session()).await;
        let call = if by_admin {
            ada.post("/api/v1/admin/sessions/revoke")
                .json(&json!({ "user_id": maria.id }))
        } else {
            chrome.post("/api/sign_out_all_devices")
        };
        // It locks the user and waits for the session; now the holder of the session waits for the user.
        let revocation = held.queue(call, 1).await;
        held.lock_user_too(&maria).await;
        held.release().await;
        revocation.await.expect("the request task").expect(200);
        assert!(!chrome.is_live().await);
        assert_eq!(portal.audit("session_ended").await.len(), 1, "{by_admin}");
    }
}
