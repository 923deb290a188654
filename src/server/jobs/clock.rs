//! Keeps the clock at the database's time.

use std::time::Duration;

use chrono::TimeDelta;

use crate::server::{
    clock::{Clock, Correction},
    database::Database,
    lifecycle::{Job, SHORT},
};

/// A correction by this much means that the database's clock was changed, or that this machine was suspended.
const LARGE: TimeDelta = TimeDelta::seconds(1);

/// Corrects the clock. While the database does not respond, or only slowly, the clock runs on by itself.
pub struct CorrectClock {
    pub clock: Clock,
    pub database: Database,
}

impl Job for CorrectClock {
    const NAME: &'static str = "clock";
    const LIMIT: Option<Duration> = Some(SHORT);

    fn interval(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn round(&mut self) {
        let sample = match self.database.sample_time().await {
            Ok(sample) => sample,
            Err(error) => {
                tracing::warn!(%error, "the database's time could not be read, clock not corrected");
                return;
            }
        };
        let round_trip_ms = sample.round_trip().as_secs_f64() * 1e3;
        match self.clock.correct(&sample) {
            Correction::Applied(by) if by.abs() > LARGE => {
                tracing::warn!(by_ms = by.num_milliseconds(), round_trip_ms, "clock corrected");
            }
            Correction::Applied(_) => {}
            Correction::Rejected => {
                tracing::info!(round_trip_ms, "the database responds slowly, clock not corrected");
            }
        }
    }
}
