//! Writes the server's health into the metrics every ten seconds, so that a scrape needs no database.

use std::time::Duration;

use crate::server::{
    health::Health,
    lifecycle::{Job, SHORT},
    state::AppState,
};

/// Runs all health checks and writes the results into the metrics.
pub async fn update_metrics(state: &AppState) {
    let health = Health::check_server(state).await;
    let checks = health.checks.iter().map(|check| (check.name, check.ok));
    state.metrics.set_readiness(health.is_ready(), checks);
    // Without a response of the database the last values stay.
    if let Some(work) = health.work {
        state.metrics.set_unsealed(work.unsealed.rows, work.seal_lag());
        if let Some(since) = work.since_cleanup() {
            state.metrics.set_cleanup_age(since);
        }
    }
}

pub struct CheckHealth {
    pub state: AppState,
}

impl Job for CheckHealth {
    const NAME: &'static str = "health_check";
    const LIMIT: Option<Duration> = Some(SHORT);

    fn interval(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn round(&mut self) {
        update_metrics(&self.state).await;
    }
}
