//! Looks after the database: what is the matter with it, what to do about each ([`advice`]), and doing it.
//!
//! What others do is theirs: a transaction that somebody left open is named and never ended from here.

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

/// What the portal is set to, as far as upkeep goes by it.
#[derive(Clone, Copy, Debug)]
pub struct MaintenanceSettings {
    pub cleanup_interval: Duration,
    /// How long ended sessions are kept.
    pub retention: Duration,
}

/// How the database is.
#[derive(Clone, Debug, Serialize)]
pub struct MaintenanceReport {
    pub at: DateTime<Utc>,
    pub database: DatabaseOverview,
    pub tables: Vec<TableStats>,
    pub indexes: Vec<IndexStats>,
    /// The oldest first.
    pub open_transactions: Vec<OpenTransaction>,
    pub keeping: PendingCleanup,
    pub advice: Vec<Advice>,
}

/// Something that was done, or tried.
#[derive(Clone, Debug, Serialize)]
pub struct ActionResult {
    pub action: MaintenanceAction,
    pub seconds: f64,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Looks at the database, which the connection is the owner's of, and at what to do.
///
/// # Errors
/// The database's.
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

/// Does what is advised, one after the other, whatever becomes of those before. `before` hears of each as it begins, and
/// `after` of what came of it. The connection is the owner's; what the server does too runs on `database`.
///
/// # Errors
/// The database does not answer at all.
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
        let began = Instant::now();
        let done = perform(conn, database, clock, settings, action).await;
        let step = ActionResult {
            action: action.clone(),
            seconds: began.elapsed().as_secs_f64(),
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
