//! Limits how often an account, known device, session or address may perform expensive actions. The limits are high: users do
//! not reach them, loops do.
//!
//! Each server counts in memory, because a row per request would cause the load that the limits prevent. Uses a generic cell
//! rate (GCRA, ITU-T I.371): a burst, then a constant rate. `throttle` counts wrong passwords, for all servers together.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::throttle::{Bucket, account_bucket, address_bucket, session_bucket, user_bucket};
use domain::ids::{SessionId, UserId};

use crate::{
    error::AppError,
    server::{config::RateLimit, state::AppState},
};

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

/// Logged reports of failed client applications per address. The same failure produces the same report for many users.
const CLIENT_FAILURES_PER_ADDRESS: RateLimit = RateLimit {
    most: 5,
    window: Duration::from_secs(60),
};

/// Logged reports of all addresses.
const CLIENT_FAILURES: RateLimit = RateLimit {
    most: 60,
    window: Duration::from_secs(60),
};

/// The bucket of all addresses together.
const ALL_ADDRESSES: Bucket = [0; 32];

/// Largest number of counts, of about 60 bytes each.
const MAX_COUNTS: usize = 100_000;

/// The time at which each bucket is empty.
type DrainTimes = HashMap<(Action, Bucket), DateTime<Utc>>;

/// The counts of this server. Cheap to clone; clones share their state.
#[derive(Clone, Debug, Default)]
pub struct RateLimits(Arc<Mutex<DrainTimes>>);

impl RateLimits {
    /// Counts an action in all buckets, or in none if one is exhausted. The error is the time until it is not.
    fn take(
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

/// Counts a sign-in from an unknown device by account and address.
///
/// # Errors
/// [`AppError::RateLimited`].
pub fn check_sign_in(state: &AppState, email: &str, address: IpAddr) -> Result<(), AppError> {
    check(state, Action::SignIn, &[account_bucket(email)], Some(address))
}

/// Counts a sign-in from a known device by this device only, so that others who know the email or share the address cannot
/// lock it out.
///
/// # Errors
/// [`AppError::RateLimited`].
pub fn check_known_device(state: &AppState, device: Bucket) -> Result<(), AppError> {
    check(state, Action::SignIn, &[device], None)
}

/// Counts an action of a session by this session only, so that a stolen credential cannot exhaust a limit of the user's other
/// sessions.
///
/// # Errors
/// [`AppError::RateLimited`].
pub fn check_session(state: &AppState, action: Action, session: SessionId) -> Result<(), AppError> {
    check(state, action, &[session_bucket(session)], None)
}

/// Counts an action by user and address.
///
/// # Errors
/// [`AppError::RateLimited`].
pub fn check_user(state: &AppState, action: Action, user: UserId, address: IpAddr) -> Result<(), AppError> {
    check(state, action, &[user_bucket(user)], Some(address))
}

/// Counts an action of an unknown user by address.
///
/// # Errors
/// [`AppError::RateLimited`].
pub fn check_address(state: &AppState, action: Action, address: IpAddr) -> Result<(), AppError> {
    check(state, action, &[], Some(address))
}

/// Counts a report of a failed client application. False: the limit is reached. Not logged, since anyone can send reports.
pub fn allows_client_failure(state: &AppState, address: IpAddr) -> bool {
    let counts = [
        (address_bucket(address), CLIENT_FAILURES_PER_ADDRESS),
        (ALL_ADDRESSES, CLIENT_FAILURES),
    ];
    state
        .rate_limits
        .take(Action::ClientFailure, &counts, state.clock.now())
        .is_ok()
}

/// Counts a denied request of a user. Returns `error`, or [`AppError::RateLimited`] at the limit.
pub fn count_refusal(state: &AppState, user: UserId, address: IpAddr, error: AppError) -> AppError {
    match error {
        AppError::SessionNotFound | AppError::ResourceNotFound(_) | AppError::Forbidden => {
            check_user(state, Action::Denied, user, address)
                .err()
                .unwrap_or(error)
        }
        error => error,
    }
}

fn check(
    state: &AppState,
    action: Action,
    accounts: &[Bucket],
    address: Option<IpAddr>,
) -> Result<(), AppError> {
    let limits = state.config.rate_limits;
    let by_account = accounts.iter().map(|bucket| (*bucket, limits.per_account));
    let by_address = address.map(|address| (address_bucket(address), limits.per_address));
    let counts: Vec<_> = by_account.chain(by_address).collect();
    state
        .rate_limits
        .take(action, &counts, state.clock.now())
        .map_err(|wait| {
            let retry_after_seconds = u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX);
            tracing::info!(?action, retry_after_seconds, "rate limit exceeded");
            AppError::RateLimited { retry_after_seconds }
        })
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
        let limits = RateLimits::default();
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
        let limits = RateLimits::default();
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
        let limits = RateLimits::default();
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
        let limits = RateLimits::default();
        take_fresh_counts(&limits, DateTime::UNIX_EPOCH);
        assert!(limits.0.lock().expect("counts").len() <= MAX_COUNTS);
    }

    /// Takes one action of each of more counts than are kept.
    fn take_fresh_counts(limits: &RateLimits, start: DateTime<Utc>) {
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
