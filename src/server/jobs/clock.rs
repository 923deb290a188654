//! Keeps the clock at the database's time.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::{MissedTickBehavior, interval};

use crate::server::{
    clock::{Clock, Correction},
    database::Database,
    lifecycle::heartbeat::{Heartbeats, SHORT},
};

const INTERVAL: Duration = Duration::from_secs(60);

/// A correction by this much means that the database's clock was changed, or that this machine was suspended.
const LARGE: TimeDelta = TimeDelta::seconds(1);

/// Corrects the clock every minute until the task is ended. While the database does not answer, or only slowly, the
/// clock runs on by itself.
pub async fn run(clock: Clock, database: Database, jobs: Heartbeats) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let sample = match jobs.round("clock", SHORT, database.sample_time()).await {
            Ok(sample) => sample,
            Err(error) => {
                tracing::warn!(%error, "the database's time could not be read, clock not corrected");
                continue;
            }
        };
        let round_trip_ms = sample.round_trip().as_secs_f64() * 1e3;
        match clock.correct(&sample) {
            Correction::Applied(by) if by.abs() > LARGE => {
                tracing::warn!(by_ms = by.num_milliseconds(), round_trip_ms, "clock corrected");
            }
            Correction::Applied(_) => {}
            Correction::Rejected => {
                tracing::info!(round_trip_ms, "the database answers slowly, clock not corrected");
            }
        }
    }
}
