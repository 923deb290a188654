//! The connection pool and what the server does with it.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection, PgPool, migrate::Migrator, postgres::PgPoolOptions};

use super::{
    connection::LeasedConnection,
    connection_checks::ConnectionChecks,
    connector::Connector,
    error::DatabaseError,
    failure::{AbandonReason, WriteRefusal, is_broken_connection},
    migrations,
    server_role::{self, SERVER_ROLE},
    session_settings::SessionSettings,
    transaction::Transaction,
};
use crate::server::telemetry::{labels::NoConnection, metrics::DatabaseMetrics, traces};

/// How long to wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long to try other connections when those of the pool are broken.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(5);

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The database as the server uses it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    pub(super) connector: Connector,
    pub(super) settings: SessionSettings,
    pool: PgPool,
    pub(super) checks: ConnectionChecks,
    metrics: DatabaseMetrics,
}

/// Use of a pool's connections at one moment.
#[derive(Clone, Copy, Debug)]
pub struct PoolUsage {
    pub in_use: usize,
    pub idle: usize,
}

impl Database {
    /// Maximum size of the pool.
    pub const MAX_CONNECTIONS: u32 = 16;

    /// Connects to `url` as the owner, for migrations and [`Database::as_server`].
    ///
    /// # Errors
    /// [`DatabaseError`] if the URL is wrong, the database does not respond, or it is older than Postgres 15.
    pub async fn connect(url: &str) -> Result<Self, DatabaseError> {
        let connector = Connector::probe(url).await?;
        let (settings, checks) = (SessionSettings::for_requests(), ConnectionChecks::default());
        let opened = pool_options(&connector, &settings, &checks)
            .connect_with(connector.options(&settings))
            .await;
        let pool = opened.map_err(|error| match checks.refusal() {
            Some(refusal) => DatabaseError::Refused(refusal),
            None => DatabaseError::Unreachable(error),
        })?;
        let opened = Self {
            connector,
            settings,
            pool,
            checks,
            metrics: DatabaseMetrics::default(),
        };
        let version = opened.version().await.map_err(DatabaseError::Unreachable)?;
        if version < 150_000 {
            return Err(DatabaseError::TooOld(version / 10_000));
        }
        Ok(opened)
    }

    async fn version(&self) -> sqlx::Result<i32> {
        sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
            .fetch_one(&mut *self.connection().await?)
            .await
    }

    /// Uses the restricted server role on every connection, with which the audit log is append-only. If the role is not
    /// available, logs a warning and stays the owner.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database does not respond.
    pub async fn as_server(self) -> Result<Self, DatabaseError> {
        let mut conn = self.pool.acquire().await.map_err(DatabaseError::Unreachable)?;
        let problem = match server_role::can_use(&mut conn).await {
            Ok(true) => None,
            Ok(false) => Some("it may not do the server's work".to_owned()),
            Err(sqlx::Error::Database(error)) => Some(error.to_string()),
            Err(error) => return Err(DatabaseError::Unreachable(error)),
        };
        drop(conn);
        if let Some(problem) = problem {
            tracing::warn!(
                problem,
                "role {SERVER_ROLE} not available: the server runs as the database's owner, and only triggers protect the \
                 audit log"
            );
            return Ok(self);
        }
        // The role is available, so a connection without it must not be used.
        let settings = SessionSettings::for_requests().with_role(SERVER_ROLE);
        let tried = self.connector.connect(&settings).await;
        let closed = match tried {
            Ok(conn) => conn.close().await,
            Err(sqlx::Error::Configuration(problem)) => {
                return Err(DatabaseError::NotInForce(problem.to_string()));
            }
            Err(error) => Err(error),
        };
        closed.map_err(DatabaseError::Unreachable)?;
        let pool = pool_options(&self.connector, &settings, &self.checks)
            .connect_with(self.connector.options(&settings))
            .await
            .map_err(DatabaseError::Unreachable)?;
        self.pool.close().await;
        Ok(Self {
            pool,
            settings,
            ..self
        })
    }

    /// Updates the schema and the rights of the server role.
    ///
    /// # Errors
    /// [`DatabaseError::Migration`] with the migration that failed, [`DatabaseError::Rights`].
    pub async fn migrate(&self) -> Result<(), DatabaseError> {
        self.apply(&MIGRATIONS).await
    }

    /// Applies these migrations, then the rights of the server role. Ignores migrations of a newer server: they only
    /// add, so both versions work side by side.
    ///
    /// # Errors
    /// As for [`Self::migrate`].
    pub async fn apply(&self, migrations: &Migrator) -> Result<(), DatabaseError> {
        // Without the time limits of requests, which are too short for a large table.
        let mut conn = self.connect_without_limits().await?;
        let applied = migrations::apply(&mut conn, migrations).await;
        if applied.is_ok() {
            server_role::create(&mut conn)
                .await
                .map_err(DatabaseError::Rights)?;
        }
        // Closing the connection releases every lock.
        drop(conn.close().await);
        Ok(applied?)
    }

    /// Opens a connection outside the pool, as the owner and without the time limits of requests.
    ///
    /// # Errors
    /// [`DatabaseError::Unreachable`] if the database does not respond.
    pub async fn connect_without_limits(&self) -> Result<PgConnection, DatabaseError> {
        let settings = SessionSettings::for_long_work();
        self.connector
            .connect(&settings)
            .await
            .map_err(DatabaseError::Unreachable)
    }

    /// Counts the migrations of this build that the database lacks.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn pending_migrations(&self) -> sqlx::Result<usize> {
        let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE success")
            .fetch_one(&mut *self.connection().await?)
            .await?;
        Ok(MIGRATIONS
            .iter()
            .count()
            .saturating_sub(usize::try_from(applied).unwrap_or(usize::MAX)))
    }

    /// Returns the database's time.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn time(&self) -> sqlx::Result<DateTime<Utc>> {
        sqlx::query_scalar("SELECT clock_timestamp()")
            .fetch_one(&mut *self.connection().await?.quick())
            .await
    }

    /// Returns why the database is not used although it responds.
    pub fn refusal(&self) -> Option<WriteRefusal> {
        self.checks.refusal()
    }

    /// Returns a connection for statements outside a transaction.
    ///
    /// # Errors
    /// The database does not respond, or no connection became free.
    pub async fn connection(&self) -> sqlx::Result<LeasedConnection> {
        let part = traces::start_child("database connection");
        let began = Instant::now();
        let acquired = tokio::select! {
            acquired = self.pool.acquire() => acquired,
            // The pool itself would retry until its timeout.
            refusal = self.checks.wait_for_refusal() => Err(AbandonReason::Refused(refusal).into()),
        };
        drop(part);
        match &acquired {
            Ok(_) => self
                .metrics
                .connection_wait
                .observe(began.elapsed().as_secs_f64()),
            Err(error) => self.metrics.no_connection.count(match error {
                sqlx::Error::PoolTimedOut => NoConnection::TimedOut,
                sqlx::Error::PoolClosed => NoConnection::Closed,
                _ => NoConnection::Unreachable,
            }),
        }
        Ok(LeasedConnection::new(acquired?, self.checks.clone()))
    }

    /// Begins a transaction whose commit is verified if its response is lost. Skips broken connections, on which nothing
    /// has been done yet.
    ///
    /// # Errors
    /// The database does not respond, or no connection became free.
    pub async fn begin(&self) -> sqlx::Result<Transaction> {
        self.try_begin(true).await
    }

    /// Begins a transaction of a job that rarely writes and is repeated when it fails. Its commit is not verified, so that
    /// an idle server uses no transaction ids.
    ///
    /// # Errors
    /// The database does not respond, or no connection became free.
    pub async fn begin_unverified(&self) -> sqlx::Result<Transaction> {
        self.try_begin(false).await
    }

    async fn try_begin(&self, is_verified: bool) -> sqlx::Result<Transaction> {
        let until = Instant::now() + BEGIN_TIMEOUT;
        let mut broken = 0;
        loop {
            let part = traces::start_child("database transaction");
            let begun = async {
                let lease = self.connection().await?;
                if is_verified {
                    Transaction::begin(lease, self.clone(), part).await
                } else {
                    Transaction::begin_unverified(lease, self.clone(), part).await
                }
            }
            .await;
            match begun {
                Err(error)
                    if is_broken_connection(&error)
                        && !matches!(AbandonReason::of(&error), Some(AbandonReason::Refused(_)))
                        && broken < Self::MAX_CONNECTIONS
                        && Instant::now() < until =>
                {
                    broken += 1;
                }
                begun => return begun,
            }
        }
    }

    /// Begins a read-only transaction with one snapshot, for reading a large table.
    ///
    /// # Errors
    /// The database does not respond, or no connection became free.
    pub async fn begin_snapshot(&self) -> sqlx::Result<Transaction> {
        let part = traces::start_child("database transaction");
        Transaction::begin_snapshot(self.connection().await?, self.clone(), part).await
    }

    /// Returns the metrics of the connections.
    pub fn metrics(&self) -> &DatabaseMetrics {
        &self.metrics
    }

    /// Returns the use of the pool.
    pub fn connections(&self) -> PoolUsage {
        let idle = self.pool.num_idle();
        let open = usize::try_from(self.pool.size()).unwrap_or(usize::MAX);
        PoolUsage {
            in_use: open.saturating_sub(idle),
            idle,
        }
    }

    /// Waits for running statements, then closes the pool.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Configures the pool: every connection has these settings and is checked when it is new and after it was idle.
pub(super) fn pool_options(
    connector: &Connector,
    settings: &SessionSettings,
    checks: &ConnectionChecks,
) -> PgPoolOptions {
    let (connector, settings) = (connector.clone(), settings.clone());
    let (at_first, later) = (checks.clone(), checks.clone());
    PgPoolOptions::new()
        .max_connections(Database::MAX_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |conn, _| {
            let (connector, settings, checks) = (connector.clone(), settings.clone(), at_first.clone());
            Box::pin(async move {
                checks.after_connect(conn).await?;
                connector.prepare(conn, &settings).await
            })
        })
        // A check before each use would double the round trips under load; without checks, connections that broke while
        // idle would be used. Check only those that were idle.
        .test_before_acquire(false)
        .before_acquire(move |conn, rested| {
            let checks = later.clone();
            Box::pin(async move { Ok(checks.before_acquire(conn, rested.idle_for).await) })
        })
}
