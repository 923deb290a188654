//! Concurrent requests. A held lock forces the order where it matters; otherwise many rounds search for a failure.

use std::time::Duration;

use tokio::{spawn, task::JoinSet};

use crate::harness::*;

#[tokio::test]
async fn signing_out_everywhere_rejects_sign_ins_in_progress() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let late = [portal.browser(FIREFOX), portal.desktop("mac")];

    let lock = HeldLock::of_user(&portal, &maria).await;
    let all = lock.queue(chrome.delete("/api/v1/sessions?scope=all"), 1).await;
    let browser = lock.queue(late[0].spawn_sign_in(&maria), 2).await;
    let desktop = lock.queue(late[1].spawn_sign_in(&maria), 3).await;
    lock.release().await;

    assert_eq!(
        all.await.expect("the request task").expect(200).json(),
        json!({ "ended": 1 })
    );
    browser
        .await
        .expect("the request task")
        .assert_code(401, "invalid_credentials");
    desktop
        .await
        .expect("the request task")
        .assert_problem(401, "invalid_credentials");
    assert_eq!(
        (portal.rows("sessions").await, portal.rows("devices").await),
        (1, 0)
    );
}

#[tokio::test]
async fn signing_out_everywhere_ends_just_created_sessions() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let early = portal.browser(FIREFOX);

    let lock = HeldLock::of_user(&portal, &maria).await;
    let signed_in = lock.queue(early.spawn_sign_in(&maria), 1).await;
    let all = lock.queue(chrome.delete("/api/v1/sessions?scope=all"), 2).await;
    lock.release().await;

    signed_in.await.expect("the request task").expect(200);
    assert_eq!(
        all.await.expect("the request task").expect(200).json(),
        json!({ "ended": 2 })
    );
    assert_eq!(
        early.get("/api/session_state").await.end_reason(),
        "signed_out_everywhere"
    );
}

/// Sign-ins by browser and desktop that verified the password before a revocation of all but the caller's session.
async fn assert_late_sign_ins_are_rejected(caller_is_desktop: bool, end: fn(&Client) -> Call) {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let caller = if caller_is_desktop {
        portal.desktop("thinkpad").signed_in(&maria).await
    } else {
        portal.browser(CHROME).signed_in(&maria).await
    };
    let late = [portal.browser(FIREFOX), portal.desktop("mac")];

    let lock = HeldLock::of_user(&portal, &maria).await;
    let others = lock.queue(end(&caller), 1).await;
    let browser = lock.queue(late[0].spawn_sign_in(&maria), 2).await;
    let desktop = lock.queue(late[1].spawn_sign_in(&maria), 3).await;
    lock.release().await;

    others.await.expect("the request task").expect(200);
    for response in [browser, desktop] {
        let response = response.await.expect("the request task").expect(401);
        assert_eq!(response.json()["code"], "invalid_credentials");
    }
    assert!(caller.is_live().await, "the caller's own session survives");
    assert_eq!(portal.live_sessions(maria.id).await, [caller.session()]);
    if caller_is_desktop {
        caller.refresh().await.expect(200);
    }
    // A sign-in that starts now succeeds.
    portal.browser(FIREFOX).signed_in(&maria).await;
    assert!(caller.is_live().await);
}

#[tokio::test]
async fn sign_out_others_rejects_sign_ins_in_progress() {
    for caller_is_desktop in [false, true] {
        assert_late_sign_ins_are_rejected(caller_is_desktop, |caller| {
            caller.delete("/api/v1/sessions?scope=others")
        })
        .await;
    }
    assert_late_sign_ins_are_rejected(false, |caller| caller.post("/api/sign_out_other_devices")).await;
}

#[tokio::test]
async fn administrators_own_revocation_rejects_sign_ins_in_progress() {
    let portal = Portal::start().await;
    let ada = portal.system_admin("ada").await;
    let admin = portal.browser(CHROME).signed_in(&ada).await;
    let late = portal.browser(FIREFOX);
    let body = json!({ "user_id": ada.id });

    let lock = HeldLock::of_user(&portal, &ada).await;
    let end = lock
        .queue(admin.post("/api/v1/admin/sessions/revoke").json(&body), 1)
        .await;
    let sign_in = lock.queue(late.spawn_sign_in(&ada), 2).await;
    lock.release().await;

    end.await.expect("the request task").expect(200);
    sign_in.await.expect("the request task").expect(401);
    assert!(admin.is_live().await);
    assert_eq!(portal.live_sessions(ada.id).await, [admin.session()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_later_sign_ins_survive_signing_out_everywhere() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let (mut too_late, mut early, mut survivors) = (0, 0, 0);
    // Microseconds by which the sign-in starts earlier. Approaches the point where both meet: increases after each
    // session that survived, else decreases.
    let mut ahead: i64 = 0;
    for round in 0..200_u64 {
        let caller = portal.browser(CHROME).signed_in(&maria).await;
        let rival = if round % 2 == 0 {
            portal.browser(FIREFOX)
        } else {
            portal.desktop("mac")
        };
        let wait = |time: i64| tokio::time::sleep(Duration::from_micros(time.max(0).unsigned_abs()));
        let signing_in = spawn({
            let signing_in = rival.spawn_sign_in(&maria);
            let wait = wait(-ahead);
            async move {
                wait.await;
                signing_in.await
            }
        });
        wait(ahead).await;
        caller.revoke_scope("all").await;
        let response = signing_in.await.expect("the request task");

        if response.status == 401 {
            too_late += 1;
            ahead -= 300;
            continue;
        }
        assert!(response.status < 400, "{response:#?}");
        let live = rival.get("/api/v1/session_state").await.status == 200;
        // Both held the user's row lock while writing, so the audit log has their order.
        let after: bool = portal
            .scalar(&format!(
                "SELECT max(id) FILTER (WHERE kind = 'signed_in' AND session_id = '{}')
                > max(id) FILTER (WHERE kind = 'session_ended' AND session_id = '{}') FROM audit_events",
                rival.session(),
                caller.session()
            ))
            .await;
        assert_eq!(live, after, "round {round}");
        if live {
            survivors += 1;
            ahead += 300;
        } else {
            early += 1;
            ahead -= 300;
        }
        rival.delete("/api/v1/sessions?scope=all").await;
    }
    // Sign-ins with an earlier check were refused and later ones accepted, so the two did meet.
    assert!(
        too_late > 0 && survivors > 0,
        "{survivors} survived, {too_late} were too late, {early} were ended"
    );
}

#[tokio::test]
async fn password_change_rejects_sign_ins_in_progress() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let (before, late) = (portal.browser(CHROME), portal.browser(FIREFOX));

    let lock = HeldLock::of_user(&portal, &maria).await;
    let early = lock.queue(before.spawn_sign_in(&maria), 1).await;
    let change = spawn({
        let (accounts, email) = (portal.accounts(), maria.email.clone());
        async move {
            accounts
                .set_password(&email, "an entirely new password".to_owned())
                .await
        }
    });
    lock.until_waiting(2).await;
    let refused = lock.queue(late.spawn_sign_in(&maria), 3).await;
    lock.release().await;

    early.await.expect("the request task").expect(200);
    assert_eq!(change.await.expect("ran").expect("changed"), 1);
    refused.await.expect("the request task").expect(401);
    assert_eq!(
        before.get("/api/session_state").await.end_reason(),
        "password_changed"
    );
    late.get("/dashboard").await.expect(303);
}

#[tokio::test]
async fn disabling_an_account_rejects_sign_ins_in_progress() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let late = portal.browser(FIREFOX);

    let lock = HeldLock::of_user(&portal, &maria).await;
    let disabling = spawn({
        let (accounts, email) = (portal.accounts(), maria.email.clone());
        async move { accounts.disable(&email).await }
    });
    lock.until_waiting(1).await;
    let refused = lock.queue(late.spawn_sign_in(&maria), 2).await;
    lock.release().await;

    disabling.await.expect("ran").expect("disabled");
    refused.await.expect("the request task").expect(401);
    assert_eq!(portal.rows("sessions").await, 0);
}

#[tokio::test]
async fn revocation_by_a_revoked_caller_ends_nothing() {
    let (portal, maria, owner, bystander) = Portal::with_devices().await;
    let thief = portal.browser(FIREFOX).signed_in(&maria).await;
    let calls = |thief: &Client| {
        [
            thief.delete("/api/v1/sessions?scope=all"),
            thief.delete("/api/v1/sessions?scope=others"),
            thief.delete("/api/v1/sessions?scope=current"),
            thief.delete(&format!("/api/v1/sessions/{}", bystander.session())),
        ]
    };

    let lock = HeldLock::of_user(&portal, &maria).await;
    let revoke = owner.delete(&format!("/api/v1/sessions/{}", thief.session()));
    let revoke = lock.queue(revoke, 1).await;
    let mut under_way = Vec::new();
    for (place, call) in (2..).zip(calls(&thief)) {
        under_way.push(lock.queue(call, place).await);
    }
    lock.release().await;

    revoke.await.expect("the request task").expect(204);
    for response in under_way {
        assert_eq!(response.await.expect("the request task").end_reason(), "revoked");
    }
    for client in [&owner, &bystander] {
        client.get("/api/v1/session_state").await.expect(200);
    }
    assert_eq!(portal.audit("session_ended").await.len(), 1);
    assert_eq!(portal.epoch(maria.id).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_revocations_end_each_session_once() {
    let (portal, maria, caller) = Portal::with_browser().await;
    let targets = [
        portal.browser(FIREFOX).signed_in(&maria).await,
        portal.desktop("mac").signed_in(&maria).await,
        portal.desktop("thinkpad").signed_in(&maria).await,
    ];
    let node = portal.second_node().await;

    let mut under_way = JoinSet::new();
    for round in 0..20 {
        let caller = if round % 2 == 0 {
            caller.clone()
        } else {
            caller.clone().via(&node.router)
        };
        let path = match round % 4 {
            0 => "/api/v1/sessions?scope=others".to_owned(),
            other => format!("/api/v1/sessions/{}", targets[other - 1].session()),
        };
        under_way.spawn(caller.delete(&path).into_future());
    }
    for response in under_way.join_all().await {
        assert!([200, 204, 404].contains(&response.status), "{response:#?}");
    }
    for target in &targets {
        assert_eq!(portal.ends_of(target.session()).await.len(), 1);
    }
    assert_eq!(portal.audit("session_ended").await.len(), 3);
    assert_eq!(portal.events("session_ended").await.len(), 3);
    caller.get("/dashboard").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_parallel_sign_out_all_requests_succeeds() {
    let (portal, maria, caller) = Portal::with_browser().await;
    portal.desktop("mac").signed_in(&maria).await;

    let mut under_way = JoinSet::new();
    for _ in 0..20 {
        under_way.spawn(caller.delete("/api/v1/sessions?scope=all").into_future());
    }
    let responses = under_way.join_all().await;
    let (done, late): (Vec<_>, Vec<_>) = responses.into_iter().partition(|response| response.status == 200);
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].json(), json!({ "ended": 2 }));
    assert!(
        late.iter()
            .all(|response| response.end_reason() == "signed_out_everywhere")
    );
    assert_eq!(
        (
            portal.audit("session_ended").await.len(),
            portal.epoch(maria.id).await
        ),
        (2, 1)
    );
}

#[tokio::test]
async fn late_activity_flush_revives_no_session() {
    let (portal, _, chrome, mac) = Portal::with_devices().await;
    let began = portal.now();
    portal.advance(seconds(60)).await;

    mac.get("/api/v1/sessions").await.expect(200);
    chrome.revoke_scope("others").await;
    let ended = portal.session_row(mac.session()).await;
    portal.write_activity().await;
    assert_eq!(portal.session_row(mac.session()).await, ended);
    assert_eq!(
        (ended.last_active_at, ended.end_reason.as_deref()),
        (began, Some("revoked"))
    );
    assert_eq!(mac.get("/api/v1/session_state").await.end_reason(), "revoked");
}

#[tokio::test]
async fn activity_flush_during_revocation_revives_no_session() {
    let (portal, _, chrome) = Portal::with_browser().await;
    portal.advance(seconds(60)).await;
    chrome.get("/dashboard").await.expect(200);

    // An uncommitted transaction is ending the session.
    let mut ending = portal.sql.begin().await.expect("a transaction");
    sqlx::query("UPDATE sessions SET ended_at = $2, end_reason = 'revoked' WHERE id = $1")
        .bind(chrome.session().0)
        .bind(portal.now())
        .execute(&mut *ending)
        .await
        .expect("ended");
    let writing = spawn({
        let state = portal.state.clone();
        async move { state.activity.flush(&state.database).await }
    });
    portal.until_waiting(1).await;
    ending.commit().await.expect("commit");
    writing.await.expect("ran").expect("written");
    assert_eq!(
        portal.end_reason(chrome.session()).await.as_deref(),
        Some("revoked")
    );
    assert_eq!(chrome.get("/api/v1/session_state").await.end_reason(), "revoked");
}

#[tokio::test]
async fn late_activity_wins_against_recording_the_expiry() {
    let portal = Portal::start().await;
    let node = portal.second_node().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(12 * 3600 - 1)).await;

    // The user acts in time, but the write waits; meanwhile another node sees the session expire.
    let mut busy = portal.sql.begin().await.expect("a transaction");
    sqlx::query("SELECT 1 FROM sessions WHERE id = $1 FOR UPDATE")
        .bind(chrome.session().0)
        .execute(&mut *busy)
        .await
        .expect("the session's row");
    let acting = spawn(chrome.get("/api/v1/sessions").into_future());
    portal.until_waiting(1).await;
    portal.clock.advance(seconds(1));
    let looking = chrome.clone().via(&node.router).get("/api/v1/session_state");
    let looking = spawn(looking.into_future());
    portal.until_waiting(2).await;
    busy.commit().await.expect("commit");

    acting.await.expect("the request task").expect(200);
    looking.await.expect("the request task");
    assert_eq!(portal.end_reason(chrome.session()).await, None);
    chrome.get("/api/v1/session_state").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_sign_ins_of_one_device_keep_one() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let mut under_way = JoinSet::new();
    for _ in 0..12 {
        under_way.spawn(portal.desktop("mac").spawn_sign_in(&maria));
    }
    for response in under_way.join_all().await {
        response.expect(201);
    }
    let open: i64 = portal
        .scalar("SELECT count(*) FROM sessions WHERE ended_at IS NULL")
        .await;
    assert_eq!((open, portal.rows("devices").await), (1, 1));
    assert_eq!(portal.audit("session_ended").await.len(), 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_progress_revive_no_revoked_session() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    for _ in 0..20 {
        let chrome = portal.browser(CHROME).signed_in(&maria).await;
        let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
        let mut under_way = JoinSet::new();
        for path in [
            "/dashboard",
            "/dashboard/settings",
            "/api/v1/sessions",
            "/api/session_state",
        ] {
            under_way.spawn(chrome.get(path).into_future());
        }
        firefox.revoke_scope("all").await;
        for response in under_way.join_all().await {
            assert!([200, 303, 401].contains(&response.status), "{response:#?}");
        }
        portal.write_activity().await;
        assert_eq!(
            chrome.get("/api/session_state").await.end_reason(),
            "signed_out_everywhere"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_networks_do_not_prevent_revocation() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    for round in 0..40_u8 {
        let mac = portal.desktop("mac").signed_in(&maria).await;
        let chrome = portal.browser(CHROME).signed_in(&maria).await;
        let mut requests = JoinSet::new();
        for network in 0..8 {
            let mac = mac.clone().at(&format!("10.{round}.{network}.1"));
            requests.spawn(async move { mac.get("/api/v1/session_state").await });
        }
        let end = chrome.delete(&format!("/api/v1/sessions/{}", mac.session()));
        requests.spawn(async move { end.await });
        for response in requests.join_all().await {
            assert!([200, 204, 401].contains(&response.status), "{response:#?}");
        }
        assert_eq!(portal.end_reason(mac.session()).await.as_deref(), Some("revoked"));
        chrome.sign_out().await;
    }
}

#[tokio::test]
async fn revoke_all_ends_parallel_sign_ins_with_records() {
    let portal = Portal::start().await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    portal.browser(CHROME).signed_in(&maria).await;
    // All users are listed and the first is locked; meanwhile another user signs in.
    let lock = HeldLock::of_user(&portal, &maria).await;
    let accounts = portal.accounts();
    let everyone = spawn(async move { accounts.revoke_everyone(None).await });
    lock.until_waiting(1).await;
    let late = portal.browser(FIREFOX).signed_in(&jonas).await;
    lock.release().await;
    assert_eq!(everyone.await.expect("done").expect("ended"), 2);
    assert!(portal.end_reason(late.session()).await.is_some());
    assert_eq!(portal.ends_of(late.session()).await.len(), 1);
    let events = portal.events("session_ended").await;
    assert!(events.iter().any(|event| event.session == Some(late.session())));
}

/// A browser that disconnects cancels its request at any point.
#[tokio::test]
async fn cancelled_request_leaves_no_open_transaction() {
    let portal = Portal::start().await;
    let database = &portal.state.database;
    for round in 0..300 {
        let beginning = {
            let database = database.clone();
            spawn(async move { drop(database.begin().await.expect("begun")) })
        };
        for _ in 0..round % 12 {
            tokio::task::yield_now().await;
        }
        beginning.abort();
        _ = beginning.await;
    }
    // Everything has returned to the pool once all connections can be acquired at once.
    let mut connections = Vec::new();
    let open = database.connections();
    for _ in 0..open.in_use + open.idle {
        connections.push(database.connection().await.expect("a connection"));
    }
    // A cancelled connection is closed; Postgres may notice a moment later.
    let open = async || {
        let open = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        let open: i64 = portal.scalar(open).await;
        open
    };
    tokio::time::timeout(Duration::from_secs(10), async { while open().await > 0 {} })
        .await
        .expect("transactions that nobody knows of");
}
