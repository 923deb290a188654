//! Looks every ten seconds how the server is and writes it into the metrics, so that a scrape asks the database nothing.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::server::{health::Health, lifecycle::heartbeat::SHORT, state::AppState};

const INTERVAL: Duration = Duration::from_secs(10);

/// Looks once.
pub async fn once(state: &AppState) {
    let health = Health::check_server(state).await;
    let checks = health.checks.iter().map(|check| (check.name, check.ok));
    state.metrics.set_readiness(health.is_ready(), checks);
    // What the database does not tell stays as it was last.
    if let Some(work) = health.work {
        state.metrics.set_unsealed(work.unsealed.rows, work.seal_lag());
        if let Some(since) = work.since_cleanup() {
            state.metrics.set_cleanup_age(since);
        }
    }
}

/// Looks until the task is ended.
pub async fn run(state: AppState) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        state.jobs.round("watch", SHORT, once(&state)).await;
    }
}
