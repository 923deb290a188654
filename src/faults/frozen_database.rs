//! Postgres is frozen with open connections: health checks respond in time.

use std::time::{Duration, Instant};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::harness::*;

/// Longer than the checks' own deadline, shorter than any other.
const SOON: Duration = Duration::from_secs(8);

/// Stops every process of Postgres until it is dropped.
struct Frozen(Vec<Pid>);

impl Frozen {
    async fn freeze(postgres: &Postgres) -> Self {
        let pids: Vec<i32> = sqlx::query_scalar("SELECT pid FROM pg_stat_activity")
            .fetch_all(&postgres.sql)
            .await
            .expect("pg_stat_activity");
        // The postmaster first, so that it starts no new process.
        let pids = std::iter::once(postgres.postmaster().await).chain(pids);
        let frozen = Self(pids.map(Pid::from_raw).collect());
        for pid in &frozen.0 {
            _ = kill(*pid, Signal::SIGSTOP);
        }
        frozen
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            _ = kill(*pid, Signal::SIGCONT);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_checks_answer_while_postgres_is_frozen() {
    let postgres = Postgres::start("frozen").await;
    drop(TestAccounts::of(&postgres).await);
    let server = Server::start(&postgres, &[]).await;
    let frozen = Frozen::freeze(&postgres).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let began = Instant::now();
        let ready = server.get("/readyz", &Credential::Nothing).await;
        assert_eq!(ready.status, 503, "{ready:?}");
        assert_eq!(ready.json()["checks"][0]["problem"], "does not respond");
        slowest = slowest.max(began.elapsed());
    }
    let began = Instant::now();
    let health = Server::command(&postgres).arg("health").output().await;
    let health = health.expect("broker-portal starts");
    assert!(!health.status.success(), "{health:?}");
    print_result(&format!(
        "while Postgres is frozen, /readyz says so after {} ms, `broker-portal health` after {} ms",
        slowest.as_millis(),
        began.elapsed().as_millis()
    ));
    assert!(slowest < SOON && began.elapsed() < SOON, "{slowest:?}");
    drop(frozen);
    wait_until("the server is ready again", async || {
        server.get("/readyz", &Credential::Nothing).await.status == 200
    })
    .await;
}
