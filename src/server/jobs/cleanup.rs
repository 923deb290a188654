//! Cleans up every now and then, on one node at a time.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::time::{MissedTickBehavior, interval};

use crate::server::{
    clock::Clock,
    config::Config,
    database::Database,
    lifecycle::heartbeat::{Heartbeats, LONG},
    services::cleanup::{self, CleanupReport},
    telemetry::metrics::{CleanupRun, Metrics},
};

/// Cleans up at once and then at the configured interval, until the task is ended. A failure is logged, and tried again
/// at the next interval.
pub async fn run(
    clock: Clock,
    database: Database,
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    jobs: Heartbeats,
) {
    let mut ticks = interval(config.cleanup_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Other nodes tick too: whoever comes within the interval has nothing to do. A little less than the interval,
        // since the ticks of one node are not that exact.
        let apart = TimeDelta::from_std(config.cleanup_interval.mul_f64(0.9)).unwrap_or(TimeDelta::zero());
        let retention = cleanup::retention(config.retention);
        let cleaning = cleanup::run_unless_recent(&database, &clock, retention, apart);
        let cleaned = jobs.round("cleanup", LONG, cleaning).await;
        metrics.cleanup_runs.count(CleanupRun::of(&cleaned));
        match cleaned {
            Ok(Some(report)) => tracing::info!(?report, "cleaned up"),
            Ok(None) => tracing::debug!("another node has cleaned up"),
            Err(error) => tracing::warn!(%error, "the clean-up broke off; the next one goes on"),
        }
    }
}

impl CleanupRun {
    fn of(cleaned: &sqlx::Result<Option<CleanupReport>>) -> Self {
        match cleaned {
            Ok(Some(_)) => CleanupRun::Finished,
            Ok(None) => CleanupRun::NotOurTurn,
            Err(_) => CleanupRun::Failed,
        }
    }
}
