//! Clean-up: records expiry, so that events and audit log are complete, and deletes old rows. Works in small batches and skips
//! locked rows, so that it blocks nobody.

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::json;

use super::{refresh, revoke};
use crate::server::{
    clock::Clock,
    database::Database,
    store::{
        alert_deliveries, alerts, audit::Actor, devices, events, job_runs, known_browsers, node_minutes,
        password_attempts, refresh_tokens, session_samples, sessions,
    },
};

/// The name of the job.
pub const JOB: &str = "cleanup";

/// Rows per transaction.
const BATCH: i64 = 200;

/// Longer than any client waits before it resumes its stream.
pub const KEEP_EVENTS: TimeDelta = TimeDelta::days(7);

/// The longest period that statistics show, plus a day.
const KEEP_STATISTICS: TimeDelta = TimeDelta::days(31);

/// A browser or desktop app without a sign-in for this long is unknown again.
const KEEP_KNOWN_CLIENTS: TimeDelta = TimeDelta::days(180);

/// The number of affected rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CleanupReport {
    /// Sessions whose expiry was recorded.
    pub ended: u64,
    /// Sessions past retention.
    pub sessions_deleted: u64,
    pub events_deleted: u64,
    pub attempts_deleted: u64,
    pub known_browsers_forgotten: u64,
    pub devices_forgotten: u64,
    /// Salts of refresh tokens past their grace period.
    pub salts_erased: u64,
    /// Cleared alerts past retention.
    pub alerts_deleted: u64,
    /// Webhook messages past retention: tests, and undelivered ones.
    pub deliveries_deleted: u64,
    /// Samples of live sessions and minutes of nodes that statistics do not show any more.
    pub figures_deleted: u64,
}

/// Runs a clean-up, unless one started less than `apart` ago. `None`: it did.
///
/// # Errors
/// Database errors.
pub async fn run_unless_recent(
    database: &Database,
    clock: &Clock,
    retention: TimeDelta,
    apart: TimeDelta,
) -> sqlx::Result<Option<CleanupReport>> {
    let mut tx = database.begin_unverified().await?;
    let ours = job_runs::start(&mut tx, JOB, apart, clock.now()).await?;
    tx.commit().await?;
    if !ours {
        return Ok(None);
    }
    let report = run_cleanup(database, clock, retention).await?;
    let mut tx = database.begin().await?;
    job_runs::finish(&mut tx, JOB, &json!(report), clock.now()).await?;
    tx.commit().await?;
    Ok(Some(report))
}

/// Runs all tasks.
///
/// # Errors
/// Database errors. Finished batches stay; the next clean-up continues.
pub async fn run_cleanup(
    database: &Database,
    clock: &Clock,
    retention: TimeDelta,
) -> sqlx::Result<CleanupReport> {
    let mut report = CleanupReport {
        ended: expire_sessions(database, clock).await?,
        ..CleanupReport::default()
    };
    report.sessions_deleted = run_in_batches(database, clock, CleanupTask::Sessions { retention }).await?;
    report.events_deleted = run_in_batches(database, clock, CleanupTask::Events).await?;
    report.attempts_deleted = run_in_batches(database, clock, CleanupTask::Attempts).await?;
    report.known_browsers_forgotten = run_in_batches(database, clock, CleanupTask::KnownBrowsers).await?;
    report.devices_forgotten = run_in_batches(database, clock, CleanupTask::Devices).await?;
    report.salts_erased = run_in_batches(database, clock, CleanupTask::Salts).await?;
    report.alerts_deleted = run_in_batches(database, clock, CleanupTask::Alerts { retention }).await?;
    report.deliveries_deleted =
        run_in_batches(database, clock, CleanupTask::Deliveries { retention }).await?;
    report.figures_deleted = run_in_batches(database, clock, CleanupTask::Samples).await?;
    report.figures_deleted += run_in_batches(database, clock, CleanupTask::Minutes).await?;
    Ok(report)
}

/// Records the expiry of all expired sessions and returns their number.
///
/// # Errors
/// Database errors. Finished batches stay.
pub async fn expire_sessions(database: &Database, clock: &Clock) -> sqlx::Result<u64> {
    let mut total = 0;
    loop {
        let (looked_at, ended) = expire_batch(database, clock).await?;
        total += ended;
        if looked_at == 0 {
            return Ok(total);
        }
    }
}

/// Records the expiry of a batch. Returns the number of checked and of ended sessions.
async fn expire_batch(database: &Database, clock: &Clock) -> sqlx::Result<(usize, u64)> {
    let mut tx = database.begin().await?;
    let locked = sessions::lock_expired(&mut tx, BATCH, clock.now()).await?;
    // Check again: nobody can extend the sessions while they are locked.
    let now = clock.now();
    let ended = sessions::record_expiry(&mut tx, &locked, now).await?;
    revoke::record_ended(&mut tx, &ended, None, Actor::default(), now).await?;
    tx.commit().await?;
    Ok((locked.len(), ended.len() as u64))
}

/// What a clean-up deletes.
#[derive(Clone, Copy)]
enum CleanupTask {
    Sessions { retention: TimeDelta },
    Events,
    Attempts,
    KnownBrowsers,
    Devices,
    Salts,
    Alerts { retention: TimeDelta },
    Deliveries { retention: TimeDelta },
    Samples,
    Minutes,
}

/// Repeats a task until a batch is empty, and returns the number of rows.
async fn run_in_batches(database: &Database, clock: &Clock, task: CleanupTask) -> sqlx::Result<u64> {
    let now = clock.now();
    let mut total = 0;
    loop {
        let mut tx = database.begin_unverified().await?;
        let done = match task {
            CleanupTask::Sessions { retention } => {
                sessions::delete_ended_before(&mut tx, now - retention, BATCH).await?
            }
            CleanupTask::Events => events::delete_before(&mut tx, now - KEEP_EVENTS, BATCH).await?,
            CleanupTask::Attempts => password_attempts::delete_expired(&mut tx, now, BATCH).await?,
            CleanupTask::KnownBrowsers => {
                known_browsers::delete_unused_before(&mut tx, now - KEEP_KNOWN_CLIENTS, BATCH).await?
            }
            CleanupTask::Devices => {
                devices::delete_unused_before(&mut tx, now - KEEP_KNOWN_CLIENTS, BATCH).await?
            }
            CleanupTask::Salts => {
                refresh_tokens::erase_salts_before(&mut tx, now - refresh::GRACE, BATCH).await?
            }
            CleanupTask::Alerts { retention } => {
                alerts::delete_cleared_before(&mut tx, now - retention, BATCH).await?
            }
            CleanupTask::Deliveries { retention } => {
                alert_deliveries::delete_before(&mut tx, now - retention, BATCH).await?
            }
            CleanupTask::Samples => {
                session_samples::delete_before(&mut tx, now - KEEP_STATISTICS, BATCH).await?
            }
            CleanupTask::Minutes => {
                node_minutes::delete_before(&mut tx, now - KEEP_STATISTICS, BATCH).await?
            }
        };
        tx.commit().await?;
        total += done;
        if done == 0 {
            return Ok(total);
        }
    }
}

/// Converts the configured retention.
pub fn retention(configured: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(configured).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_retention_does_not_overflow() {
        let now = chrono::DateTime::UNIX_EPOCH;
        assert!(now - retention(std::time::Duration::from_secs(1_000_000 * 86_400)) < now);
    }
}
