//! Counts actions in memory for `services::rate_limit`.
//!
//! Each server counts for itself, because a row per request would cause the load that the limits prevent. Uses a generic cell
//! rate (GCRA, ITU-T I.371): a burst, then a constant rate.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{config::RateLimit, store::password_attempts::Bucket};

/// The limited actions. Each has its own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A sign-in, successful or not.
    SignIn,
    /// A password check for reauthentication or a password change.
    CheckPassword,
    Extend,
    Refresh,
    /// A refresh with an unknown token or a token of an ended session.
    InvalidRefresh,
    /// A denied request.
    Denied,
    /// A report of a failed client application.
    ClientFailure,
}

/// Largest number of counts, of about 60 bytes each.
const MAX_COUNTS: usize = 100_000;

/// The time at which each bucket is empty.
type DrainTimes = HashMap<(Action, Bucket), DateTime<Utc>>;

/// The counts of this server. Cheap to clone; clones share their state.
#[derive(Clone, Debug, Default)]
pub struct RateCounts(Arc<Mutex<DrainTimes>>);

impl RateCounts {
    /// Counts an action in all buckets, or in none if one is exhausted. The error is the time until it is not.
    pub fn take(
        &self,
        action: Action,
        counts: &[(Bucket, RateLimit)],
        now: DateTime<Utc>,
    ) -> Result<(), Duration> {
        let mut used_until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::with_capacity(counts.len());
        for (bucket, limit) in counts {
            let window = TimeDelta::from_std(limit.window).unwrap_or(TimeDelta::MAX);
            let each = window / i32::try_from(limit.most.max(1)).unwrap_or(i32::MAX);
            let used = used_until
                .get(&(action, *bucket))
                .copied()
                .unwrap_or(now)
                .max(now);
            let next = used + each;
            if next > now + window {
                return Err((next - window - now).to_std().unwrap_or_default());
            }
            taken.push(((action, *bucket), next));
        }
        if used_until.len() + taken.len() > MAX_COUNTS {
            used_until.retain(|_, used| *used > now);
            if used_until.len() + taken.len() > MAX_COUNTS {
                evict_earliest(&mut used_until);
            }
        }
        used_until.extend(taken);
        Ok(())
    }
}

/// Removes the tenth of the counts that drain first, with all that drain at the same time. Nearly exhausted counts drain last,
/// so an attacker cannot reset them with many new accounts and addresses.
fn evict_earliest(used_until: &mut DrainTimes) {
    let mut times: Vec<_> = used_until.values().copied().collect();
    if times.is_empty() {
        return;
    }
    let tenth = times.len() / 10;
    let (_, last_evicted, _) = times.select_nth_unstable(tenth);
    let last_evicted = *last_evicted;
    let before = used_until.len();
    used_until.retain(|_, used| *used > last_evicted);
    tracing::warn!(
        evicted = before - used_until.len(),
        kept = used_until.len(),
        "too many rate limit counts, evicted those that drain earliest"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_A_MINUTE: RateLimit = RateLimit {
        most: 10,
        window: Duration::from_secs(60),
    };

    fn bucket(number: u8) -> Bucket {
        [number; 32]
    }

    #[test]
    fn burst_passes_then_an_even_rate() {
        let limits = RateCounts::default();
        let start = DateTime::UNIX_EPOCH;
        let counts = [(bucket(1), TEN_A_MINUTE)];
        for _ in 0..10 {
            assert_eq!(limits.take(Action::Extend, &counts, start), Ok(()));
        }
        assert_eq!(
            limits.take(Action::Extend, &counts, start),
            Err(Duration::from_secs(6))
        );
        // Another action and another account have counts of their own.
        assert_eq!(limits.take(Action::Refresh, &counts, start), Ok(()));
        assert_eq!(
            limits.take(Action::Extend, &[(bucket(2), TEN_A_MINUTE)], start),
            Ok(())
        );
        let later = start + TimeDelta::seconds(6);
        assert_eq!(limits.take(Action::Extend, &counts, later), Ok(()));
        assert_eq!(
            limits.take(Action::Extend, &counts, later),
            Err(Duration::from_secs(6))
        );
    }

    #[test]
    fn refused_actions_are_not_counted() {
        let limits = RateCounts::default();
        let start = DateTime::UNIX_EPOCH;
        let both = [(bucket(1), TEN_A_MINUTE), (bucket(2), TEN_A_MINUTE)];
        for _ in 0..10 {
            assert!(
                limits
                    .take(Action::SignIn, &[(bucket(2), TEN_A_MINUTE)], start)
                    .is_ok()
            );
        }
        for _ in 0..50 {
            assert!(limits.take(Action::SignIn, &both, start).is_err());
        }
        for _ in 0..10 {
            assert!(
                limits
                    .take(Action::SignIn, &[(bucket(1), TEN_A_MINUTE)], start)
                    .is_ok()
            );
        }
    }

    #[test]
    fn new_buckets_never_reset_an_exhausted_bucket() {
        let limits = RateCounts::default();
        let start = DateTime::UNIX_EPOCH;
        let exhausted = [(bucket(255), TEN_A_MINUTE)];
        for _ in 0..10 {
            assert!(limits.take(Action::SignIn, &exhausted, start).is_ok());
        }
        take_fresh_counts(&limits, start);
        assert!(limits.take(Action::SignIn, &exhausted, start).is_err());
        assert!(limits.0.lock().expect("counts").len() <= MAX_COUNTS);
    }

    #[test]
    fn bucket_count_stays_bounded() {
        let limits = RateCounts::default();
        take_fresh_counts(&limits, DateTime::UNIX_EPOCH);
        assert!(limits.0.lock().expect("counts").len() <= MAX_COUNTS);
    }

    /// Takes one action of each of more counts than are kept.
    fn take_fresh_counts(limits: &RateCounts, start: DateTime<Utc>) {
        for number in 0..=u32::try_from(MAX_COUNTS).expect("a number") {
            let mut bucket = [0; 32];
            bucket[..4].copy_from_slice(&number.to_be_bytes());
            assert!(
                limits
                    .take(Action::SignIn, &[(bucket, TEN_A_MINUTE)], start)
                    .is_ok()
            );
        }
    }
}
