//! How often an account, a known device, a session and an address may do what is expensive or writes rows. Generous: no
//! user meets these limits, a loop does.
//!
//! Counted by each server for itself and in memory, since a row for each request would be the load that this is against.
//! The count is a generic cell rate (GCRA, ITU-T I.371): a burst, then an even rate. Failed passwords are counted
//! elsewhere, for all servers together (`throttle`).

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

/// What is limited. Each is counted for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A sign-in, whatever comes of it.
    SignIn,
    /// A password that is confirmed or changed.
    CheckPassword,
    Extend,
    Refresh,
    /// A refresh with a token that is unknown, or whose session ended.
    InvalidRefresh,
    /// A request for something that the caller may not have.
    Denied,
    /// A report of a client application that failed.
    ClientFailure,
}

/// Reports of failed client applications that are logged for an address. A failure that many users have is the same line
/// again and again.
const CLIENT_FAILURES_PER_ADDRESS: RateLimit = RateLimit {
    most: 5,
    window: Duration::from_secs(60),
};

/// The same for all addresses together.
const CLIENT_FAILURES: RateLimit = RateLimit {
    most: 60,
    window: Duration::from_secs(60),
};

/// The bucket of all addresses together.
const EVERYONE: Bucket = [0; 32];

/// So many counts are kept at most. Each is some 60 bytes.
const MAX_COUNTS: usize = 100_000;

/// When each bucket will be empty.
type DrainTimes = HashMap<(Action, Bucket), DateTime<Utc>>;

/// The counts of this server. Cheap to clone; clones share everything.
#[derive(Clone, Debug, Default)]
pub struct RateLimits(Arc<Mutex<DrainTimes>>);

impl RateLimits {
    /// Counts one action by everything in `counts`, or nothing if one of them is exhausted: then gives the time until it
    /// is not.
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

/// Removes the tenth of the counts that drain earliest, and all that drain at the same time as these. A count that is
/// nearly exhausted drains last: no flood of fresh accounts and addresses resets it.
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

/// Counts a sign-in of a stranger by account and address.
///
/// # Errors
/// [`AppError::RateLimited`].
pub fn check_sign_in(state: &AppState, email: &str, address: IpAddr) -> Result<(), AppError> {
    check(state, Action::SignIn, &[account_bucket(email)], Some(address))
}

/// Counts a sign-in of a known device by that device only: strangers who know its email or share its address must not
/// lock it out.
///
/// # Errors
/// [`AppError::RateLimited`].
pub fn check_known_device(state: &AppState, device: Bucket) -> Result<(), AppError> {
    check(state, Action::SignIn, &[device], None)
}

/// Counts what a session does by that session only: a stolen credential must not exhaust a limit of the user's other
/// sessions.
///
/// # Errors
/// [`AppError::RateLimited`].
pub fn check_session(state: &AppState, action: Action, session: SessionId) -> Result<(), AppError> {
    check(state, action, &[session_bucket(session)], None)
}

/// Counts what a user does by user and address.
///
/// # Errors
/// [`AppError::RateLimited`].
pub fn check_user(state: &AppState, action: Action, user: UserId, address: IpAddr) -> Result<(), AppError> {
    check(state, action, &[user_bucket(user)], Some(address))
}

/// Counts what nobody is known to have done.
///
/// # Errors
/// [`AppError::RateLimited`].
pub fn check_address(state: &AppState, action: Action, address: IpAddr) -> Result<(), AppError> {
    check(state, action, &[], Some(address))
}

/// Counts a report of a failed client application. False: it is one too many. Not logged, since anyone can send reports.
pub fn allows_client_failure(state: &AppState, address: IpAddr) -> bool {
    let counts = [
        (address_bucket(address), CLIENT_FAILURES_PER_ADDRESS),
        (EVERYONE, CLIENT_FAILURES),
    ];
    state
        .rate_limits
        .take(Action::ClientFailure, &counts, state.clock.now())
        .is_ok()
}

/// Counts a refusal that was a caller's own doing; gives what to answer instead where they have had too many.
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
