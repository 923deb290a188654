//! How a server is: for load balancers, for operators, and for Prometheus.
//!
//! A check that is *required* takes a server out of rotation when it fails: requests would fail too, or people would learn of
//! the end of a session late. The others tell of work that is behind on every server alike: answering 503 for it would
//! take the whole portal down for what nobody notices yet.

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
    lifecycle::heartbeat::Heartbeats,
    services::cleanup,
    state::AppState,
    store::{
        audit_chain::{self, SealBacklog},
        events, job_runs,
    },
    telemetry::metrics::{self, Gauges},
};

/// Audit rows are sealed every second; one that has waited so long is told of.
const MAX_SEAL_LAG: Duration = Duration::from_secs(60);

/// How long the database may take to answer everything. Those who ask give up after three seconds, commonly.
const DATABASE_DEADLINE: Duration = Duration::from_millis(2500);

/// A clean-up that is late by more than an interval and this has not just been slow.
const CLEANUP_GRACE: Duration = Duration::from_secs(60);

/// `/healthz`: the process answers. `/readyz`: what it rests on is well too. `/metrics`: how it does.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(show_metrics))
}

/// One thing that the server rests on. Its Display is one line.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// The server is not ready without it.
    pub required: bool,
    /// What is wrong, in one line.
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

/// How everything stands.
#[derive(Clone, Debug)]
pub struct Health {
    pub checks: Vec<Check>,
    /// What the work beside requests has left behind. `None`: the database does not tell.
    pub work: Option<BackgroundWork>,
}

/// How far the work is that goes on beside requests, on whichever server.
#[derive(Clone, Copy, Debug)]
pub struct BackgroundWork {
    /// When a clean-up was finished last.
    pub cleaned_up: Option<DateTime<Utc>>,
    /// What of the audit log waits to be sealed.
    pub unsealed: SealBacklog,
    /// When this was so.
    pub at: DateTime<Utc>,
}

impl Health {
    /// Of a running server.
    pub async fn check_server(state: &AppState) -> Self {
        let (mut checks, work) = check_database(&state.database, Some(&state.clock)).await;
        let deaf = (!state.hub.is_listening()).then(|| {
            "nothing is heard of the database: ended sessions are refused, but open pages learn of it late"
                .to_owned()
        });
        checks.push(Check::required("listener", deaf));
        checks.push(Check::required("jobs", jobs_problem(&state.jobs)));
        Self::with_work(checks, work, state.config.cleanup_interval)
    }

    /// Of a database, for a command. Whether one server's listener is well only that server knows; a command sees whether any
    /// listens.
    pub async fn check_database(database: &Database, cleanup_interval: Duration) -> Self {
        let (mut checks, work) = check_database(database, None).await;
        let heard = match &work {
            Some(_) => {
                let hearing = async { events::has_listener(&mut *database.connection().await?).await };
                timeout(DATABASE_DEADLINE, hearing)
                    .await
                    .unwrap_or(Err(sqlx::Error::PoolTimedOut))
            }
            None => Err(sqlx::Error::PoolTimedOut),
        };
        let deaf = match heard {
            Ok(true) => None,
            Ok(false) => Some("no server listens to this database".to_owned()),
            Err(_) => Some(UNKNOWN.to_owned()),
        };
        checks.push(Check::advisory("listener", deaf));
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

    /// Requests would be answered as they should.
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.ok || !check.required)
    }
}

const UNKNOWN: &str = "not known: the database does not tell";

impl BackgroundWork {
    async fn load(database: &Database, now: DateTime<Utc>) -> sqlx::Result<Self> {
        let conn = &mut *database.connection().await?;
        Ok(Self {
            cleaned_up: job_runs::load_last_finished(conn, cleanup::JOB).await?,
            unsealed: audit_chain::load_backlog(conn).await?,
            at: now,
        })
    }

    /// How long ago a clean-up was finished.
    pub fn since_cleanup(&self) -> Option<Duration> {
        self.cleaned_up
            .map(|then| (self.at - then).to_std().unwrap_or_default())
    }

    /// How long the oldest audit row has waited that is not sealed; zero for none.
    pub fn seal_lag(&self) -> Duration {
        let since = self.unsealed.since.map(|since| (self.at - since).to_std());
        since.and_then(Result::ok).unwrap_or_default()
    }

    /// A new database has nothing to clean up; the first clean-up begins with the first server.
    fn cleanup_problem(&self, interval: Duration) -> Option<String> {
        let since = self.since_cleanup()?;
        (since > interval.saturating_mul(2).saturating_add(CLEANUP_GRACE)).then(|| {
            format!(
                "the last clean-up was finished {} seconds ago; one is due every {}",
                since.as_secs(),
                interval.as_secs()
            )
        })
    }

    fn seal_problem(&self) -> Option<String> {
        let lag = self.seal_lag();
        (lag > MAX_SEAL_LAG).then(|| {
            format!(
                "{} audit rows wait to be sealed, the oldest for {} seconds",
                self.unsealed.rows,
                lag.as_secs()
            )
        })
    }
}

/// Asks the database: whether it answers, whether its schema is ours, how far the work is. By the database's own time where
/// there is no clock. What it has not answered by the deadline is not known.
async fn check_database(database: &Database, clock: Option<&Clock>) -> (Vec<Check>, Option<BackgroundWork>) {
    let mut answers = DatabaseAnswers::default();
    drop(timeout(DATABASE_DEADLINE, answers.query(database, clock)).await);
    let migrations = match answers.pending {
        Some(0) => None,
        Some(pending) => Some(format!("{pending} not applied; run `broker-portal migrate`")),
        None if answers.has_answered => Some("not known".to_owned()),
        None => Some("not known: the database does not answer".to_owned()),
    };
    // Not the error's own words: they hold addresses and names of the database.
    let problem = match database.refusal() {
        Some(refusal) => Some(refusal.to_string()),
        None => (!answers.has_answered).then(|| "does not answer".to_owned()),
    };
    let checks = vec![
        Check::required("database", problem),
        Check::required("migrations", migrations),
    ];
    (checks, answers.work)
}

/// What the database has answered so far.
#[derive(Debug, Default)]
struct DatabaseAnswers {
    has_answered: bool,
    /// Migrations that are not applied.
    pending: Option<usize>,
    work: Option<BackgroundWork>,
}

impl DatabaseAnswers {
    async fn query(&mut self, database: &Database, clock: Option<&Clock>) {
        let Ok(time) = database.time().await else {
            return;
        };
        self.has_answered = true;
        self.pending = database.pending_migrations().await.ok();
        self.work = BackgroundWork::load(database, clock.map_or(time, Clock::now))
            .await
            .ok();
    }
}

fn jobs_problem(jobs: &Heartbeats) -> Option<String> {
    let hung = jobs.hung();
    let hung: Vec<String> = hung
        .iter()
        .map(|(job, taken)| format!("{job} has not finished for {} seconds", taken.as_secs()))
        .collect();
    (!hung.is_empty()).then(|| hung.join("; "))
}

async fn ready(State(state): State<AppState>) -> impl IntoResponse {
    let health = Health::check_server(&state).await;
    let status = if health.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let answer = serde_json::json!({ "ready": health.is_ready(), "checks": health.checks });
    (status, Json(answer))
}

/// Out of memory only: a scrape costs the database nothing, and is answered while it is away.
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
            tracing::error!(%error, "the metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
