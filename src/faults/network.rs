//! The network between server and Postgres drops packets, delays answers and loses them: requests fail for seconds, and
//! nobody restarts the server.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::*;

/// Part of a statement that only a revocation of one's own sessions prepares.
const REVOKE: &str = "ended_by = $4, ended_by_session = $5";

/// Returns a gauge or counter of `/metrics`.
async fn metric(server: &Server, name: &str) -> f64 {
    let answer = server.get("/metrics", &Credential::Nothing).await.expect(200);
    let lines = answer.body().lines();
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

async fn last_active(postgres: &Postgres, session: &SignedIn) -> chrono::DateTime<chrono::Utc> {
    sqlx::query_scalar("SELECT last_active_at FROM sessions WHERE id = $1::uuid")
        .bind(&session.id)
        .fetch_one(&postgres.sql)
        .await
        .expect("the session")
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
        proxy.stall_established();
        let stalled = Instant::now();
        let before = last_active(&postgres, &caller).await;
        let (mut refused, mut in_a_row) = (0, 0);
        wait_until("requests are answered again", async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let answer = server.get("/api/v1/session_state", &caller.credential).await;
            assert!(answer.status == 200 || answer.is_valid_503(), "{answer:?}");
            refused += usize::from(answer.status == 503);
            in_a_row = if answer.status == 200 { in_a_row + 1 } else { 0 };
            in_a_row >= 20
        })
        .await;
        let recovered = stalled.elapsed() - 20 * Duration::from_millis(200);
        for answer in busy.join_all().await {
            let answer = answer.expect("an answer");
            assert!(answer.status == 200 || answer.is_valid_503(), "{answer:?}");
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
        // The listener's connection was stalled silently.
        let path = format!("/api/v1/sessions/{}", watched.id);
        server
            .send(Request::new("DELETE", &path, &caller.credential))
            .await
            .expect(204);
        stream.until("event: session_ended").await;
        wait_until("the server is ready", async || {
            server.get("/readyz", &Credential::Nothing).await.status == 200
        })
        .await;
    }
    assert!(server.still_runs());
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
    let answer = server
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
    (answer, live)
}

fn code(answer: &Response) -> Value {
    answer.json()["code"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_commit_answer_is_verified() {
    for fault in [Fault::StallAnswer, Fault::CutAnswer, Fault::ResetAnswer] {
        let (answer, live) = revoke_during(fault).await;
        assert_eq!((answer.status, live), (204, false), "{fault:?}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_that_never_arrived_changes_nothing() {
    let (answer, live) = revoke_during(Fault::StallRequest).await;
    assert_eq!(
        (answer.status, code(&answer), live),
        (503, "unavailable".into(), true),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unverifiable_commit_is_reported_as_unknown() {
    let (answer, live) = revoke_during(Fault::StallAnswerAndAll).await;
    assert_eq!(
        (answer.status, code(&answer), live),
        (503, "outcome_unknown".into(), false),
        "{answer:?}"
    );
    assert!(!answer.body().contains("Nothing was changed"), "{answer:?}");
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
    let mut answers = Vec::new();
    for n in 0..3 {
        let other = server.desktop(&maria, &format!("other-{n}")).await;
        proxy.delay_answers(Duration::from_millis(1100));
        let path = format!("/api/v1/sessions/{}", other.id);
        let began = Instant::now();
        let answer = server
            .send(Request::new("DELETE", &path, &caller.credential))
            .await;
        proxy.delay_answers(Duration::ZERO);
        answers.push(format!(
            "{} after {} ms",
            answer.status,
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
        match answer.status {
            204 => assert!(!live),
            503 if code(&answer) == "unavailable" => assert!(live, "{answer:?}"),
            503 => assert_eq!(code(&answer), "outcome_unknown"),
            _ => panic!("{answer:?}"),
        }
    }
    print_result(&format!(
        "with 1,100 ms added to every answer of the database, revocations got: {}",
        answers.join(", ")
    ));
}
