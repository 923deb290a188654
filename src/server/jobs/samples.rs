//! Counts live sessions every few minutes, on one node at a time.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;

use crate::server::{
    clock::Clock,
    database::Database,
    lifecycle::{Job, SHORT},
    store::{job_runs, session_samples},
};

const NAME: &str = "session_samples";

const INTERVAL: Duration = Duration::from_secs(300);

/// Shorter than the interval, since the ticks of a node are not exact.
const APART: TimeDelta = TimeDelta::seconds(270);

/// Counts live sessions, unless another node did so within the interval. Returns whether it did.
///
/// # Errors
/// The database's.
pub async fn once(database: &Database, clock: &Clock) -> sqlx::Result<bool> {
    let mut tx = database.begin_unverified().await?;
    let now = clock.now();
    let ours = job_runs::start(&mut tx, NAME, APART, now).await?;
    if ours {
        session_samples::record(&mut tx, now).await?;
        job_runs::finish(&mut tx, NAME, &json!({}), now).await?;
    }
    tx.commit().await?;
    Ok(ours)
}

pub struct SampleSessions {
    pub clock: Clock,
    pub database: Database,
}

impl Job for SampleSessions {
    const NAME: &'static str = "samples";
    const LIMIT: Option<Duration> = Some(SHORT);

    fn interval(&self) -> Duration {
        INTERVAL
    }

    async fn round(&mut self) {
        if let Err(error) = once(&self.database, &self.clock).await {
            tracing::warn!(%error, "live sessions not counted");
        }
    }
}
