//! Reads the database's clock and measures the round trip.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::Row as _;

use super::{Connection, Database};
use crate::server::clock::{Clock, TimeSample};

/// Maximum number of readings.
const MAX_SAMPLES: u32 = 5;

/// A reading with a shorter round trip is not repeated.
const FAST_ROUND_TRIP: Duration = Duration::from_millis(50);

/// Round trip from which a warning is logged.
const SLOW_ROUND_TRIP: Duration = Duration::from_millis(500);

impl Database {
    /// Reads the database's clock several times and returns the sample with the shortest round trip.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn sample_time(&self) -> sqlx::Result<TimeSample> {
        let mut conn = self.connection().await?;
        let mut best = read_clock(&mut conn).await?;
        for _ in 1..MAX_SAMPLES {
            if best.round_trip() <= FAST_ROUND_TRIP {
                break;
            }
            // A failed reading does not invalidate the others.
            let Ok(sample) = read_clock(&mut conn).await else {
                break;
            };
            if sample.round_trip() < best.round_trip() {
                best = sample;
            }
        }
        Ok(best)
    }

    /// Returns a clock set to the database's time.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn clock(&self) -> sqlx::Result<Clock> {
        let sample = self.sample_time().await?;
        if sample.round_trip() > SLOW_ROUND_TRIP {
            let round_trip_ms = sample.round_trip().as_secs_f64() * 1e3;
            tracing::warn!(
                round_trip_ms,
                "slow response of the database, clock may be inaccurate"
            );
        }
        Ok(Clock::synchronized(&sample))
    }
}

async fn read_clock(conn: &mut Connection) -> sqlx::Result<TimeSample> {
    let sent = Instant::now();
    // Not prepared, which saves a round trip.
    let row = sqlx::raw_sql("SELECT clock_timestamp()").fetch_one(conn).await?;
    let received = Instant::now();
    let time: DateTime<Utc> = row.try_get(0)?;
    Ok(TimeSample::new(time, sent, received))
}
