//! A Postgres that belongs to one test, to break.

use std::path::PathBuf;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use private_postgres::{Cluster, ClusterOptions};
use sqlx::{PgPool, postgres::PgPoolOptions};

use super::{DIRECTORY, wait_until};

pub struct Postgres {
    data_dir: PathBuf,
    /// `None`: stopped.
    cluster: Option<Cluster>,
    pub url: String,
    /// The test's own connections. Connections of servers are named broker-portal, these are not.
    pub sql: PgPool,
}

impl Postgres {
    pub async fn start(name: &str) -> Self {
        Self::start_in(DIRECTORY.join(name)).await
    }

    /// Starts it with its files in this directory.
    pub async fn start_in(data_dir: PathBuf) -> Self {
        let cluster = start_cluster(&data_dir).await;
        let url = cluster.url("portal");
        let sql = PgPoolOptions::new().connect_lazy(&url).expect("an address");
        Self {
            data_dir,
            cluster: Some(cluster),
            url,
            sql,
        }
    }

    /// Returns its socket.
    pub fn socket(&self) -> PathBuf {
        let cluster = self.cluster.as_ref().expect("a Postgres that runs");
        let name = format!(".s.PGSQL.{}", cluster.port());
        cluster.socket_dir().join(name)
    }

    /// Stops it like its service would: connections close, committed data stays.
    pub async fn stop(&mut self) {
        let cluster = self.cluster.take().expect("a Postgres that runs");
        cluster.stop().await.expect("stopped");
    }

    /// Kills the postmaster, as the kernel does when memory runs out, and waits until another one is started.
    pub async fn crash(&self) {
        let id = self.postmaster().await;
        let folder = self.folder().await;
        let first_process = || postmaster_of(&folder);
        kill(Pid::from_raw(id), Signal::SIGKILL).expect("killed");
        wait_until("another Postgres is started", async || {
            first_process().is_some_and(|now| now != id)
        })
        .await;
    }

    /// Returns the process id of the postmaster.
    pub async fn postmaster(&self) -> i32 {
        postmaster_of(&self.folder().await).expect("a process")
    }

    async fn folder(&self) -> String {
        sqlx::query_scalar("SELECT current_setting('data_directory')")
            .fetch_one(&self.sql)
            .await
            .expect("its folder")
    }

    pub async fn start_again(&mut self) {
        self.cluster = Some(start_cluster(&self.data_dir).await);
    }

    /// Counts the connections of servers.
    pub async fn connections_of_servers(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'broker-portal'")
            .fetch_one(&self.sql)
            .await
            .expect("pg_stat_activity")
    }

    /// Counts ended sessions without exactly one audit row and one event with the same reason, and such rows and events
    /// without an ended session. Also returns the number of ended sessions.
    pub async fn unreported_ends(&self) -> (i64, i64) {
        sqlx::query_as(
            "WITH ends AS (SELECT id, end_reason AS reason FROM sessions WHERE ended_at IS NOT NULL),
                told AS (SELECT session_id AS id, reason FROM audit_events WHERE kind = 'session_ended'),
                sent AS (SELECT session_id AS id, reason FROM session_events WHERE kind = 'session_ended')
            SELECT
                (SELECT count(*) FROM ((TABLE ends EXCEPT ALL TABLE told) UNION ALL (TABLE told EXCEPT ALL TABLE ends)
                    UNION ALL (TABLE ends EXCEPT ALL TABLE sent) UNION ALL (TABLE sent EXCEPT ALL TABLE ends)) AS apart),
                (SELECT count(*) FROM ends)",
        )
        .fetch_one(&self.sql)
        .await
        .expect("the logs")
    }
}

fn postmaster_of(folder: &str) -> Option<i32> {
    let file = std::fs::read_to_string(format!("{folder}/postmaster.pid")).ok()?;
    file.lines().next()?.parse().ok()
}

async fn start_cluster(data_dir: &std::path::Path) -> Cluster {
    // Without fsync: the machine itself does not crash here, and a commit still counts.
    let settings = [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("autovacuum", "off"),
    ];
    let options = ClusterOptions {
        data_dir: data_dir.to_path_buf(),
        settings: settings
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
    };
    Cluster::start(options).await.expect("a Postgres of one's own")
}
