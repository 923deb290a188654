//! Health of a server, for load balancers, operators and Prometheus.
//!
//! A failed *required* check takes the server out of rotation: its requests would fail, or clients would learn late
//! about ended sessions. The other checks report background work that is late on all servers. Responding 503 for these
//! would take down the whole portal.

use std::{fmt, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::time::timeout;

use super::{
    clock::Clock,
    database::Database,
    lifecycle::Jobs,
    services::cleanup,
    state::AppState,
    store::{
        audit_chain::{self, SealBacklog},
        events, job_runs,
    },
    telemetry::metrics::{self, Gauges},
};

/// Audit rows are usually sealed within a second. An older unsealed row is reported.
const MAX_SEAL_LAG: Duration = Duration::from_secs(60);

/// Deadline for all queries of one check. Probes usually give up after three seconds.
const DATABASE_DEADLINE: Duration = Duration::from_millis(2500);

/// A clean-up may be late by one interval plus this time.
const CLEANUP_GRACE: Duration = Duration::from_secs(60);

/// `/healthz`: the process responds. `/readyz`: the server can serve requests. `/metrics`: for Prometheus.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(show_metrics))
}

/// The result of one health check. Displayed as one line.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// The server is not ready if this check fails.
    pub required: bool,
    /// One line; `None` if the check passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Check {
    fn required(name: &'static str, problem: Option<String>) -> Self {
        Self {
            name,
            ok: problem.is_none(),
            required: true,
            problem,
        }
    }

    fn advisory(name: &'static str, problem: Option<String>) -> Self {
        Self {
            required: false,
            ..Self::required(name, problem)
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, required, .. } = self;
        match &self.problem {
            None => write!(f, "{name}: ok"),
            Some(problem) if *required => write!(f, "{name}: {problem}"),
            Some(problem) => write!(f, "{name}: warning: {problem}"),
        }
    }
}

/// The result of all checks.
#[derive(Clone, Debug)]
pub struct Health {
    pub checks: Vec<Check>,
    /// `None`: the database did not respond.
    pub work: Option<BackgroundWork>,
}

/// The state of the background work, on whichever server it runs.
#[derive(Clone, Copy, Debug)]
pub struct BackgroundWork {
    /// When the last clean-up finished.
    pub cleaned_up: Option<DateTime<Utc>>,
    /// Audit rows that are not sealed yet.
    pub unsealed: SealBacklog,
    /// When this state was read.
    pub at: DateTime<Utc>,
}

impl Health {
    /// Checks a running server.
    pub async fn check_server(state: &AppState) -> Self {
        let (mut checks, work) = check_database(&state.database, Some(&state.clock)).await;
        let listener_problem = (!state.hub.is_listening()).then(|| {
            "listener disconnected: ended sessions are refused, but open pages are notified late".to_owned()
        });
        checks.push(Check::required("listener", listener_problem));
        checks.push(jobs(&state.jobs));
        Self::with_work(checks, work, state.config.cleanup_interval)
    }

    /// Checks a database, for a command. A command cannot see the listener of one server, only whether any server listens.
    pub async fn check_database(database: &Database, cleanup_interval: Duration) -> Self {
        let (mut checks, work) = check_database(database, None).await;
        let is_heard = match &work {
            Some(_) => {
                let hearing = async { events::has_listener(&mut *database.connection().await?).await };
                timeout(DATABASE_DEADLINE, hearing)
                    .await
                    .unwrap_or(Err(sqlx::Error::PoolTimedOut))
            }
            None => Err(sqlx::Error::PoolTimedOut),
        };
        let listener_problem = match is_heard {
            Ok(true) => None,
            Ok(false) => Some("no server listens to this database".to_owned()),
            Err(_) => Some(UNKNOWN.to_owned()),
        };
        checks.push(Check::advisory("listener", listener_problem));
        Self::with_work(checks, work, cleanup_interval)
    }

    fn with_work(mut checks: Vec<Check>, work: Option<BackgroundWork>, cleanup_interval: Duration) -> Self {
        let not_known = || Some(UNKNOWN.to_owned());
        let (overdue, lagging) = match &work {
            Some(work) => (work.cleanup_problem(cleanup_interval), work.seal_problem()),
            None => (not_known(), not_known()),
        };
        checks.push(Check::advisory("cleanup", overdue));
        checks.push(Check::advisory("audit_seal", lagging));
        Self { checks, work }
    }

    /// Whether all required checks passed.
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.ok || !check.required)
    }
}

const UNKNOWN: &str = "unknown: the database does not respond";

impl BackgroundWork {
    async fn load(database: &Database, now: DateTime<Utc>) -> sqlx::Result<Self> {
        let conn = &mut *database.connection().await?;
        Ok(Self {
            cleaned_up: job_runs::load_last_finished(conn, cleanup::JOB).await?,
            unsealed: audit_chain::load_backlog(conn).await?,
            at: now,
        })
    }

    /// Time since the last clean-up finished.
    pub fn since_cleanup(&self) -> Option<Duration> {
        self.cleaned_up
            .map(|then| (self.at - then).to_std().unwrap_or_default())
    }

    /// How long the oldest unsealed audit row has been waiting; zero if all are sealed.
    pub fn seal_lag(&self) -> Duration {
        let since = self.unsealed.since.map(|since| (self.at - since).to_std());
        since.and_then(Result::ok).unwrap_or_default()
    }

    /// A new database has nothing to clean up: the first server runs the first clean-up.
    fn cleanup_problem(&self, interval: Duration) -> Option<String> {
        let since = self.since_cleanup()?;
        (since > interval.saturating_mul(2).saturating_add(CLEANUP_GRACE)).then(|| {
            format!(
                "the last clean-up finished {} seconds ago; the interval is {} seconds",
                since.as_secs(),
                interval.as_secs()
            )
        })
    }

    fn seal_problem(&self) -> Option<String> {
        let lag = self.seal_lag();
        (lag > MAX_SEAL_LAG).then(|| {
            format!(
                "{} audit rows are not sealed, the oldest for {} seconds",
                self.unsealed.rows,
                lag.as_secs()
            )
        })
    }
}

/// Checks the connection, the migrations and the background work. Uses the database's time if there is no clock. Reports
/// as unknown what the database did not report within the deadline.
async fn check_database(database: &Database, clock: Option<&Clock>) -> (Vec<Check>, Option<BackgroundWork>) {
    let mut responses = DatabaseReadings::default();
    drop(timeout(DATABASE_DEADLINE, responses.query(database, clock)).await);
    let migrations = match responses.pending {
        Some(0) => None,
        Some(pending) => Some(format!("{pending} not applied; run `broker-portal migrate`")),
        None if responses.has_responded => Some("not known".to_owned()),
        None => Some("unknown: the database does not respond".to_owned()),
    };
    // The error's own text contains addresses and names.
    let problem = match database.refusal() {
        Some(refusal) => Some(refusal.to_string()),
        None => (!responses.has_responded).then(|| "does not respond".to_owned()),
    };
    let checks = vec![
        Check::required("database", problem),
        Check::required("migrations", migrations),
    ];
    (checks, responses.work)
}

/// The responses so far.
#[derive(Debug, Default)]
struct DatabaseReadings {
    has_responded: bool,
    /// Number of migrations that are not applied.
    pending: Option<usize>,
    work: Option<BackgroundWork>,
}

impl DatabaseReadings {
    async fn query(&mut self, database: &Database, clock: Option<&Clock>) {
        let Ok(time) = database.time().await else {
            return;
        };
        self.has_responded = true;
        self.pending = database.pending_migrations().await.ok();
        self.work = BackgroundWork::load(database, clock.map_or(time, Clock::now))
            .await
            .ok();
    }
}

/// A job that panicked is restarted, on every server alike: it takes none out of rotation.
fn jobs(jobs: &Jobs) -> Check {
    let hung: Vec<String> = jobs
        .hung()
        .iter()
        .map(|(job, taken)| format!("{job} has not finished for {} seconds", taken.as_secs()))
        .collect();
    let panicked = jobs.panicked();
    if hung.is_empty() && !panicked.is_empty() {
        return Check::advisory(
            "jobs",
            Some(format!("{} panicked in the last round", panicked.join(", "))),
        );
    }
    Check::required("jobs", (!hung.is_empty()).then(|| hung.join("; ")))
}

async fn ready(State(state): State<AppState>) -> impl IntoResponse {
    let health = Health::check_server(&state).await;
    let status = if health.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let response = serde_json::json!({ "ready": health.is_ready(), "checks": health.checks });
    (status, Json(response))
}

/// From memory only: a scrape costs the database nothing, and works while the database is down.
async fn show_metrics(State(state): State<AppState>) -> Response {
    let connections = state.database.connections();
    let text = state.metrics.render(&Gauges {
        open_streams: state.hub.open_streams(),
        connections_in_use: connections.in_use,
        connections_idle: connections.idle,
        connections_max: Database::MAX_CONNECTIONS,
        activity_waiting: state.activity.waiting(),
    });
    match text {
        Ok(text) => (
            [(CONTENT_TYPE, metrics::CONTENT_TYPE), (CACHE_CONTROL, "no-store")],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics not encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
