//! Limits how often an account, known device, session or address may perform expensive actions. The limits are high: users do
//! not reach them, loops do. `throttle` counts wrong passwords, for all servers together.

use std::{net::IpAddr, time::Duration};

use super::throttle::{Bucket, account_bucket, address_bucket, session_bucket, user_bucket};
use domain::ids::{SessionId, UserId};

use crate::{
    error::AppError,
    server::{config::RateLimit, rate_counts::Action, state::AppState},
};

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
        .rate_counts
        .take(Action::ClientFailure, &counts, state.clock.now())
        .is_ok()
}

/// Counts a denied request of a user. Returns `error`, or [`AppError::RateLimited`] at the limit.
pub fn count_refusal(state: &AppState, user: UserId, address: IpAddr, error: AppError) -> AppError {
    match error {
        AppError::NotFound(_) | AppError::Forbidden => check_user(state, Action::Denied, user, address)
            .err()
            .unwrap_or(error),
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
        .rate_counts
        .take(action, &counts, state.clock.now())
        .map_err(|wait| {
            let retry_after_seconds = u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX);
            tracing::info!(?action, retry_after_seconds, "rate limit exceeded");
            AppError::RateLimited { retry_after_seconds }
        })
}
