//! How many passwords may be tried. Attempts are counted before the password is looked at and given back when it was
//! right, so parallel guesses cannot pass, and an office behind one address does not lock itself out.
//!
//! A stranger is counted by account and by address. A browser or desktop that has signed in to the account before has
//! a count of its own: whoever hammers an account cannot lock out the person whose it is.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::{
    domain::ids::{SessionId, UserId},
    error::AppError,
    server::{
        state::AppState,
        store::{
            audit::{self, Actor, AuditEvent, AuditKind, Refusal, RefusalKind},
            password_attempts::{self, Bucket, Taking},
        },
    },
};

/// Who wants to have a password looked at.
pub struct Asker<'a> {
    /// As typed: unknown accounts are counted as known ones are.
    pub email: &'a str,
    pub user: Option<UserId>,
    pub ip_address: IpAddr,
    /// What a browser or desktop that is known to the account is counted by.
    pub known_device: Option<Vec<u8>>,
}

/// Attempts that were taken and can be given back.
#[must_use]
pub struct Taken(Vec<Bucket>);

/// Takes an attempt at signing in.
///
/// # Errors
/// [`AppError::TooManyAttempts`] with the time until the window ends; the first such refusal of a window has an audit
/// row.
pub async fn take(state: &AppState, asker: &Asker<'_>) -> Result<Taken, AppError> {
    let limits = state.config.throttle;
    let account = asker.email.to_lowercase();
    let counts: Vec<(&str, Bucket, u32)> = match &asker.known_device {
        Some(device) => vec![(
            "device",
            bucket("device", &[account.as_bytes(), device]),
            limits.attempts,
        )],
        None => vec![
            ("account", account_bucket(asker.email), limits.attempts),
            (
                "address",
                bucket("address", &[&site(asker.ip_address)]),
                limits.attempts_per_address,
            ),
        ],
    };
    take_all(state, &counts, asker.user, None, asker.ip_address).await
}

/// Takes an attempt at renewing the password check of a session. Counted by session: guesses of whoever holds one
/// cookie block nobody else, and the session itself goes on.
///
/// # Errors
/// As [`take`].
pub async fn take_for_session(
    state: &AppState,
    user: UserId,
    session: SessionId,
    ip_address: IpAddr,
) -> Result<Taken, AppError> {
    let bucket = bucket("session", &[session.0.as_bytes()]);
    let counts = [("session", bucket, state.config.throttle.attempts)];
    take_all(state, &counts, Some(user), Some(session), ip_address).await
}

async fn take_all(
    state: &AppState,
    counts: &[(&str, Bucket, u32)],
    user: Option<UserId>,
    session: Option<SessionId>,
    ip_address: IpAddr,
) -> Result<Taken, AppError> {
    let window = TimeDelta::from_std(state.config.throttle.window).unwrap_or(TimeDelta::MAX);
    let now = state.clock.now();
    let mut tx = state.database.begin().await?;
    let mut taken = Vec::new();
    for (by, bucket, most) in counts {
        let most = i32::try_from(*most).unwrap_or(i32::MAX);
        match password_attempts::take(&mut tx, bucket, most, window, now).await? {
            Taking::Taken => taken.push(*bucket),
            Taking::Refused { until, first } => {
                for bucket in &taken {
                    password_attempts::give_back(&mut tx, bucket).await?;
                }
                if first {
                    record_throttled(&mut tx, by, user, session, ip_address, now).await?;
                }
                tx.commit().await?;
                tracing::info!(by, user = user.map(|user| user.to_string()), "no attempt is left");
                let wait = (until - now).num_seconds().max(0) + 1;
                return Err(AppError::TooManyAttempts {
                    retry_after_seconds: u32::try_from(wait).unwrap_or(u32::MAX),
                });
            }
        }
    }
    tx.commit().await?;
    Ok(Taken(taken))
}

async fn record_throttled(
    conn: &mut PgConnection,
    by: &str,
    user: Option<UserId>,
    session: Option<SessionId>,
    ip_address: IpAddr,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if let (Some(user), Some(session)) = (user, session) {
        let refusal = Refusal {
            kind: RefusalKind::Throttled,
            user,
            session,
            ip_address,
            reason: by,
            detail: json!({}),
        };
        return audit::record_refusal(conn, refusal, now).await;
    }
    let event = AuditEvent {
        kind: AuditKind::SignInThrottled,
        actor: Actor::from_address(ip_address),
        user,
        session: None,
        reason: Some(by),
        detail: json!({}),
    };
    audit::record(conn, event, now).await
}

/// Counts something that a session did once more in a window, and gives how often it did so.
///
/// # Errors
/// The database's.
pub async fn count(
    conn: &mut PgConnection,
    what: &str,
    session: SessionId,
    window: TimeDelta,
    now: DateTime<Utc>,
) -> sqlx::Result<i32> {
    password_attempts::count(conn, &bucket(what, &[session.0.as_bytes()]), window, now).await
}

/// Lets whoever was refused on an account try again at once: an operator has given it a new password. Devices that are
/// counted for themselves, and addresses, keep their counts.
///
/// # Errors
/// The database's.
pub async fn forget_account(conn: &mut PgConnection, email: &str) -> sqlx::Result<()> {
    password_attempts::forget(conn, &account_bucket(email)).await
}

/// Gives attempts back: the password was right, or was not looked at.
///
/// # Errors
/// The database does not answer.
pub async fn give_back(state: &AppState, taken: &Taken) -> Result<(), AppError> {
    let mut tx = state.database.begin().await?;
    for bucket in &taken.0 {
        password_attempts::give_back(&mut tx, bucket).await?;
    }
    tx.commit().await?;
    Ok(())
}

fn account_bucket(email: &str) -> Bucket {
    bucket("account", &[email.to_lowercase().as_bytes()])
}

/// Each part with its length, so that no two lists of parts give one bucket.
fn bucket(by: &str, parts: &[&[u8]]) -> Bucket {
    let mut hash = Sha256::new();
    for part in std::iter::once(by.as_bytes()).chain(parts.iter().copied()) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// One household or office: an address of IPv4, a /64 of IPv6, of which a single machine may use every address.
fn site(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets()[..8].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_and_sites_are_told_apart() {
        assert_ne!(bucket("a", &[b"bc"]), bucket("ab", &[b"c"]));
        assert_ne!(bucket("a", &[b"b", b"c"]), bucket("a", &[b"bc"]));
        let site = |text: &str| site(text.parse().expect("an address"));
        assert_eq!(site("2001:db8::1"), site("2001:db8::ffff:1"));
        assert_ne!(site("2001:db8::1"), site("2001:db8:0:1::1"));
        assert_ne!(site("203.0.113.7"), site("203.0.113.8"));
        assert_eq!(site("::ffff:203.0.113.7"), site("203.0.113.7"));
    }
}
