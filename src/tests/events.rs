//! Event streams: clients receive every event that concerns them, on every node.

use std::sync::Arc;

use axum::{Extension, body::Body, http::Request};
use broker_portal::server::{api, auth::current_session::Identity};
use tower::ServiceExt as _;

use crate::harness::*;

const EVENTS: &str = "/api/v1/session/events";

fn kinds(told: &[StreamEvent]) -> Vec<&str> {
    told.iter().map(|told| told.kind.as_str()).collect()
}

#[tokio::test]
async fn stream_sends_changes_and_closes_with_its_session() {
    let portal = Portal::start().await;
    let _listening = portal.start_listener().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let mut on_chrome = chrome.get(EVENTS).stream().await;
    let mut on_mac = mac.get(EVENTS).stream().await;
    assert_eq!(portal.state.hub.open_streams(), 2);

    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    for stream in [&mut on_chrome, &mut on_mac] {
        stream.next_of_kind("sessions_changed").await;
    }
    mac.post("/api/v1/session/extend").await.expect(200);
    let updated = on_mac.next_of_kind("session_updated").await;
    assert_eq!(
        (updated.kind.as_str(), &updated.data["session_id"]),
        ("session_updated", &json!(mac.session()))
    );

    firefox.revoke(chrome.session()).await;
    let told = on_chrome.until_closed().await;
    assert_eq!(kinds(&told).last(), Some(&"session_ended"));
    assert_eq!(told.iter().filter(|told| told.kind == "session_ended").count(), 1);
    assert_eq!(
        told[told.len() - 1].data,
        json!({ "session_id": chrome.session(), "reason": "revoked" })
    );
    on_mac.next_of_kind("sessions_changed").await;
    assert_eq!(portal.state.hub.open_streams(), 1);
}

#[tokio::test]
async fn signing_out_everywhere_closes_streams_on_other_nodes() {
    let portal = Portal::start().await;
    let node = portal.second_node().await;
    let _listening = (portal.start_listener().await, node.start_listener().await);
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    let mut streams = Vec::new();
    for index in 0..4 {
        let mac = portal.desktop(&format!("mac-{index}")).signed_in(&maria).await;
        streams.push(mac.via(&node.router).get(EVENTS).stream().await);
    }
    let jonas = portal.desktop("pc").signed_in(&jonas).await.via(&node.router);
    let mut on_jonas = jonas.get(EVENTS).stream().await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    chrome.post("/api/sign_out_all_devices").await.expect(200);
    for stream in streams {
        let told = stream.until_closed().await;
        let end = told.last().expect("its end");
        assert_eq!(
            (end.kind.as_str(), &end.data["reason"]),
            ("session_ended", &json!("signed_out_everywhere"))
        );
    }
    jonas.post("/api/v1/session/extend").await.expect(200);
    on_jonas.next_of_kind("session_updated").await;
    assert_eq!(node.state.hub.open_streams(), 1);
}

#[tokio::test]
async fn resumed_stream_sends_missed_events_once() {
    let portal = Portal::start().await;
    let _listening = portal.start_listener().await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let last = mac.get(EVENTS).stream().await.last_id.to_string();

    mac.post("/api/v1/session/extend").await.expect(200);
    portal.browser(CHROME).signed_in(&jonas).await;
    portal.browser(CHROME).signed_in(&maria).await;
    let mut resumed = mac.get(EVENTS).header("last-event-id", &last).stream().await;
    resumed.next_of_kind("session_updated").await;
    resumed.next_of_kind("sessions_changed").await;
    mac.post("/api/v1/session/extend").await.expect(200);
    resumed.next_of_kind("session_updated").await;
    for nonsense in ["", "x", "-1", "99999999999999999999", "9223372036854775807"] {
        _ = mac.get(EVENTS).header("last-event-id", nonsense).stream().await;
    }
}

#[tokio::test]
async fn last_event_id_overrides_the_query() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let at_first = mac.get(EVENTS).stream().await.last_id;
    mac.post("/api/v1/session/extend").await.expect(200);
    portal.advance(seconds(1)).await;
    mac.post("/api/v1/session/extend").await.expect(200);

    let path = format!("{EVENTS}?after={at_first}");
    let mut resumed = mac.get(&path).stream().await;
    let first = resumed.next_of_kind("session_updated").await;
    let second = resumed.next_of_kind("session_updated").await;
    assert!(at_first < first.id && first.id < second.id);

    // Reconnects like a browser: at the same URL, with the last event id.
    let heard = first.id.to_string();
    let mut reconnected = mac.get(&path).header("last-event-id", &heard).stream().await;
    assert_eq!(reconnected.next_of_kind("session_updated").await.id, second.id);
    // An invalid header falls back to the query.
    let mut resumed = mac.get(&path).header("last-event-id", "x").stream().await;
    assert_eq!(resumed.next_of_kind("session_updated").await.id, first.id);

    for nonsense in ["", "x", "-1", "1.5", "99999999999999999999", "%ff", "1&after=2"] {
        _ = mac.get(&format!("{EVENTS}?after={nonsense}")).stream().await;
    }
    // It grants no access by itself.
    portal.anonymous().get(&path).await.expect(401);
}

#[tokio::test]
async fn interrupted_catch_up_loses_no_event() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let mut last = mac.get(EVENTS).stream().await.last_id;
    for _ in 0..3 {
        mac.post("/api/v1/session/extend").await.expect(200);
    }
    let mut heard = Vec::new();
    for _ in 0..3 {
        // Disconnected after the first block, and again after the first event.
        let greeted = mac.get(EVENTS).header("last-event-id", &last.to_string());
        assert_eq!(greeted.stream().await.last_id, last, "nothing was sent yet");
        let mut resumed = mac
            .get(EVENTS)
            .header("last-event-id", &last.to_string())
            .stream()
            .await;
        heard.push(resumed.next_of_kind("session_updated").await.id);
        last = resumed.last_id;
    }
    let written: Vec<i64> = portal
        .column("SELECT id FROM session_events WHERE kind = 'session_updated' ORDER BY id")
        .await;
    assert_eq!(heard, written);
}

#[tokio::test]
async fn catch_up_sends_more_than_a_page_once() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let other = portal.desktop("pc").signed_in(&maria).await;
    let last = mac.get(EVENTS).stream().await.last_id;
    let missed: Vec<(i64, String)> = sqlx::query_as(
        "INSERT INTO session_events (at, user_id, session_id, kind)
        SELECT now(), $1, $2, CASE WHEN i % 3 = 0 THEN 'organization_switched' ELSE 'session_updated' END
        FROM generate_series(1, 650) AS i RETURNING id, kind",
    )
    .bind(maria.id.0)
    .bind(mac.session().0)
    .fetch_all(&portal.sql)
    .await
    .expect("written");
    // The last page belongs to another session only: nothing of it is sent, and it is not read again.
    for _ in 0..2 {
        other.post("/api/v1/session/extend").await.expect(200);
    }
    let _listening = portal.start_listener().await;

    let mut resumed = mac
        .get(EVENTS)
        .header("last-event-id", &last.to_string())
        .stream()
        .await;
    let mut heard = Vec::new();
    for _ in &missed {
        let told = resumed.next().await.expect("an open stream");
        heard.push((told.id, told.kind));
    }
    assert_eq!(heard, missed);
    let newest = missed[missed.len() - 1].0 + 2;
    resumed.until_number(newest).await;
    mac.post("/api/v1/session/extend").await.expect(200);
    assert!(resumed.next_of_kind("session_updated").await.id > newest);
}

#[tokio::test]
async fn stream_from_page_render_misses_nothing() {
    let (portal, _, chrome, mac) = Portal::with_devices().await;
    let page = chrome.post_json("/api/show_viewer").await;
    let after = page["state"]["event_number"].as_i64().expect("a number");
    let state = chrome.get_json("/api/v1/session_state").await;
    assert_eq!(state["event_number"], after);

    mac.revoke_scope("current").await;
    // The node listens from now on, so only the log has earlier events.
    let _listening = portal.start_listener().await;
    let mut stream = chrome.get(&format!("{EVENTS}?after={after}")).stream().await;
    assert!(stream.next_of_kind("sessions_changed").await.id > after);

    // Events known when the page was rendered are not sent again.
    let state = chrome.get_json("/api/v1/session_state").await;
    let path = format!("{EVENTS}?after={}", state["event_number"]);
    let mut stream = chrome.get(&path).stream().await;
    chrome.post("/api/v1/session/extend").await.expect(200);
    assert_eq!(
        stream.next().await.expect("an open stream").kind,
        "session_updated"
    );
}

#[tokio::test]
async fn events_committed_during_page_render_are_sent() {
    let portal = Portal::start().await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    // Its number is taken; Jonas takes the next ones and commits first.
    let late = portal
        .uncommitted_event(&maria, chrome.session(), "sessions_changed")
        .await;
    portal.browser(FIREFOX).signed_in(&jonas).await;
    let state = chrome.get_json("/api/v1/session_state").await;
    late.commit().await.expect("committed");
    let _listening = portal.start_listener().await;
    let path = format!("{EVENTS}?after={}", state["event_number"]);
    let mut stream = chrome.get(&path).stream().await;
    stream.next_of_kind("sessions_changed").await;
}

#[tokio::test]
async fn stream_opened_during_revocation_is_refused_or_closes() {
    let portal = Portal::start().await;
    let _listening = portal.start_listener().await;
    let mut refused = 0;
    for round in 0..20 {
        let maria = portal.user("maria").role(Role::Guest);
        let maria = maria.member_of("Northgate").create().await;
        let (mac, chrome) = (portal.desktop("mac"), portal.browser(CHROME));
        let (mac, chrome) = (mac.signed_in(&maria).await, chrome.signed_in(&maria).await);
        let lock = HeldLock::of_user(&portal, &maria).await;
        let ending = tokio::spawn(chrome.delete("/api/v1/sessions?scope=others").into_future());
        lock.until_waiting(1).await;
        // Before, during and after the write of the end.
        let opening = mac.get(EVENTS).try_stream();
        let opened = match round % 3 {
            0 => {
                let opened = opening.await;
                assert!(opened.is_ok(), "the session is live while its end waits");
                lock.release().await;
                ending.await.expect("the request task").expect(200);
                opened
            }
            1 => {
                let opening = tokio::spawn(opening);
                lock.release().await;
                ending.await.expect("the request task").expect(200);
                opening.await.expect("the request task")
            }
            _ => {
                lock.release().await;
                ending.await.expect("the request task").expect(200);
                opening.await
            }
        };
        match opened {
            Err(status) => {
                assert_eq!(status, 401);
                refused += 1;
            }
            Ok(stream) => {
                // A stream that missed the end would notice it at its first heartbeat, after 15 seconds.
                let told = tokio::time::timeout(seconds(8), stream.until_closed()).await;
                let told = told.expect("closed by the end itself");
                assert_eq!(kinds(&told).last(), Some(&"session_ended"), "round {round}");
            }
        }
    }
    assert!(refused >= 6, "what is opened after the end is refused");
}

#[tokio::test]
async fn stream_is_refused_to_a_replaced_credential() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    // A request that was identified by the old cookie comes to the stream after the replacement.
    let late = Identity::SignedIn(Arc::new(portal.identified(&chrome).await));
    let body = json!({ "password": maria.password });
    let renewal = chrome.post("/api/v1/session/reauthenticate").json(&body);
    renewal.await.expect(200);
    let routes = api::router()
        .with_state(portal.state.clone())
        .layer(Extension(late));
    let request = Request::get(EVENTS).body(Body::empty()).expect("a request");
    let response = tokio::time::timeout(seconds(8), routes.oneshot(request)).await;
    let response = response
        .expect("the request task")
        .expect("a router does not fail");
    assert_eq!(response.status(), 401);
    assert_eq!(
        TestResponse::read(EVENTS, response).await.end_reason(),
        "renewal_lost"
    );
    assert_eq!(portal.state.hub.open_streams(), 0);
}

#[tokio::test]
async fn disconnected_listener_loses_no_event() {
    let portal = Portal::start().await;
    let _listening = portal.start_listener().await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let stream = mac.get(EVENTS).stream().await;

    portal.disconnect_listeners().await;
    chrome.revoke(mac.session()).await;
    assert_eq!(kinds(&stream.until_closed().await).last(), Some(&"session_ended"));
}

#[tokio::test]
async fn events_committed_out_of_order_are_sent() {
    let portal = Portal::start().await;
    let _listening = portal.start_listener().await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let mut stream = mac.get(EVENTS).stream().await;

    // Its number is lower than the next one's, but it commits later.
    let late = portal
        .uncommitted_event(&maria, mac.session(), "organization_switched")
        .await;
    mac.post("/api/v1/session/extend").await.expect(200);
    let first = stream.next_of_kind("session_updated").await;
    late.commit().await.expect("committed");
    let second = stream.next_of_kind("organization_switched").await;
    assert!(second.id < first.id, "{} {}", second.id, first.id);
}

#[tokio::test]
async fn open_streams_hold_no_database_connection() {
    let portal = Portal::with(&[("PORTAL_MAX_SESSIONS_BROKER", "100")]).await;
    let _listening = portal.start_listener().await;
    let maria = portal.broker("maria").await;
    let mut streams = Vec::new();
    for index in 0..40 {
        let mac = portal.desktop(&format!("mac-{index}")).signed_in(&maria).await;
        streams.push(mac.get(EVENTS).stream().await);
    }
    // More streams than pool connections, and further requests still work.
    assert_eq!(portal.state.hub.open_streams(), 40);
    portal
        .browser(CHROME)
        .signed_in(&maria)
        .await
        .get("/dashboard")
        .await
        .expect(200);
    portal.state.hub.close();
    for stream in streams {
        assert!(!kinds(&stream.until_closed().await).contains(&"session_ended"));
    }
}

#[tokio::test]
async fn stream_reports_expiry_and_is_no_activity() {
    let portal = Portal::with(&[("PORTAL_SESSION_TIMEOUT_BROKER", "1")]).await;
    let _listening = portal.start_listener().await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let stream = mac.get(EVENTS).stream().await;
    portal.advance(seconds(2)).await;
    let told = stream.until_closed().await;
    assert_eq!(kinds(&told).last(), Some(&"session_ended"));
    assert_eq!(told[told.len() - 1].data["reason"], "idle_timeout");
}

#[tokio::test]
async fn idle_stream_sends_heartbeats() {
    // It checks again and sends a heartbeat when the session may have expired. The portal's clock is fixed meanwhile.
    let portal = Portal::with(&[("PORTAL_SESSION_TIMEOUT_BROKER", "1")]).await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let mut stream = mac.get(EVENTS).stream().await;
    let begins_at = stream.last_id;
    let beat = stream.next_heartbeat().await;
    let lines: Vec<_> = beat.lines().filter(|line| !line.is_empty()).collect();
    // Without a number, so that clients resume after real events.
    assert_eq!(lines, [": here", "event: heartbeat", "data: {}"]);
    assert_eq!(stream.last_id, begins_at);
}

#[tokio::test]
async fn stream_needs_a_live_session_outside_the_query() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    for name in ["access_token", "token", "authorization"] {
        let path = format!("{EVENTS}?{name}={}", mac.access_token());
        portal.anonymous().get(&path).await.expect(401);
    }
    mac.revoke_scope("current").await;
    assert_eq!(mac.get(EVENTS).await.end_reason(), "signed_out");
}

#[tokio::test]
async fn readiness_names_a_disconnected_listener() {
    let portal = Portal::start().await;
    let ready = portal.anonymous().get("/readyz").await.expect(503).json();
    let checks = ready["checks"].as_array().expect("checks");
    assert!(
        checks
            .iter()
            .any(|check| check["name"] == "listener" && check["ok"] == false),
        "{ready}"
    );
    let _listening = portal.start_listener().await;
    portal.anonymous().get("/readyz").await.expect(200);
}

#[tokio::test]
async fn rotation_closes_streams_of_a_copied_cookie() {
    let portal = Portal::start().await;
    let _listening = portal.start_listener().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let stream = chrome.duplicate().get(EVENTS).stream().await;
    let fields = [
        ("current_password", &*maria.password),
        ("new_password", "one that nobody has copied"),
    ];
    chrome.submit("change_password", &fields).await.expect(200);
    let told = stream.until_closed().await;
    assert_eq!(kinds(&told).last(), Some(&"session_updated"));
    chrome.get(EVENTS).stream().await;
}
