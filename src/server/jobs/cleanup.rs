//! Cleans up at the configured interval, on one node at a time.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;

use crate::server::{
    clock::Clock,
    config::Config,
    database::Database,
    lifecycle::{Job, LONG},
    services::cleanup::{self, CleanupReport},
    telemetry::{labels::CleanupRun, metrics::Metrics},
};

pub struct CleanUp {
    pub clock: Clock,
    pub database: Database,
    pub config: Arc<Config>,
    pub metrics: Arc<Metrics>,
}

impl Job for CleanUp {
    const NAME: &'static str = "cleanup";
    const LIMIT: Option<Duration> = Some(LONG);

    fn interval(&self) -> Duration {
        self.config.cleanup_interval
    }

    async fn round(&mut self) {
        // Other nodes tick too: only the first within the interval cleans up. Shorter than the interval, since the ticks of
        // a node are not exact.
        let apart = TimeDelta::from_std(self.interval().mul_f64(0.9)).unwrap_or(TimeDelta::zero());
        let retention = cleanup::retention(self.config.retention);
        let outcome = cleanup::run_unless_recent(&self.database, &self.clock, retention, apart).await;
        self.metrics.cleanup_runs.count(CleanupRun::of(&outcome));
        match outcome {
            Ok(Some(report)) => tracing::info!(?report, "cleanup finished"),
            Ok(None) => tracing::debug!("cleanup skipped, another node ran it"),
            Err(error) => tracing::warn!(%error, "cleanup failed, the next one continues"),
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
