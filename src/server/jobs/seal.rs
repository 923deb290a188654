//! Seals the audit log, seconds behind. Sign-ins only leave their rows in a queue and never wait for the chain.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::server::{
    clock::Clock,
    database::Database,
    lifecycle::heartbeat::{Heartbeats, LONG},
    services::audit_chain,
};

/// How long a row may wait.
const INTERVAL: Duration = Duration::from_secs(1);

/// Seals every second until the task is ended.
pub async fn run(clock: Clock, database: Database, jobs: Heartbeats) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = jobs
            .round("seal", LONG, audit_chain::seal_all(&database, &clock))
            .await
        {
            tracing::warn!(%error, "audit rows could not be sealed; they wait for the next time");
        }
    }
}
