//! The network between server and Postgres drops packets, delays responses and loses them: requests fail for seconds, and
//! nobody restarts the server.

use std::time::{Duration, Instant};

use broker_portal::server::database::Database;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::time::timeout;

use crate::harness::*;

/// Part of a statement that only a revocation of one's own sessions prepares.
const REVOKE: &str = "ended_by = $4, ended_by_session = $5";

/// Returns a gauge or counter of `/metrics`.
async fn metric(server: &Server, name: &str) -> f64 {
    let response = server.get("/metrics", &Credential::Nothing).await.expect(200);
    let lines = response.body().lines();
    let line = lines
        .filter_map(|line| line.strip_prefix("broker_portal_"))
        .find_map(|line| line.strip_prefix(name));
    line.expect("a metric").trim().parse().expect("a number")
}

async fn is_live(postgres: &Postgres, session: &SignedIn) -> bool {
    sqlx::query_scalar("SELECT ended_at IS NULL FROM sessions WHERE id = $1::uuid")
        .bind(&session.id)
        .fetch_one(&postgres.sql)
        .await
        .expect("the session")
}

async fn last_active(postgres: &Postgres, session: &SignedIn) -> DateTime<Utc> {
    sqlx::query_scalar("SELECT last_active_at FROM sessions WHERE id = $1::uuid")
        .bind(&session.id)
        .fetch_one(&postgres.sql)
        .await
        .expect("the session")
}

async fn now(postgres: &Postgres) -> DateTime<Utc> {
    sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(&postgres.sql)
        .await
        .expect("the time")
}

/// Counts connections that listen to the event log and began after `then`.
async fn listeners_since(postgres: &Postgres, then: DateTime<Utc>) -> i64 {
    let listeners = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND backend_start > $1";
    sqlx::query_scalar(listeners)
        .bind(then)
        .fetch_one(&postgres.sql)
        .await
        .expect("pg_stat_activity")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_connections_recover_without_restart() {
    let postgres = Postgres::start("stalled").await;
    let people = TestAccounts::of(&postgres).await;
    let maria = people.broker("maria").await;
    people.close().await;
    let proxy = Proxy::start(&postgres).await;
    let mut server = Server::start_through(&proxy, &postgres).await;
    let caller = server.desktop(&maria, "caller").await;
    for round in 1..=2 {
        let watched = server.desktop(&maria, &format!("watched-{round}")).await;
        let mut stream = EventStream::open(server.address, &watched.credential).await;
        // As many connections as the pool holds, idle and in use.
        let mut busy = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let (address, credential) = (server.address, caller.credential.clone());
            busy.spawn(async move {
                Request::new("GET", "/api/v1/sessions", &credential)
                    .send(address)
                    .await
            });
        }
        let stalled_at = now(&postgres).await;
        proxy.stall_established();
        let stalled = Instant::now();
        let before = last_active(&postgres, &caller).await;
        let (mut refused, mut in_a_row) = (0, 0);
        wait_until("requests are answered again", async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let response = server.get("/api/v1/session_state", &caller.credential).await;
            assert!(response.status == 200 || response.is_valid_503(), "{response:?}");
            refused += usize::from(response.status == 503);
            in_a_row = if response.status == 200 { in_a_row + 1 } else { 0 };
            in_a_row >= 20
        })
        .await;
        let recovered = stalled.elapsed() - 20 * Duration::from_millis(200);
        for response in busy.join_all().await {
            let response = response.expect("a response");
            assert!(response.status == 200 || response.is_valid_503(), "{response:?}");
        }
        print_result(&format!(
            "every connection stalled: {refused} times 503, all well after {} ms",
            recovered.as_millis()
        ));
        // The stalled connections stay stalled, so none is in use.
        wait_until("no connection is in use", async || {
            metric(&server, "database_connections{state=\"in_use\"}").await == 0.0
        })
        .await;
        wait_until("activity is written", async || {
            server
                .get("/api/v1/sessions", &caller.credential)
                .await
                .expect(200);
            last_active(&postgres, &caller).await > before
        })
        .await;
        // The listener's connection was stalled silently. Its events arrive late until another one listens.
        wait_until("another connection listens", async || {
            listeners_since(&postgres, stalled_at).await > 0
        })
        .await;
        let path = format!("/api/v1/sessions/{}", watched.id);
        server
            .send(Request::new("DELETE", &path, &caller.credential))
            .await
            .expect(204);
        stream.read_until("event: session_ended").await;
        wait_until("the server is ready", async || {
            server.get("/readyz", &Credential::Nothing).await.status == 200
        })
        .await;
    }
    assert!(server.still_runs());
}

/// Longer than any deadline of the pool, shorter than TCP takes to give up.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

async fn in_time<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    let waited = timeout(LONGEST_WAIT, waiting).await;
    waited.unwrap_or_else(|_| panic!("no deadline: {what}"))
}

/// Leaves this many idle connections that were in use a moment ago.
async fn rest(database: &Database, count: usize) {
    let mut in_use = Vec::new();
    for _ in 0..count {
        in_use.push(database.connection().await.expect("a connection"));
    }
    drop(in_use);
    wait_until("no connection is in use", async || {
        database.connections().in_use == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wait_for_stalled_connections_has_a_deadline() {
    let postgres = Postgres::start("deadlines").await;
    let proxy = Proxy::start(&postgres).await;
    let database = Database::connect(proxy.url()).await.expect("a database");

    let mut conn = database.connection().await.expect("a connection");
    proxy.stall_established();
    let statement = sqlx::query("SELECT 1").execute(&mut *conn);
    assert!(in_time("statement", statement).await.is_err());
    drop(conn);

    rest(&database, 1).await;
    proxy.stall_established();
    let transaction = in_time("BEGIN", database.begin())
        .await
        .expect("another connection");
    proxy.stall_established();
    drop(transaction);
    let released = wait_until("released", async || database.connections().in_use == 0);
    in_time("rollback", released).await;

    let transaction = database.begin().await.expect("a transaction");
    proxy.stall_established();
    // Another connection reports the rollback.
    assert!(in_time("COMMIT", transaction.commit()).await.is_err());

    rest(&database, 5).await;
    proxy.stall_established();
    // The pool checks connections that were idle for a second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let began = Instant::now();
    let mut acquired = Vec::new();
    for _ in 0..5 {
        let acquiring = in_time("check", database.connection()).await;
        acquired.push(acquiring.expect("another connection"));
    }
    // One check took its two seconds. After it the pool replaces the other connections without a check.
    let taken = began.elapsed();
    assert!(taken < Duration::from_secs(6), "{taken:?}");
    drop(acquired);

    proxy.stall_all();
    // Until no connection is left.
    while in_time("connecting", database.connection()).await.is_ok() {}
}

/// Returns the result of a revocation whose COMMIT meets a fault.
async fn revoke_during(fault: Fault) -> (Response, bool) {
    let postgres = Postgres::start(&format!("commit-{fault:?}")).await;
    let people = TestAccounts::of(&postgres).await;
    let maria = people.broker("maria").await;
    people.close().await;
    let proxy = Proxy::start(&postgres).await;
    let server = Server::start_through(&proxy, &postgres).await;
    let caller = server.desktop(&maria, "caller").await;
    let other = server.desktop(&maria, "other").await;
    // No connection has prepared the statement yet.
    proxy.on_commit_after(REVOKE, fault);
    let path = format!("/api/v1/sessions/{}", other.id);
    let response = server
        .send(Request::new("DELETE", &path, &caller.credential))
        .await;
    assert_eq!(proxy.pending_faults(), 0, "the commit was hit");
    proxy.resume();
    let live = is_live(&postgres, &other).await;
    let accepted = async || {
        server
            .get("/api/v1/session_state", &other.credential)
            .await
            .status
            == 200
    };
    wait_until("the portal agrees", async || accepted().await == live).await;
    (response, live)
}

fn code(response: &Response) -> Value {
    response.json()["code"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_commit_answer_is_verified() {
    for fault in [Fault::StallAnswer, Fault::CutAnswer, Fault::ResetAnswer] {
        let (response, live) = revoke_during(fault).await;
        assert_eq!((response.status, live), (204, false), "{fault:?}: {response:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_that_never_arrived_changes_nothing() {
    let (response, live) = revoke_during(Fault::StallRequest).await;
    assert_eq!(
        (response.status, code(&response), live),
        (503, "unavailable".into(), true),
        "{response:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unverifiable_commit_is_reported_as_unknown() {
    let (response, live) = revoke_during(Fault::StallAnswerAndAll).await;
    assert_eq!(
        (response.status, code(&response), live),
        (503, "outcome_unknown".into(), false),
        "{response:?}"
    );
    assert!(!response.body().contains("Nothing was changed"), "{response:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_answers_never_deny_a_revocation() {
    let postgres = Postgres::start("slow").await;
    let people = TestAccounts::of(&postgres).await;
    let maria = people.broker("maria").await;
    people.close().await;
    let proxy = Proxy::start(&postgres).await;
    let server = Server::start_through(&proxy, &postgres).await;
    let caller = server.desktop(&maria, "caller").await;
    let mut responses = Vec::new();
    for n in 0..3 {
        let other = server.desktop(&maria, &format!("other-{n}")).await;
        proxy.delay_answers(Duration::from_millis(1100));
        let path = format!("/api/v1/sessions/{}", other.id);
        let began = Instant::now();
        let response = server
            .send(Request::new("DELETE", &path, &caller.credential))
            .await;
        proxy.delay_answers(Duration::ZERO);
        responses.push(format!(
            "{} after {} ms",
            response.status,
            began.elapsed().as_millis()
        ));
        // A transaction of a cancelled request is decided soon.
        wait_until("no transaction is open", async || {
            let open: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'broker-portal' AND state LIKE '% in transaction'",
            )
            .fetch_one(&postgres.sql)
            .await
            .expect("pg_stat_activity");
            open == 0
        })
        .await;
        let live = is_live(&postgres, &other).await;
        match response.status {
            204 => assert!(!live),
            503 if code(&response) == "unavailable" => assert!(live, "{response:?}"),
            503 => assert_eq!(code(&response), "outcome_unknown"),
            _ => panic!("{response:?}"),
        }
    }
    print_result(&format!(
        "with 1,100 ms added to every response of the database, revocations got: {}",
        responses.join(", ")
    ));
}
