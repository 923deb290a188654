//! Waiting statements hold every connection of the pool: other requests are refused soon, open streams need no
//! connection and miss nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use broker_portal::server::database::Database;
use tokio::task::JoinSet;

use crate::harness::*;

/// Number of other requests to refuse before the pool is released.
const REFUSED: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exhausted_pool_refuses_requests_and_streams_miss_nothing() {
    let postgres = Postgres::start("exhausted").await;
    let people = TestAccounts::of(&postgres).await;
    let (maria, jonas) = (people.broker("maria").await, people.broker("jonas").await);
    let mut server = Server::start(&postgres, &[]).await;
    people.close().await;
    let address = server.address;
    let stuck = server.desktop(&maria, "stuck").await;
    let other = server.desktop(&jonas, "other").await;
    let watched = server.desktop(&jonas, "watched").await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(EventStream::open(address, &watched.credential).await);
    }

    // Maria's row is locked, and more of her requests wait for it than there are connections.
    let mut holding = postgres.sql.begin().await.expect("a transaction");
    sqlx::query("SELECT 1 FROM users WHERE email = $1 FOR UPDATE")
        .bind(&maria)
        .execute(&mut *holding)
        .await
        .expect("her row");
    let held = Arc::new(AtomicBool::new(true));
    let counted = Arc::new(AtomicUsize::new(0));
    let mut waiting = JoinSet::new();
    for _ in 0..3 * Database::MAX_CONNECTIONS {
        let (held, counted, credential) = (held.clone(), counted.clone(), stuck.credential.clone());
        waiting.spawn(async move {
            let mut wrong = Vec::new();
            while held.load(Ordering::Relaxed) && wrong.is_empty() {
                let end = Request::new("DELETE", "/api/v1/sessions?scope=others", &credential);
                match end.send(address).await {
                    // The row was released.
                    Ok(response) if response.status == 200 => {}
                    Ok(response) if response.is_valid_503() => _ = counted.fetch_add(1, Ordering::Relaxed),
                    other => wrong.push(format!("{other:?}")),
                }
            }
            wrong
        });
    }
    wait_until("every connection is held", async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE application_name = 'broker-portal' AND wait_event_type = 'Lock'";
        let waiting: i64 = sqlx::query_scalar(waiting)
            .fetch_one(&postgres.sql)
            .await
            .expect("pg_stat_activity");
        // The listener's connection belongs to the pool too.
        waiting >= i64::from(Database::MAX_CONNECTIONS) - 1
    })
    .await;

    // An operator's command, with its own connections, ends the session of the stream.
    let revoke = ["sessions", "revoke", "--id", &watched.id];
    let revoked = Server::command(&postgres).args(revoke).output().await;
    let revoked = revoked.expect("broker-portal starts");
    assert!(revoked.status.success(), "{revoked:?}");

    let (mut refused, mut slowest, mut wrong) = (0, Duration::ZERO, Vec::new());
    while refused < REFUSED && wrong.is_empty() {
        let began = Instant::now();
        let response = server.get("/api/v1/session_state", &other.credential).await;
        // The row stays locked until this loop ends, so the response waited for nobody.
        match response.status {
            503 if response.is_valid_503() => {
                refused += 1;
                slowest = slowest.max(began.elapsed());
            }
            200 => {}
            _ => wrong.push(format!("{response:?}")),
        }
        let health = server.get("/healthz", &Credential::Nothing).await;
        assert_eq!(health.status, 200, "{health:?}");
    }
    held.store(false, Ordering::Relaxed);
    holding.commit().await.expect("commit");
    for responses in waiting.join_all().await {
        wrong.extend(responses);
    }

    let mut missed = 0;
    for stream in &mut streams {
        stream.read_until("event: session_ended").await;
        missed += usize::from(!stream.read_to_end().await);
    }
    assert!(server.accepts(&stuck.credential).await);
    assert!(server.accepts(&other.credential).await);
    assert!(!server.accepts(&watched.credential).await);
    print_result(&format!(
        "with all {} connections held: {} times 503, the slowest of others' after {} ms; {} wrong responses; of {} \
         streams that were open {missed} missed their end",
        Database::MAX_CONNECTIONS,
        refused + counted.load(Ordering::Relaxed),
        slowest.as_millis(),
        wrong.len(),
        streams.len()
    ));
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(missed, 0);
    assert!(server.still_runs());
}
