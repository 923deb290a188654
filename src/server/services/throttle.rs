//! Limits wrong passwords. An attempt is taken before the password check and returned if the password was right, so parallel
//! guesses cannot exceed the limit, and an office behind one address is not locked out. If only attempts in progress exhaust
//! the limit, the next one waits for them.
//!
//! Unknown clients are counted by account and by address. A known browser or desktop app has its own count, so nobody can lock
//! out a user by guessing.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::server::database::Connection;
use domain::{
    ids::{SessionId, UserId},
    plain_text::to_nfc,
};

use crate::{
    error::AppError,
    server::{
        auth::password_queue::Requester,
        state::AppState,
        store::{
            audit::{self, AuditEvent},
            password_attempts,
        },
    },
};

pub use crate::server::store::password_attempts::Bucket;

/// The client of a sign-in.
pub struct SignInClient<'a> {
    /// As typed, because unknown accounts are counted too.
    pub email: &'a str,
    pub user: Option<UserId>,
    pub ip_address: IpAddr,
    /// The key of a known browser or desktop app.
    pub known_device: Option<Vec<u8>>,
}

impl SignInClient<'_> {
    /// The bucket of a known device.
    pub fn device_bucket(&self) -> Option<Bucket> {
        let device = self.known_device.as_ref()?;
        Some(bucket("device", &[self.email.to_lowercase().as_bytes(), device]))
    }

    /// The position in the password queue. A known device does not wait behind unknown clients with its address or email. All known
    /// devices of an account share one part of the queue, so that one account cannot block others.
    pub fn requester(&self) -> Requester {
        match self.device_bucket() {
            Some(device) => Requester {
                account: bucket("known_devices", &[self.email.to_lowercase().as_bytes()]),
                origin: device,
                is_known: true,
            },
            None => Requester {
                account: account_bucket(self.email),
                origin: address_bucket(self.ip_address),
                is_known: false,
            },
        }
    }
}

/// The position of a session in the password queue. Each session has its own share, so that a stolen cookie cannot keep the
/// user's other sessions from reauthenticating and revoking it.
pub fn requester_of_session(session: SessionId) -> Requester {
    Requester {
        account: bucket("session_share", &[session.0.as_bytes()]),
        origin: session_bucket(session),
        is_known: true,
    }
}

/// Attempts that must be returned or recorded as failures.
#[must_use]
pub struct TakenAttempts(Vec<Bucket>);

/// How long an attempt waits for attempts in progress on all nodes.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Interval of checks for attempts in progress.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Takes an attempt for a sign-in.
///
/// # Errors
/// [`AppError::TooManyAttempts`] with the time until the window ends; the first one in a window is recorded in the audit log.
/// [`AppError::RateLimited`] while too many other attempts are in progress.
pub async fn take_attempt(state: &AppState, client: &SignInClient<'_>) -> Result<TakenAttempts, AppError> {
    let limits = state.config.throttle;
    let counts: Vec<(&str, Bucket, u32)> = match client.device_bucket() {
        Some(device) => vec![("device", device, limits.attempts)],
        None => vec![
            ("account", account_bucket(client.email), limits.attempts),
            (
                "address",
                address_bucket(client.ip_address),
                limits.attempts_per_address,
            ),
        ],
    };
    take_attempts(state, &counts, client.user, None, client.ip_address).await
}

/// Takes an attempt for reauthentication. Counted by session: guesses with a stolen cookie block nobody else, and the session
/// stays live.
///
/// # Errors
/// As [`take_attempt`].
pub async fn take_session_attempt(
    state: &AppState,
    user: UserId,
    session: SessionId,
    ip_address: IpAddr,
) -> Result<TakenAttempts, AppError> {
    let counts = [("session", session_bucket(session), state.config.throttle.attempts)];
    take_attempts(state, &counts, Some(user), Some(session), ip_address).await
}

async fn take_attempts(
    state: &AppState,
    counts: &[(&str, Bucket, u32)],
    user: Option<UserId>,
    session: Option<SessionId>,
    ip_address: IpAddr,
) -> Result<TakenAttempts, AppError> {
    let mut waited = Duration::ZERO;
    loop {
        match try_take(state, counts, user, session, ip_address).await? {
            TakeOutcome::Taken(taken) => return Ok(taken),
            TakeOutcome::Refused(error) => return Err(error),
            TakeOutcome::InProgress if waited >= MAX_WAIT => {
                tracing::info!(
                    user = user.map(|user| user.to_string()),
                    "too many password attempts in progress"
                );
                return Err(AppError::RateLimited {
                    retry_after_seconds: 5,
                });
            }
            TakeOutcome::InProgress => {
                tokio::time::sleep(POLL_INTERVAL).await;
                waited += POLL_INTERVAL;
            }
        }
    }
}

enum TakeOutcome {
    Taken(TakenAttempts),
    Refused(AppError),
    /// Only attempts in progress exhaust the limit.
    InProgress,
}

async fn try_take(
    state: &AppState,
    counts: &[(&str, Bucket, u32)],
    user: Option<UserId>,
    session: Option<SessionId>,
    ip_address: IpAddr,
) -> Result<TakeOutcome, AppError> {
    let window = TimeDelta::from_std(state.config.throttle.window).unwrap_or(TimeDelta::MAX);
    let now = state.clock.now();
    let mut tx = state.database.begin().await?;
    let mut exhausted = None;
    for (by, bucket, most) in counts {
        let most = i32::try_from(*most).unwrap_or(i32::MAX);
        if !password_attempts::take(&mut tx, bucket, most, window, now).await? {
            exhausted = Some((by, bucket, most));
            break;
        }
    }
    let Some((by, bucket, most)) = exhausted else {
        tx.commit_side_record().await?;
        return Ok(TakeOutcome::Taken(TakenAttempts(
            counts.iter().map(|(_, bucket, _)| *bucket).collect(),
        )));
    };
    // Roll back: a blocked address must not leave a row for each account that it tries.
    drop(tx);
    let mut tx = state.database.begin().await?;
    let why = password_attempts::load_exhausted(&mut tx, bucket, most, now).await?;
    if why.in_progress {
        return Ok(TakeOutcome::InProgress);
    }
    if why.first {
        let event = AuditEvent::sign_in_throttled(ip_address, user, session, by);
        audit::record(&mut tx, event, now).await?;
    }
    tx.commit_side_record().await?;
    tracing::info!(
        by,
        user = user.map(|user| user.to_string()),
        "password attempts exhausted"
    );
    let wait = (why.until - now).num_seconds().max(0) + 1;
    Ok(TakeOutcome::Refused(AppError::TooManyAttempts {
        retry_after_seconds: u32::try_from(wait).unwrap_or(u32::MAX),
    }))
}

/// Counts an event of a session in a window and returns its number.
///
/// # Errors
/// Database errors.
pub async fn count_event(
    conn: &mut Connection,
    what: &str,
    session: SessionId,
    window: TimeDelta,
    now: DateTime<Utc>,
) -> sqlx::Result<i32> {
    password_attempts::count(conn, &bucket(what, &[session.0.as_bytes()]), window, now).await
}

/// Resets the attempts of an account after an operator has set a new password. Does not reset known devices and addresses.
///
/// # Errors
/// Database errors.
pub async fn reset_account(conn: &mut Connection, email: &str) -> sqlx::Result<()> {
    password_attempts::reset(conn, &account_bucket(email)).await
}

/// Records failed attempts in the transaction that records the reason.
///
/// # Errors
/// Database errors.
pub async fn record_failure(conn: &mut Connection, taken: &TakenAttempts) -> sqlx::Result<()> {
    for bucket in &taken.0 {
        password_attempts::record_failure(conn, bucket).await?;
    }
    Ok(())
}

/// Returns attempts: the password was right or was not checked.
///
/// # Errors
/// Database errors.
pub async fn give_back(state: &AppState, taken: &TakenAttempts) -> Result<(), AppError> {
    let mut tx = state.database.begin().await?;
    for bucket in &taken.0 {
        password_attempts::give_back(&mut tx, bucket).await?;
    }
    tx.commit_side_record().await?;
    Ok(())
}

/// By email as typed, because unknown accounts are counted too.
pub fn account_bucket(email: &str) -> Bucket {
    bucket("account", &[to_nfc(email.trim()).to_lowercase().as_bytes()])
}

pub fn user_bucket(user: UserId) -> Bucket {
    bucket("user", &[user.0.as_bytes()])
}

pub fn address_bucket(address: IpAddr) -> Bucket {
    bucket("address", &[&network_prefix(address)])
}

pub fn session_bucket(session: SessionId) -> Bucket {
    bucket("session", &[session.0.as_bytes()])
}

/// Hashes each part with its length, so that different parts never give the same bucket.
fn bucket(by: &str, parts: &[&[u8]]) -> Bucket {
    let mut hash = Sha256::new();
    for part in std::iter::once(by.as_bytes()).chain(parts.iter().copied()) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The part of an address that identifies a household or office: all of IPv4, a /64 of IPv6.
fn network_prefix(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets()[..8].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_and_known_devices_queue_separately() {
        let client = |known_device| SignInClient {
            email: "maria@broker.example",
            user: None,
            ip_address: IpAddr::from([203, 0, 113, 7]),
            known_device,
        };
        let (stranger, device) = (client(None).requester(), client(Some(vec![1])).requester());
        let first = requester_of_session(SessionId::new());
        let second = requester_of_session(SessionId::new());
        let mut keys: Vec<_> = [stranger, device, first, second]
            .iter()
            .flat_map(|requester| [requester.account, requester.origin])
            .collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 8);
    }

    #[test]
    fn different_buckets_and_sites_differ() {
        assert_ne!(bucket("a", &[b"bc"]), bucket("ab", &[b"c"]));
        assert_ne!(bucket("a", &[b"b", b"c"]), bucket("a", &[b"bc"]));
        let site = |text: &str| network_prefix(text.parse().expect("an address"));
        assert_eq!(site("2001:db8::1"), site("2001:db8::ffff:1"));
        assert_ne!(site("2001:db8::1"), site("2001:db8:0:1::1"));
        assert_ne!(site("203.0.113.7"), site("203.0.113.8"));
        assert_eq!(site("::ffff:203.0.113.7"), site("203.0.113.7"));
    }
}
