//! The server's system clock jumps: no session ends early or late, since the portal uses the database's time.

use std::{fs, path::PathBuf, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::harness::*;

/// Changes the time of day of a process but not its monotonic clock, like a jump.
fn libfaketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    folders
        .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
        .find(|path| path.exists())
}

/// Returns the server's system time, from the last line of its log.
fn time_of(server: &Server) -> DateTime<Utc> {
    let log = server.log();
    let line = log
        .lines()
        .rfind(|line| line.contains("\"signed in\""))
        .expect("a line");
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let time = line["timestamp"].as_str().expect("a time");
    time.parse().expect("a time")
}

/// Returns the seconds from the database's time to the expiry that the client is told.
async fn left(server: &Server, postgres: &Postgres, session: &SignedIn) -> i64 {
    let state = server.get("/api/v1/session_state", &session.credential).await;
    let state = state.expect(200).json();
    let end = state["session"]["idle_expires_at"].as_str().expect("a time");
    let end: DateTime<Utc> = end.parse().expect("a time");
    let now: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(&postgres.sql)
        .await
        .expect("the database's time");
    (end - now).num_seconds()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn system_clock_jumps_change_no_session_expiry() {
    let Some(library) = libfaketime() else {
        print_result(
            "SKIPPED: no clock has jumped, for libfaketime is not installed (Debian: apt install libfaketime)",
        );
        return;
    };
    let postgres = Postgres::start("clock").await;
    let people = TestAccounts::of(&postgres).await;
    let (maria, jonas) = (people.broker("maria").await, people.broker("jonas").await);
    people.close().await;
    let time = DIRECTORY.join("time");
    fs::write(&time, "+0").expect("a time");
    let mut command = Server::command(&postgres);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &time)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        // Half of the jump.
        .env("PORTAL_SESSION_TIMEOUT_BROKER", "1800");
    let mut server = Server::run(command).await;
    let sessions = [server.browser(&maria).await, server.desktop(&maria, "mac").await];
    let over = server.desktop(&jonas, "pc").await;

    let (mut jumps, mut early, mut lived_on, mut wrong_ends) = (0, 0, 0, 0);
    for hours in [1, -1] {
        let before = time_of(&server);
        fs::write(&time, if hours > 0 { "+3600" } else { "-3600" }).expect("a time");
        let fresh = server.desktop(&maria, &format!("new-{hours}")).await;
        let jumped = time_of(&server) - before;
        assert!(jumped.abs() > TimeDelta::minutes(50), "{jumped}");
        jumps += 1;

        for session in &sessions {
            early += usize::from(!server.accepts(&session.credential).await);
            wrong_ends += usize::from(!(1700..=1801).contains(&left(&server, &postgres, session).await));
        }
        // A new session gets its full length.
        wrong_ends += usize::from(!(1700..=1801).contains(&left(&server, &postgres, &fresh).await));
        let body = json!({ "refresh_token": fresh.refresh_token });
        let refresh = Request::new("POST", "/api/v1/sessions/refresh", &Credential::Nothing).json(&body);
        let fresh = SignedIn::of_desktop(&server.send(refresh).await.expect(200));
        early += usize::from(!server.accepts(&fresh.credential).await);
    }

    // By a clock that is an hour slow, this session would have half an hour left. By the database's time it has
    // expired.
    let rested = "UPDATE sessions SET last_active_at = last_active_at - interval '31 minutes',
        last_seen_at = last_seen_at - interval '31 minutes', created_at = created_at - interval '31 minutes',
        authenticated_at = authenticated_at - interval '31 minutes' WHERE id = $1::uuid";
    sqlx::query(rested)
        .bind(&over.id)
        .execute(&postgres.sql)
        .await
        .expect("rested");
    lived_on += usize::from(server.accepts(&over.credential).await);
    let reason: Option<String> = sqlx::query_scalar("SELECT end_reason FROM sessions WHERE id = $1::uuid")
        .bind(&over.id)
        .fetch_one(&postgres.sql)
        .await
        .expect("the session");
    print_result(&format!(
        "the server's clock jumped {jumps} times, an hour on and two back: {early} sessions ended early, {lived_on} lived \
         on, {wrong_ends} were told another end"
    ));
    assert_eq!((early, lived_on, wrong_ends), (0, 0, 0));
    assert_eq!(reason.as_deref(), Some("idle_timeout"));
    assert!(server.still_runs());
}

/// Returns the database's time.
async fn database_time(postgres: &Postgres) -> DateTime<Utc> {
    sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(&postgres.sql)
        .await
        .expect("the database's time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clock_query_never_turns_clock_back() {
    let postgres = Postgres::start("slow-clock").await;
    let people = TestAccounts::of(&postgres).await;
    let (maria, admin) = (people.broker("maria").await, people.system_admin("ada").await);
    people.close().await;
    let proxy = Proxy::start(&postgres).await;
    // The first sample of startup and the next one: another attempt, or the correction after startup.
    for _ in 0..2 {
        proxy.on_statement("clock_timestamp", Fault::DelayAnswer(Duration::from_secs(2)));
    }
    let slow = Server::start_through(&proxy, &postgres).await;
    wait_until("both queries were delayed", async || proxy.pending_faults() == 0).await;
    let other = Server::start(&postgres, &[]).await;
    let admin = slow.desktop(&admin, "admin").await;

    let before = database_time(&postgres).await;
    let session = slow.desktop(&maria, "pc").await;
    let after = database_time(&postgres).await;
    let created: DateTime<Utc> = sqlx::query_scalar("SELECT created_at FROM sessions WHERE id = $1::uuid")
        .bind(&session.id)
        .fetch_one(&postgres.sql)
        .await
        .expect("the session");
    // Half of the longest round trip in a startup whose last sample was fast.
    let error = TimeDelta::milliseconds(500);
    assert!(
        created > before - error && created < after + error,
        "{created} is not from {before} to {after}"
    );

    let session = other.desktop(&maria, "mac").await;
    let body = json!({ "ids": [session.id] });
    let revoke = Request::new("POST", "/api/v1/admin/sessions/revoke", &admin.credential).json(&body);
    let revoked = slow.send(revoke).await.expect(200).json();
    assert_eq!(revoked["ended"], 1, "{revoked}");
    assert!(!other.accepts(&session.credential).await && !slow.accepts(&session.credential).await);
}
