//! One private cluster for the process, with a database for each test.

use std::{
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use broker_portal::server::database::Database;
use private_postgres::{Cluster, ClusterOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use super::directory;

/// The database with pg_stat_statements, otherwise unused.
const MAINTENANCE: &str = "portal";
const TEMPLATE: &str = "template_of_tests";

/// Turn durability off: it costs time, and there is nothing to keep.
const SETTINGS: [(&str, &str); 7] = [
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("max_connections", "400"),
    ("autovacuum", "off"),
    ("shared_preload_libraries", "pg_stat_statements"),
    ("pg_stat_statements.max", "50000"),
];

static POSTGRES: LazyLock<Postgres> = LazyLock::new(Postgres::start);

struct Postgres {
    /// The directory of this process.
    directory: PathBuf,
    maintenance_url: String,
    commands: UnboundedSender<ClusterCommand>,
}

/// Commands for the thread of the cluster.
enum ClusterCommand {
    Create(oneshot::Sender<TestDatabase>),
    Drop(String),
}

/// The database of one test. Dropped with the value.
pub struct TestDatabase {
    pub name: String,
    pub url: String,
    /// `false`: in the test's own cluster, where nothing must be dropped.
    shared: bool,
}

impl TestDatabase {
    pub async fn create() -> Self {
        let (response, created) = oneshot::channel();
        POSTGRES
            .commands
            .send(ClusterCommand::Create(response))
            .unwrap_or_else(|_| panic!("the cluster's thread runs"));
        created.await.expect("a database for this test")
    }

    /// Wraps the database of a cluster that belongs to the test.
    pub fn of_own(url: &str) -> Self {
        Self {
            name: String::new(),
            url: url.to_owned(),
            shared: false,
        }
    }

    /// Counts the executed statements. Not counted: statements in the same message as `BEGIN`, settings of a new
    /// connection, and checks of new or idle connections, which replace a ping.
    pub async fn statements(&self) -> i64 {
        let mut maintenance = maintenance().await;
        sqlx::query_scalar(
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
            WHERE d.datname = $1 AND s.query NOT LIKE '%pg_current_xact_id()%' AND s.query NOT LIKE '%pg_is_in_recovery()%'
                AND s.query NOT LIKE '%set_config(%'",
        )
        .bind(&self.name)
        .fetch_one(&mut maintenance)
        .await
        .expect("pg_stat_statements")
    }

    /// Counts the transactions that took an id to verify their commit.
    pub async fn verified_transactions(&self) -> i64 {
        let mut maintenance = maintenance().await;
        sqlx::query_scalar(
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
            WHERE d.datname = $1 AND s.query LIKE '%pg_current_xact_id()%'",
        )
        .bind(&self.name)
        .fetch_one(&mut maintenance)
        .await
        .expect("pg_stat_statements")
    }

    /// Closes every connection and refuses new ones until [`Outage::end`].
    pub async fn disconnect(&self) -> Outage {
        let outage = Outage {
            name: self.name.clone(),
        };
        outage.allow_connections(false).await;
        // Wait for each, since a closing connection could respond once more.
        sqlx::query("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1")
            .bind(&self.name)
            .execute(&mut maintenance().await)
            .await
            .expect("terminate");
        outage
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if self.shared {
            drop(POSTGRES.commands.send(ClusterCommand::Drop(self.name.clone())));
        }
    }
}

/// A database that refuses connections.
#[must_use]
pub struct Outage {
    name: String,
}

impl Outage {
    pub async fn end(self) {
        self.allow_connections(true).await;
    }

    async fn allow_connections(&self, allowed: bool) {
        let statement = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allowed}", self.name);
        maintenance()
            .await
            .execute(AssertSqlSafe(statement))
            .await
            .expect("ALTER DATABASE");
    }
}

/// Starts a further cluster, for a test that stops it. Its directory is inside the process's own.
pub async fn private_cluster(name: &str) -> Cluster {
    start_cluster(&POSTGRES.directory.join(name))
        .await
        .expect("a cluster of one's own")
}

/// Returns an empty directory of this process that contains a small site.
pub fn site() -> PathBuf {
    POSTGRES.directory.join("site")
}

async fn maintenance() -> PgConnection {
    PgConnection::connect(&POSTGRES.maintenance_url)
        .await
        .expect("a connection to the maintenance database")
}

async fn start_cluster(data_dir: &Path) -> Result<Cluster, String> {
    let settings = SETTINGS
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let options = ClusterOptions {
        data_dir: data_dir.to_path_buf(),
        settings,
    };
    Cluster::start(options).await.map_err(|error| error.to_string())
}

impl Postgres {
    /// Runs the cluster in its own thread, since each test's runtime ends with the test.
    fn start() -> Self {
        let (response, started) = mpsc::channel();
        thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime for the cluster");
                runtime.block_on(async {
                    match prepare().await {
                        Ok((postgres, cluster, commands)) => {
                            drop(response.send(Ok(postgres)));
                            run_commands(&cluster, commands).await;
                        }
                        Err(error) => drop(response.send(Err(error))),
                    }
                });
            })
            .expect("a thread for the cluster");
        let started = started
            .recv()
            .unwrap_or_else(|_| Err("its thread panicked".to_owned()));
        started.unwrap_or_else(|error| panic!("Postgres for the tests does not start: {error}"))
    }
}

async fn prepare() -> Result<(Postgres, Cluster, UnboundedReceiver<ClusterCommand>), String> {
    let directory = directory::create().map_err(|error| error.to_string())?;
    lay_out_site(&directory.join("site")).map_err(|error| error.to_string())?;
    let cluster = start_cluster(&directory).await?;
    let maintenance_url = cluster.url(MAINTENANCE);
    let build = async {
        let mut maintenance = PgConnection::connect(&maintenance_url).await?;
        maintenance.execute("CREATE EXTENSION pg_stat_statements").await?;
        maintenance
            .execute(AssertSqlSafe(format!("CREATE DATABASE {TEMPLATE}")))
            .await?;
        maintenance.close().await
    };
    build.await.map_err(|error: sqlx::Error| error.to_string())?;
    let template = Database::connect(&cluster.url(TEMPLATE))
        .await
        .map_err(|error| error.to_string())?;
    template.migrate().await.map_err(|error| error.to_string())?;
    template.close().await;
    let (commands, received) = unbounded_channel();
    Ok((
        Postgres {
            directory,
            maintenance_url,
            commands,
        },
        cluster,
        received,
    ))
}

/// Creates one database at a time, because two cannot copy the template at once. Dropping waits for a checkpoint, so it
/// runs in the background.
async fn run_commands(cluster: &Cluster, mut commands: UnboundedReceiver<ClusterCommand>) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mut maintenance = PgConnection::connect(&cluster.url(MAINTENANCE))
        .await
        .expect("a connection");
    let (dropped, dropping) = unbounded_channel();
    tokio::spawn(drop_databases(cluster.url(MAINTENANCE), dropping));
    while let Some(order) = commands.recv().await {
        match order {
            ClusterCommand::Create(response) => {
                let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
                let statement = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy");
                maintenance
                    .execute(AssertSqlSafe(statement))
                    .await
                    .expect("CREATE DATABASE");
                drop(response.send(TestDatabase {
                    url: cluster.url(&name),
                    name,
                    shared: true,
                }));
            }
            ClusterCommand::Drop(name) => drop(dropped.send(name)),
        }
    }
}

async fn drop_databases(url: String, mut names: UnboundedReceiver<String>) {
    let mut maintenance = PgConnection::connect(&url).await.expect("a connection");
    while let Some(name) = names.recv().await {
        let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        #[expect(clippy::print_stderr, reason = "for whoever watches the tests")]
        if let Err(error) = maintenance.execute(AssertSqlSafe(statement)).await {
            eprintln!("{name} is left behind: {error}");
        }
    }
}

/// Creates one file of each kind, so that tests do not depend on the last build.
fn lay_out_site(site: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(site.join("pkg"))?;
    for (name, text) in [
        ("pkg/portal.js", "export default function () {}\n"),
        ("favicon.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n"),
        ("robots.txt", "User-agent: *\nDisallow: /\n"),
        ("failure.css", "body { margin: 0 }\n"),
    ] {
        std::fs::write(site.join(name), text)?;
    }
    Ok(())
}
