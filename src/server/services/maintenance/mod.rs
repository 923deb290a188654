//! Database maintenance: reports the state, suggests actions ([`advice`]) and runs them.
//!
//! Never ends transactions of others: it only reports them.

#![expect(
    clippy::disallowed_types,
    reason = "a command's work takes as long as it takes, and its operator can stop it"
)]

mod advice;

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgConnection;

pub use self::advice::{Advice, MaintenanceAction, describe_transaction, human_bytes};
use super::{audit_chain, cleanup};
use crate::server::{
    clock::Clock,
    database::Database,
    store::maintenance::{
        self as store, DatabaseOverview, IndexStats, OpenTransaction, PendingCleanup, TableStats,
    },
};

/// The settings of the portal that affect maintenance.
#[derive(Clone, Copy, Debug)]
pub struct MaintenanceSettings {
    pub cleanup_interval: Duration,
    /// How long ended sessions are kept.
    pub retention: Duration,
}

/// The state of the database.
#[derive(Clone, Debug, Serialize)]
pub struct MaintenanceReport {
    pub at: DateTime<Utc>,
    pub database: DatabaseOverview,
    pub tables: Vec<TableStats>,
    pub indexes: Vec<IndexStats>,
    /// Oldest first.
    pub open_transactions: Vec<OpenTransaction>,
    pub keeping: PendingCleanup,
    pub advice: Vec<Advice>,
}

/// The result of an action.
#[derive(Clone, Debug, Serialize)]
pub struct ActionResult {
    pub action: MaintenanceAction,
    pub seconds: f64,
    /// The error, if the action failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Inspects the database and adds advice. Needs a connection of the owner role.
///
/// # Errors
/// Database errors.
pub async fn inspect(
    conn: &mut PgConnection,
    settings: MaintenanceSettings,
    now: DateTime<Utc>,
) -> sqlx::Result<MaintenanceReport> {
    let retention = cleanup::retention(settings.retention);
    let mut report = MaintenanceReport {
        at: now,
        database: store::load_overview(conn).await?,
        tables: store::list_tables(conn).await?,
        indexes: store::list_indexes(conn).await?,
        open_transactions: store::list_open_transactions(conn).await?,
        keeping: store::load_pending_cleanup(conn, cleanup::JOB, retention, cleanup::KEEP_EVENTS, now)
            .await?,
        advice: Vec::new(),
    };
    report.advice = advice::advise(&report, settings);
    Ok(report)
}

/// Runs all suggested actions in order, even if one fails. Calls `before` and `after` for each action. `conn` is a connection
/// of the owner role; actions that the server also runs use `database`.
///
/// # Errors
/// The database does not respond.
pub async fn apply_advice(
    conn: &mut PgConnection,
    (database, clock): (&Database, &Clock),
    settings: MaintenanceSettings,
    advice: &[Advice],
    mut before: impl FnMut(&MaintenanceAction),
    mut after: impl FnMut(&ActionResult),
) -> sqlx::Result<Vec<ActionResult>> {
    store::set_lock_timeout(conn).await?;
    let mut steps = Vec::new();
    for action in advice.iter().filter_map(|advice| advice.action.as_ref()) {
        before(action);
        let started = Instant::now();
        let done = perform(conn, database, clock, settings, action).await;
        let step = ActionResult {
            action: action.clone(),
            seconds: started.elapsed().as_secs_f64(),
            problem: done.err().map(|error| error.to_string()),
        };
        after(&step);
        steps.push(step);
    }
    Ok(steps)
}

async fn perform(
    conn: &mut PgConnection,
    database: &Database,
    clock: &Clock,
    settings: MaintenanceSettings,
    action: &MaintenanceAction,
) -> sqlx::Result<()> {
    match action {
        MaintenanceAction::CleanUp => {
            let retention = cleanup::retention(settings.retention);
            cleanup::run_unless_recent(database, clock, retention, TimeDelta::zero())
                .await
                .map(drop)
        }
        MaintenanceAction::Seal => audit_chain::seal_all(database, clock).await.map(drop),
        MaintenanceAction::Vacuum { table, freeze } => store::vacuum(conn, table, *freeze).await,
        MaintenanceAction::Reindex { index } => store::reindex(conn, index).await,
        MaintenanceAction::DropIndex { index } => store::drop_index(conn, index).await,
    }
}
