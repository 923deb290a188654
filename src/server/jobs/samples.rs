//! Counts live sessions every few minutes, on one node at a time.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::server::{
    clock::Clock,
    database::Database,
    lifecycle::heartbeat::{Heartbeats, SHORT},
    store::{job_runs, session_samples},
};

const JOB: &str = "session_samples";

const INTERVAL: Duration = Duration::from_secs(300);

/// A little less than the interval, since the ticks of a node are not that exact.
const APART: TimeDelta = TimeDelta::seconds(270);

/// Counts, unless another node has done so just now. Gives whether it did.
///
/// # Errors
/// The database's.
pub async fn once(database: &Database, clock: &Clock) -> sqlx::Result<bool> {
    let mut tx = database.begin_unverified().await?;
    let now = clock.now();
    let ours = job_runs::start(&mut tx, JOB, APART, now).await?;
    if ours {
        session_samples::record(&mut tx, now).await?;
        job_runs::finish(&mut tx, JOB, &json!({}), now).await?;
    }
    tx.commit().await?;
    Ok(ours)
}

/// Counts every five minutes until the task is ended.
pub async fn run(clock: Clock, database: Database, jobs: Heartbeats) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = jobs.round("samples", SHORT, once(&database, &clock)).await {
            tracing::warn!(%error, "live sessions could not be counted");
        }
    }
}
