//! The portal's one clock: anchored at the database's time, carried by monotonic time.
//!
//! All nodes share the database's time, so a session is over at the same second everywhere, and a jump of a
//! server's own wall clock changes nothing. Tests hold a clock that they move themselves.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time. Cheap to clone; clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<RwLock<Anchor>>);

#[derive(Debug)]
struct Anchor {
    time: DateTime<Utc>,
    /// When `time` was true. `None`: the clock stands still until someone moves it.
    since: Option<Instant>,
}

impl Clock {
    /// A clock that runs on from `time`.
    pub fn anchored(time: DateTime<Utc>) -> Self {
        Self(Arc::new(RwLock::new(Anchor {
            time,
            since: Some(Instant::now()),
        })))
    }

    /// A clock that stands at `time` until [`Clock::advance`] moves it.
    pub fn standing(time: DateTime<Utc>) -> Self {
        Self(Arc::new(RwLock::new(Anchor { time, since: None })))
    }

    /// The time now, to the microsecond, which is what Postgres keeps.
    pub fn now(&self) -> DateTime<Utc> {
        let anchor = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let carried = anchor.since.map_or(Duration::ZERO, |since| since.elapsed());
        let now = anchor.time + TimeDelta::from_std(carried).unwrap_or(TimeDelta::MAX);
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    /// Sets a running clock to the database's time; a standing one stays.
    pub fn anchor(&self, time: DateTime<Utc>) {
        let mut anchor = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if anchor.since.is_some() {
            *anchor = Anchor {
                time,
                since: Some(Instant::now()),
            };
        }
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let mut anchor = self.0.write().unwrap_or_else(PoisonError::into_inner);
        anchor.time += TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_clock_moves_only_when_told() {
        let start = DateTime::from_timestamp(1_700_000_000, 0).expect("a time");
        let clock = Clock::standing(start);
        assert_eq!(clock.now(), start);
        clock.anchor(start + TimeDelta::days(1));
        clock.clone().advance(Duration::from_secs(5));
        assert_eq!(clock.now(), start + TimeDelta::seconds(5));
    }

    #[test]
    fn a_running_clock_never_goes_back() {
        let clock = Clock::anchored(DateTime::from_timestamp(1_700_000_000, 0).expect("a time"));
        let before = clock.now();
        assert!(clock.now() >= before);
    }
}
