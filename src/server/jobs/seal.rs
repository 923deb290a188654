//! Seals the audit log, seconds behind. Sign-ins only leave their rows in a queue and never wait for the chain.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::heartbeat::{Heartbeats, LONG};
use crate::server::{
    clock::Clock, database::Database, services::audit_chain::seal_batch, store::audit_chain,
};

/// How long a row may wait.
const INTERVAL: Duration = Duration::from_secs(1);

/// Seals every row that waits, and gives how many. While another node seals, it leaves them to that one.
///
/// # Errors
/// The database's; the batches before stay sealed.
pub async fn once(database: &Database, clock: &Clock) -> sqlx::Result<usize> {
    if !audit_chain::any_unsealed(&mut *database.connection().await?).await? {
        return Ok(0);
    }
    let mut sealed = 0;
    loop {
        let (of_batch, more) = seal_batch(database, clock).await?;
        sealed += of_batch;
        if !more {
            return Ok(sealed);
        }
    }
}

/// Seals every second until the task is ended.
pub async fn run(clock: Clock, database: Database, jobs: Heartbeats) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = jobs.round("seal", LONG, once(&database, &clock)).await {
            tracing::warn!(%error, "audit rows could not be sealed; they wait for the next time");
        }
    }
}
