//! Session limits.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{spawn, task::JoinSet};

use crate::harness::*;

/// Session limit of each role, as in the contract.
const LIMITS: [(Role, usize); 6] = [
    (Role::Guest, 5),
    (Role::Employee, 2),
    (Role::Vendor, 3),
    (Role::Broker, 5),
    (Role::Admin, 2),
    (Role::SystemAdmin, 2),
];

#[tokio::test]
async fn each_role_has_its_session_limit() {
    let portal = Portal::start().await;
    for (role, most) in LIMITS {
        let person = portal.user(role.as_str()).role(role).create().await;
        let mut clients = Vec::new();
        for _ in 0..most {
            portal.advance(seconds(1)).await;
            clients.push(portal.browser(CHROME).signed_in(&person).await);
        }
        assert_eq!(portal.live_sessions(person.id).await.len(), most, "{role}");
        portal.advance(seconds(1)).await;
        let one_more = portal.browser(FIREFOX).signed_in(&person).await;

        portal.assert_ended(clients[0].session(), "session_limit").await;
        assert_eq!(clients[0].end_reason().await, "session_limit", "{role}");
        let left: Vec<_> = clients[1..]
            .iter()
            .chain([&one_more])
            .map(Client::session)
            .collect();
        assert_eq!(portal.live_sessions(person.id).await, left, "{role}");
    }
}

#[tokio::test]
async fn operator_configures_the_session_limit() {
    let portal = Portal::with(&[("PORTAL_MAX_SESSIONS_BROKER", "1")]).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    assert_eq!(portal.live_sessions(maria.id).await, [mac.session()]);
    portal.assert_ended(chrome.session(), "session_limit").await;
}

#[tokio::test]
async fn limit_ends_the_least_recently_active_session() {
    let portal = Portal::start().await;
    let maria = portal.user("maria").role(Role::Vendor).create().await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(60)).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    portal.advance(seconds(60)).await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    portal.advance(seconds(60)).await;

    // The oldest two are used again, without a write yet. A heartbeat of a desktop does not count.
    chrome.get("/dashboard").await.expect(200);
    mac.get("/api/v1/sessions").await.expect(200);
    portal.clock.advance(seconds(60));
    firefox.get("/api/v1/session_state").await.expect(200);
    let safari = portal.browser(SAFARI).signed_in(&maria).await;
    portal.assert_ended(firefox.session(), "session_limit").await;

    // Now the desktop is the least recently active, although it was present last.
    portal.clock.advance(seconds(1));
    chrome.get("/dashboard").await.expect(200);
    mac.post("/api/v1/devices/heartbeat").await.expect(204);
    let tablet = portal.browser(SAFARI).signed_in(&maria).await;
    portal.assert_ended(mac.session(), "session_limit").await;
    let live = [chrome.session(), safari.session(), tablet.session()];
    assert_eq!(portal.live_sessions(maria.id).await, live);
}

#[tokio::test]
async fn limit_is_explained_on_both_devices() {
    let portal = Portal::start().await;
    let maria = portal.user("maria").role(Role::Employee).create().await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(1)).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    portal.advance(seconds(1)).await;

    let thinkpad = portal.desktop("thinkpad");
    let response = thinkpad.sign_in(&maria).await;
    assert_eq!(
        response.expect(201).json()["signed_out"],
        json!([chrome.session()])
    );
    let page = chrome.get("/dashboard").await.expect(303);
    assert_eq!(page.location(), "/login?next=/dashboard&reason=session_limit");
    let row = &portal.ends_of(chrome.session()).await[0];
    assert_eq!(
        (row.actor, row.actor_session, row.user),
        (Some(maria.id), Some(thinkpad.session()), Some(maria.id))
    );

    portal.advance(seconds(1)).await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    assert_eq!(mac.end_reason().await, "session_limit");
    let attention = firefox.post_json("/api/show_overview").await["attention"].clone();
    let told = attention.as_array().expect("a list").iter();
    let told: Vec<_> = told.filter(|one| one.to_string().contains("The mac")).collect();
    assert_eq!(told.len(), 1, "{attention}");
    let dashboard = firefox.get("/dashboard").await.expect(200);
    assert!(dashboard.body.contains("The mac"), "{}", dashboard.body);
}

#[tokio::test]
async fn repeated_sign_in_replaces_only_its_own_session() {
    let portal = Portal::start().await;
    let maria = portal.user("maria").role(Role::Employee).create().await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    portal.advance(seconds(1)).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    for _ in 0..3 {
        portal.advance(seconds(1)).await;
        let old = chrome.session();
        let chrome = chrome.clone().signed_in(&maria).await;
        portal.assert_ended(old, "signed_out").await;
        let live = [mac.session(), chrome.session()];
        assert_eq!(portal.live_sessions(maria.id).await, live);
    }
    portal.advance(seconds(1)).await;
    let again = portal.desktop("mac");
    let response = again.sign_in(&maria).await;
    assert_eq!(response.expect(201).json()["signed_out"], Value::Null);
    portal.assert_ended(mac.session(), "signed_out").await;
    assert!(chrome.is_live().await);
}

#[tokio::test]
async fn expired_sessions_do_not_count() {
    let portal = Portal::start().await;
    let maria = portal.user("maria").role(Role::Employee).create().await;
    let idle = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(8 * 3600 - 10)).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(10)).await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    assert_eq!(
        portal.live_sessions(maria.id).await,
        [chrome.session(), firefox.session()]
    );
    assert_eq!(idle.end_reason().await, "idle_timeout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_sign_ins_never_exceed_the_limit() {
    let portal = Portal::start().await;
    let node = portal.second_node().await;
    let maria = portal.broker("maria").await;

    // Reads the database all the time, like another node.
    let over = Arc::new(AtomicBool::new(false));
    let watching = spawn({
        let (portal, over) = (portal.clone(), over.clone());
        async move {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(portal.live_sessions(maria.id).await.len());
            }
            most
        }
    });
    let mut under_way = JoinSet::new();
    for round in 0..50 {
        let client = match round % 3 {
            0 => portal.browser(CHROME),
            1 => portal.browser(FIREFOX).via(&node.router),
            _ => portal.desktop(&format!("desktop-{round}")),
        };
        let maria = maria.clone();
        under_way.spawn(async move {
            // With this many at once, some must wait and retry.
            while [429, 503].contains(&client.sign_in(&maria).await.status) {
                tokio::task::yield_now().await;
            }
            client
        });
    }
    let clients = under_way.join_all().await;
    over.store(true, Ordering::Relaxed);

    assert!((1..=5).contains(&watching.await.expect("watched")));
    let live = portal.live_sessions(maria.id).await;
    assert_eq!(live.len(), 5);
    for client in clients {
        if live.contains(&client.session()) {
            assert!(client.is_live().await);
        } else {
            assert_eq!(client.end_reason().await, "session_limit");
        }
    }
    // At least 45: on a slow machine a sign-in may succeed after its deadline, and is repeated.
    let over = portal.audit("signed_in").await.len() - 5;
    assert!(over >= 45);
    assert_eq!(portal.audit("session_ended").await.len(), over);
    assert_eq!(portal.events("session_ended").await.len(), over);
}
