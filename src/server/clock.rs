//! The clock of the portal: anchored at the database's time, advanced by the monotonic clock.
//!
//! All nodes follow the database's time, so a session expires at the same second on every node, and a jump of a
//! server's wall clock has no effect. Tests use a clock that they advance themselves.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time. Cheap to clone; clones share their state.
#[derive(Clone, Debug)]
pub struct Clock(Arc<RwLock<Anchor>>);

#[derive(Debug)]
struct Anchor {
    time: DateTime<Utc>,
    /// The instant at which `time` was correct. `None`: a manual clock.
    since: Option<Instant>,
    /// Largest difference between `time` and the database's time, in either direction.
    uncertainty: Duration,
    /// The clock's time at the last correction, and the instant of the correction.
    corrected: Option<(DateTime<Utc>, Instant)>,
}

/// One reading of the database's clock.
#[derive(Clone, Copy, Debug)]
pub struct TimeSample {
    time: DateTime<Utc>,
    sent: Instant,
    received: Instant,
}

impl TimeSample {
    /// `time` is the database's response to a query that was sent and received at these instants.
    pub fn new(time: DateTime<Utc>, sent: Instant, received: Instant) -> Self {
        Self { time, sent, received }
    }

    pub fn round_trip(&self) -> Duration {
        self.received.saturating_duration_since(self.sent)
    }

    /// Half the round trip: the database read its clock at some instant within it.
    fn uncertainty(&self) -> Duration {
        self.round_trip() / 2
    }

    fn anchor(&self, corrected: Option<(DateTime<Utc>, Instant)>) -> Anchor {
        Anchor {
            time: self.time,
            since: Some(self.sent + self.uncertainty()),
            uncertainty: self.uncertainty(),
            corrected,
        }
    }
}

/// The result of [`Clock::correct`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// The clock follows the sample. Positive: the clock was behind by this much; negative: it was ahead.
    Applied(TimeDelta),
    /// The sample is less certain than the clock, which keeps its time.
    Rejected,
}

impl Anchor {
    fn now(&self, at: Instant) -> DateTime<Utc> {
        let passed = |since: Instant| at.saturating_duration_since(since);
        let later = |time: DateTime<Utc>, by| time + TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
        let now = later(self.time, self.since.map_or(Duration::ZERO, passed));
        // A clock that was ahead runs at half speed until the database has caught up. It never goes backwards.
        let least = self.corrected.map(|(time, since)| later(time, passed(since) / 2));
        least.map_or(now, |least| least.max(now))
    }
}

impl Clock {
    /// Assumed drift of the monotonic clock against the database's clock: one part in 2000 (500 ppm).
    const DRIFT: u32 = 2000;

    /// A running clock that starts at `time`.
    pub fn anchored(time: DateTime<Utc>) -> Self {
        let now = Instant::now();
        Self::synchronized(&TimeSample::new(time, now, now))
    }

    /// A running clock that starts at the sample's time.
    pub fn synchronized(sample: &TimeSample) -> Self {
        Self(Arc::new(RwLock::new(sample.anchor(None))))
    }

    /// A clock that stays at `time` until [`Clock::advance`] moves it.
    pub fn manual(time: DateTime<Utc>) -> Self {
        Self(Arc::new(RwLock::new(Anchor {
            time,
            since: None,
            uncertainty: Duration::ZERO,
            corrected: None,
        })))
    }

    /// The current time in microseconds, the precision of Postgres.
    pub fn now(&self) -> DateTime<Utc> {
        let anchor = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let now = anchor.now(Instant::now());
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    /// Corrects a running clock, unless the sample is less certain than the clock. Never moves the clock backwards.
    /// Rejects every sample for a manual clock.
    pub fn correct(&self, sample: &TimeSample) -> Correction {
        let mut anchor = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(since) = anchor.since else {
            return Correction::Rejected;
        };
        let at = Instant::now();
        let drift = at.saturating_duration_since(since) / Self::DRIFT;
        if sample.uncertainty() > anchor.uncertainty.saturating_add(drift) {
            return Correction::Rejected;
        }
        let before = anchor.now(at);
        let after = sample.anchor(None).now(at);
        *anchor = sample.anchor(Some((before, at)));
        Correction::Applied(after - before)
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut anchor = self.0.write().unwrap_or_else(PoisonError::into_inner);
        anchor.time += TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).expect("a time")
    }

    /// The database said `time`, so much after the query was sent, and the response took as long as `response`.
    fn sample(time: DateTime<Utc>, request: Duration, response: Duration) -> TimeSample {
        let received = Instant::now();
        let sent = received.checked_sub(request + response).expect("an instant");
        TimeSample::new(time, sent, received)
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// How far the clock is from `time`, in milliseconds.
    fn distance(clock: &Clock, time: DateTime<Utc>) -> i64 {
        (clock.now() - time).num_milliseconds().abs()
    }

    #[test]
    fn fixed_clock_moves_only_when_set() {
        let start = start();
        let clock = Clock::manual(start);
        assert_eq!(clock.now(), start);
        let later = sample(start + TimeDelta::days(1), Duration::ZERO, Duration::ZERO);
        assert_eq!(clock.correct(&later), Correction::Rejected);
        clock.clone().advance(Duration::from_secs(5));
        assert_eq!(clock.now(), start + TimeDelta::seconds(5));
    }

    #[test]
    fn round_trip_time_is_corrected() {
        // At the moment of the response the database is a second on.
        let clock = Clock::synchronized(&sample(start(), SECOND, SECOND));
        assert!(distance(&clock, start() + TimeDelta::seconds(1)) < 500);
        // Wherever in the round trip the database read its clock, half of it is the largest error.
        let clock = Clock::synchronized(&sample(start(), Duration::ZERO, 2 * SECOND));
        assert!(distance(&clock, start() + TimeDelta::seconds(2)) <= 1000);
    }

    #[test]
    fn slow_samples_are_rejected() {
        let clock = Clock::synchronized(&sample(start(), Duration::ZERO, Duration::ZERO));
        let slow = sample(start() - TimeDelta::seconds(2), Duration::ZERO, 2 * SECOND);
        assert_eq!(clock.correct(&slow), Correction::Rejected);
        assert!(distance(&clock, start()) < 500);
    }

    #[test]
    fn better_sample_replaces_a_slow_one() {
        let clock = Clock::synchronized(&sample(start(), Duration::ZERO, 2 * SECOND));
        let time = start() + TimeDelta::seconds(2);
        let prompt = sample(time, Duration::ZERO, Duration::ZERO);
        assert!(matches!(clock.correct(&prompt), Correction::Applied(_)));
        assert!(distance(&clock, time) < 500);
    }

    #[test]
    fn running_clock_never_goes_back() {
        let clock = Clock::synchronized(&sample(start(), Duration::ZERO, SECOND));
        let before = clock.now();
        let earlier = sample(start() - TimeDelta::hours(1), Duration::ZERO, Duration::ZERO);
        let Correction::Applied(by) = clock.correct(&earlier) else {
            panic!("rejected");
        };
        assert!(by < TimeDelta::minutes(-59), "{by}");
        let mut last = clock.now();
        assert!(last >= before && last - before < TimeDelta::minutes(1));
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn fast_clock_waits_for_the_database() {
        let at = Instant::now();
        let anchor = Anchor {
            time: start(),
            since: Some(at),
            uncertainty: Duration::ZERO,
            corrected: Some((start() + TimeDelta::seconds(10), at)),
        };
        assert_eq!(anchor.now(at), start() + TimeDelta::seconds(10));
        assert_eq!(anchor.now(at + 4 * SECOND), start() + TimeDelta::seconds(12));
        assert_eq!(anchor.now(at + 20 * SECOND), start() + TimeDelta::seconds(20));
        assert_eq!(anchor.now(at + 30 * SECOND), start() + TimeDelta::seconds(30));
    }
}
