//! Clean-up: records expired sessions and deletes rows past retention.

use broker_portal::server::{
    services::cleanup::{self, CleanupReport},
    store::sessions,
};
use chrono::TimeDelta;
use sqlx::AssertSqlSafe;

use crate::harness::*;

const DAY: u64 = 24 * 3600;

/// Runs a statement in the portal's database.
async fn execute(portal: &Portal, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&portal.sql)
        .await
        .expect("executed");
}

/// Returns the name of a portal's database.
async fn database(portal: &Portal) -> String {
    portal.scalar("SELECT current_database()::text").await
}

/// Runs the hourly job of a node.
async fn job(portal: &Portal) -> Result<Option<CleanupReport>, sqlx::Error> {
    let retention = TimeDelta::days(30);
    let apart = TimeDelta::seconds(3240);
    cleanup::run_unless_recent(&portal.state.database, &portal.clock, retention, apart).await
}

#[tokio::test]
async fn cleanup_records_expired_sessions_and_keeps_live_ones() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let guest = portal.user("guest").role(Role::Guest).create().await;
    let worn_out = portal.browser(FIREFOX).signed_in(&maria).await;
    let mut others = Vec::new();
    for hour in [8, 16, 24] {
        portal.advance(seconds(8 * 3600 - 60)).await;
        worn_out.get("/dashboard").await.expect(200);
        if hour == 8 {
            others.push(portal.browser(CHROME).signed_in(&maria).await);
            others.push(portal.desktop("mac").signed_in(&maria).await);
        }
    }
    let [idle, desktop] = &others[..] else {
        panic!("two")
    };
    let live = portal.browser(SAFARI).signed_in(&maria).await;
    let of_guest = portal.browser(CHROME).signed_in(&guest).await;
    portal.advance(seconds(180)).await;

    let report = portal.clean_up().await;
    assert_eq!(
        report,
        CleanupReport {
            ended: 3,
            ..CleanupReport::default()
        }
    );
    portal.assert_ended(idle.session(), "idle_timeout").await;
    portal.assert_ended(desktop.session(), "idle_timeout").await;
    portal.assert_ended(worn_out.session(), "lifetime_exceeded").await;
    for row in portal.audit("session_ended").await {
        assert_eq!(
            (row.user, row.actor, row.at),
            (Some(maria.id), None, portal.now())
        );
    }
    let active: bool = portal.scalar("SELECT is_active FROM devices").await;
    assert!(!active);
    live.get("/dashboard").await.expect(200);
    assert!(of_guest.is_live().await);
    assert_eq!(idle.end_reason().await, "idle_timeout");
}

#[tokio::test]
async fn cleanup_skips_sessions_before_their_expiry() {
    for (role, idle) in [
        (Role::Guest, DAY),
        (Role::Broker, DAY / 2),
        (Role::Admin, DAY / 6),
    ] {
        let portal = Portal::start().await;
        let person = portal.user("someone").role(role).create().await;
        let chrome = portal.browser(CHROME).signed_in(&person).await;
        portal.advance(seconds(idle - 1)).await;
        assert_eq!(portal.clean_up().await.ended, 0, "{role}");
        assert!(chrome.is_live().await);
        portal.advance(seconds(1)).await;
        assert_eq!(portal.clean_up().await.ended, 1, "{role}");
    }
}

#[tokio::test]
async fn cleanup_handles_hundreds_with_any_batch_size() {
    let portal = Portal::with(&[("PORTAL_MAX_SESSIONS_BROKER", "1000")]).await;
    let maria = portal.broker("maria").await;
    portal.browser(CHROME).signed_in(&maria).await;
    execute(
        &portal,
        "INSERT INTO sessions (id, user_id, kind, credential_hash, epoch, created_at, authenticated_at,
            last_active_at, last_seen_at, ip_address, user_agent)
        SELECT gen_random_uuid(), user_id, kind, sha256(n::text::bytea), epoch, created_at, authenticated_at,
            last_active_at, last_seen_at, ip_address, user_agent FROM sessions, generate_series(1, 449) n",
    )
    .await;
    portal.advance(seconds(DAY)).await;
    let live = portal.browser(CHROME).signed_in(&maria).await;
    assert_eq!(portal.clean_up().await.ended, 450);
    assert_eq!(portal.audit("session_ended").await.len(), 450);
    assert_eq!(portal.events("session_ended").await.len(), 450);
    assert_eq!(portal.live_sessions(maria.id).await, [live.session()]);
    portal.advance(seconds(30 * DAY + 1)).await;
    let report = portal.clean_up().await;
    assert_eq!((report.ended, report.sessions_deleted), (1, 450));
}

#[tokio::test]
async fn ended_sessions_are_deleted_after_thirty_days() {
    let (portal, maria, chrome, mac) = Portal::with_devices().await;
    mac.refresh().await.expect(200);
    for client in [&chrome, &mac] {
        client.revoke_scope("current").await;
    }
    portal.clean_up().await;
    let tables = [
        "sessions",
        "refresh_tokens",
        "session_networks",
        "security_notices",
    ];
    let rows = async || {
        let mut rows = Vec::new();
        for table in tables {
            rows.push(portal.rows(table).await);
        }
        rows
    };
    assert_eq!(rows().await, [2, 2, 2, 1]);
    let audit = portal.rows("audit_events").await;

    portal.advance(seconds(30 * DAY)).await;
    let live = portal.browser(FIREFOX).signed_in(&maria).await;
    let before = rows().await;
    assert_eq!(portal.clean_up().await.sessions_deleted, 0);
    assert_eq!(rows().await, before);
    assert_eq!(chrome.end_reason().await, "signed_out");

    portal.advance(seconds(1)).await;
    assert_eq!(portal.clean_up().await.sessions_deleted, 2);
    assert_eq!(rows().await, [1, 0, 1, 1]);
    assert_eq!(chrome.end_reason().await, "unknown");
    mac.refresh().await.expect(401);
    assert!(live.is_live().await);
    // Kept: the audit log, and what identifies the user's devices.
    assert_eq!(portal.rows("audit_events").await, audit + 2);
    assert_eq!(
        (portal.rows("known_browsers").await, portal.rows("devices").await),
        (2, 1)
    );
}

#[tokio::test]
async fn retention_is_configurable() {
    let portal = Portal::with(&[("PORTAL_RETENTION_DAYS", "2")]).await;
    let maria = portal.broker("maria").await;
    portal.browser(CHROME).signed_in(&maria).await.sign_out().await;
    portal.advance(seconds(2 * DAY)).await;
    assert_eq!(portal.clean_up().await.sessions_deleted, 0);
    portal.advance(seconds(1)).await;
    assert_eq!(portal.clean_up().await.sessions_deleted, 1);
}

#[tokio::test]
async fn expired_events_browsers_and_devices_are_deleted() {
    let (portal, _, chrome, mac) = Portal::with_devices().await;
    mac.revoke_scope("current").await;
    chrome.sign_out().await;
    let events = u64::try_from(portal.rows("session_events").await).expect("a count");

    portal.advance(seconds(DAY)).await;
    // Attempt counts.
    assert_eq!(portal.clean_up().await.attempts_deleted, 2);
    portal.advance(seconds(6 * DAY)).await;
    assert_eq!(portal.clean_up().await, CleanupReport::default());
    portal.advance(seconds(1)).await;
    let report = portal.clean_up().await;
    assert_eq!(
        report,
        CleanupReport {
            events_deleted: events,
            ..CleanupReport::default()
        }
    );
    portal.advance(seconds(173 * DAY - 1)).await;
    let report = portal.clean_up().await;
    assert_eq!(
        report,
        CleanupReport {
            sessions_deleted: 2,
            ..CleanupReport::default()
        }
    );
    portal.advance(seconds(1)).await;
    let report = portal.clean_up().await;
    assert_eq!(
        (report.known_browsers_forgotten, report.devices_forgotten),
        (1, 1)
    );
    assert_eq!(portal.clean_up().await, CleanupReport::default());
}

#[tokio::test]
async fn cleanup_skips_extended_sessions() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let other = portal.browser(FIREFOX).signed_in(&maria).await;
    portal.advance(seconds(DAY / 2 - 1)).await;

    // The user extends in time, but the write commits after the expiry.
    let mut extending = portal.sql.begin().await.expect("a transaction");
    sqlx::query("UPDATE sessions SET last_active_at = $2 WHERE id = $1")
        .bind(chrome.session().0)
        .bind(portal.now())
        .execute(&mut *extending)
        .await
        .expect("extended");
    portal.clock.advance(seconds(1));
    let report = tokio::time::timeout(seconds(5), portal.clean_up()).await;
    assert_eq!(report.expect("nobody is waited for").ended, 1);
    extending.commit().await.expect("commit");
    portal.assert_ended(other.session(), "idle_timeout").await;
    assert_eq!(portal.end_reason(chrome.session()).await, None);
    assert!(chrome.is_live().await);
    assert_eq!(portal.clean_up().await.ended, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmed_extensions_survive_parallel_cleanup() {
    let portal = Portal::start().await;
    let node = portal.second_node().await;
    let maria = portal.broker("maria").await;
    let (mut lived, mut ended) = (0, 0);
    // Searches for the moment at which both meet: a shorter wait after each session that lived, else a longer one.
    let mut wait = std::time::Duration::from_micros(100);
    for round in 0..60 {
        let chrome = portal.browser(CHROME).signed_in(&maria).await;
        portal.advance(seconds(DAY / 2 - 1)).await;
        let extending = chrome.clone().via(&node.router).post("/api/v1/session/extend");
        let extending = tokio::spawn(extending.into_future());
        tokio::time::sleep(wait).await;
        portal.clock.advance(seconds(1));
        portal.clean_up().await;
        let response = extending.await.expect("the request task");
        let live = chrome.is_live().await;
        // Extended explicitly, or by activity in the last second.
        assert!(live || response.status == 401, "round {round}: {response:#?}");
        if live {
            lived += 1;
            wait /= 2;
        } else {
            ended += 1;
            wait = wait * 2 + std::time::Duration::from_micros(20);
        }
        chrome.delete("/api/v1/sessions?scope=current").await;
    }
    assert!(lived > 5 && ended > 5, "{lived} lived, {ended} ended");
}

#[tokio::test]
async fn sessions_extended_before_their_lock_stay() {
    let (portal, _, chrome) = Portal::with_browser().await;
    let mut tx = portal.state.database.begin().await.expect("a transaction");
    // As if found expired by a statement that began before an extension was committed.
    let found = [chrome.session()];
    let ended = sessions::record_expiry(&mut tx, &found, portal.now())
        .await
        .expect("judged");
    assert!(ended.is_empty());
    tx.commit().await.expect("committed");
    assert!(chrome.is_live().await);
}

#[tokio::test]
async fn extensions_of_recorded_expiries_are_rejected() {
    let (portal, _, chrome) = Portal::with_browser().await;
    // Like clean-up, which does not lock the user.
    let mut ending = portal.sql.begin().await.expect("a transaction");
    sqlx::query("UPDATE sessions SET ended_at = $2, end_reason = 'idle_timeout' WHERE id = $1")
        .bind(chrome.session().0)
        .bind(portal.now())
        .execute(&mut *ending)
        .await
        .expect("ended");
    let extending = tokio::spawn(chrome.post("/api/v1/session/extend").into_future());
    portal.until_waiting(1).await;
    ending.commit().await.expect("commit");
    extending.await.expect("the request task").expect(401);
}

#[tokio::test]
async fn one_node_cleans_up_at_a_time() {
    let portal = Portal::start().await;
    let (first, second) = tokio::join!(job(&portal), job(&portal));
    let reports = [first.expect("ran"), second.expect("ran")];
    assert_eq!(reports.iter().flatten().count(), 1);
    assert_eq!(portal.rows("job_runs").await, 1);
    portal.advance(seconds(3239)).await;
    assert_eq!(job(&portal).await.expect("ran"), None);
    portal.advance(seconds(1)).await;
    assert!(job(&portal).await.expect("ran").is_some());
}

#[tokio::test]
async fn interrupted_cleanup_keeps_progress_and_the_next_continues() {
    let (portal, _, idle) = Portal::with_browser().await;
    portal.advance(seconds(DAY / 2)).await;
    // The audit row of this expiry cannot be written, so the expiry is not recorded.
    let refuse = "ALTER TABLE audit_events ADD CONSTRAINT refused CHECK (kind <> 'session_ended') NOT VALID";
    execute(&portal, refuse).await;
    job(&portal).await.expect_err("the audit row is refused");
    assert_eq!(portal.end_reason(idle.session()).await, None);
    execute(&portal, "ALTER TABLE audit_events DROP CONSTRAINT refused").await;
    portal.advance(seconds(3600)).await;
    let report = job(&portal).await.expect("ran").expect("its turn");
    assert_eq!(report.ended, 1);
    portal.assert_ended(idle.session(), "idle_timeout").await;
    assert_eq!(job(&portal).await.expect("ran"), None);
}

#[tokio::test]
async fn parallel_and_repeated_cleanup_is_harmless() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(portal.browser(CHROME).signed_in(&maria).await);
    }
    portal.advance(seconds(DAY / 2)).await;
    let (first, second) = tokio::join!(portal.clean_up(), portal.clean_up());
    assert_eq!(first.ended + second.ended, 5);
    for client in &clients {
        portal.assert_ended(client.session(), "idle_timeout").await;
    }
    assert_eq!(portal.clean_up().await, CleanupReport::default());
}

#[tokio::test]
async fn database_time_zone_changes_nothing() {
    for zone in ["Pacific/Kiritimati", "America/St_Johns", "Europe/Berlin"] {
        let portal = Portal::start().await;
        let name = database(&portal).await;
        execute(&portal, &format!("ALTER DATABASE {name} SET timezone = '{zone}'")).await;
        let node = portal.second_node().await;
        let maria = portal.broker("maria").await;
        let there = portal.browser(CHROME).via(&node.router);
        let chrome = there.clone().signed_in(&maria).await;
        let clean_up = async || {
            let retention = TimeDelta::days(30);
            let database = &node.state.database;
            cleanup::run_cleanup(database, &portal.clock, retention)
                .await
                .expect("cleaned up")
        };
        let set: String = sqlx::query_scalar("SELECT current_setting('timezone')")
            .fetch_one(&mut *node.state.database.connection().await.expect("a connection"))
            .await
            .expect("a setting");
        assert_eq!(set, "UTC", "whatever the database is set to");

        portal.advance(seconds(DAY / 2 - 1)).await;
        assert_eq!(clean_up().await.ended, 0, "{zone}");
        chrome.post("/api/v1/session/extend").await.expect(200);
        portal.advance(seconds(DAY / 2 - 1)).await;
        assert!(chrome.is_live().await, "{zone}");
        portal.advance(seconds(1)).await;
        assert_eq!(clean_up().await.ended, 1, "{zone}");
        portal.assert_ended(chrome.session(), "idle_timeout").await;
        portal.advance(seconds(30 * DAY)).await;
        assert_eq!(clean_up().await.sessions_deleted, 0, "{zone}");
        portal.advance(seconds(1)).await;
        assert_eq!(clean_up().await.sessions_deleted, 1, "{zone}");
    }
}
