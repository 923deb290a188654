//! Keeps the clock at the database's time.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::server::{clock::Clock, database::Database};

const INTERVAL: Duration = Duration::from_secs(60);

/// Anchors the clock anew every minute until the task is ended. While the database does not answer, the clock runs on
/// by itself.
pub async fn run(clock: Clock, database: Database) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match database.time().await {
            Ok(time) => clock.anchor(time),
            Err(error) => {
                tracing::warn!(%error, "the clock runs on by itself: the database's time is not to be had")
            }
        }
    }
}
