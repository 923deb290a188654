//! Exchanges the refresh token of a desktop app (RFC 6749, 6; rotation and reuse detection as in RFC 9700, 4.14).
//!
//! Each token can be exchanged once. A lost response is not theft: within [`GRACE`], and while the successor is unused, the
//! same successor is returned. It is not stored, but derived again from token and salt.

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use rand::{TryRngCore, rngs::OsRng};
use sha2::Sha256;

use super::{
    rate_limit, revoke,
    suspicion::{self, UnusualActivity},
};
use domain::{
    ids::SessionId,
    security_notice::ReuseCause,
    session::{ClientKind, EndReason},
    user::User,
};

use crate::{
    error::AppError,
    server::{
        auth::{
            client::is_other_client,
            current_session::Client,
            token::{PlainToken, RandomnessError},
        },
        database::Transaction,
        rate_counts::Action,
        state::AppState,
        store::{
            audit::{self, Actor, AuditEvent},
            events,
            refresh_tokens::{self, StoredToken, TokenState},
            sessions::{self, EndFilter},
            users,
        },
        telemetry::labels::Refresh,
    },
};

/// How long after an exchange the same successor is returned again.
pub const GRACE: TimeDelta = TimeDelta::seconds(30);

/// The new credentials of a desktop app.
#[derive(Debug)]
pub struct RefreshedTokens {
    pub session: SessionId,
    pub access_token: PlainToken,
    pub access_token_expires_at: DateTime<Utc>,
    pub refresh_token: PlainToken,
    pub user: User,
}

/// The result of an exchange.
enum ExchangeOutcome {
    Done(RefreshedTokens),
    /// The previous response was lost: the same tokens again.
    Repeated(RefreshedTokens),
    /// Unknown, or of an ended session.
    Invalid,
    /// Used before. The session was revoked.
    Reused(ReuseCause),
    /// Used by another client. The session was revoked.
    ClientChanged,
}

/// Exchanges a refresh token. Not activity.
///
/// # Errors
/// [`AppError::InvalidGrant`] for an unknown token or a token of an ended session; [`AppError::RefreshTokenReused`] for a token
/// that was used before, which revokes the session.
pub async fn exchange(
    state: &AppState,
    token: &PlainToken,
    client: &Client,
) -> Result<RefreshedTokens, AppError> {
    let exchange = try_exchange(state, token, client).await;
    state.metrics.refreshes.count(Refresh::from_result(&exchange));
    match exchange? {
        ExchangeOutcome::Done(refreshed) | ExchangeOutcome::Repeated(refreshed) => Ok(refreshed),
        ExchangeOutcome::Invalid | ExchangeOutcome::ClientChanged => Err(AppError::InvalidGrant),
        ExchangeOutcome::Reused(cause) => Err(AppError::RefreshTokenReused {
            answer_lost: cause == ReuseCause::LostResponse,
        }),
    }
}

impl Refresh {
    fn from_result(exchange: &Result<ExchangeOutcome, AppError>) -> Self {
        match exchange {
            Ok(ExchangeOutcome::Done(_)) => Refresh::Exchanged,
            Ok(ExchangeOutcome::Repeated(_)) => Refresh::Repeated,
            Ok(ExchangeOutcome::Invalid) => Refresh::Refused,
            Ok(ExchangeOutcome::Reused(_)) => Refresh::Reused,
            Ok(ExchangeOutcome::ClientChanged) => Refresh::ClientChanged,
            Err(AppError::Unavailable | AppError::OutcomeUnknown) => Refresh::Unavailable,
            Err(_) => Refresh::Failed,
        }
    }
}

async fn try_exchange(
    state: &AppState,
    token: &PlainToken,
    client: &Client,
) -> Result<ExchangeOutcome, AppError> {
    let found = refresh_tokens::find(&mut *state.database.connection().await?, token.hash()).await?;
    let Some(known) = found else {
        return reject_invalid(state, client);
    };
    let mut tx = state.database.begin().await?;
    users::lock(&mut tx, known.user).await?;
    sessions::lock(&mut tx, known.session).await?;
    let now = state.clock.now();
    let Some(live) = sessions::find_live(&mut tx, known.session, now).await? else {
        return reject_invalid(state, client);
    };
    if state.config.suspicion.end_on_client_change
        && is_other_client(ClientKind::Desktop, &live.user_agent, client.signature())
    {
        drop(tx);
        suspicion::revoke_for_client_change(state, known.user, known.session, client).await?;
        return Ok(ExchangeOutcome::ClientChanged);
    }
    // Check for reuse before the rate limit, which the thief of a token could exhaust. A rate-limited token stays valid.
    let check_rate = || rate_limit::check_session(state, Action::Refresh, known.session);
    let mut is_repeated = false;
    let successor = match refresh_tokens::load_state(&mut tx, known.id).await? {
        TokenState::Current => {
            check_rate()?;
            let salt = new_salt()?;
            let successor = Successor::derive(token, &salt);
            let expires_at = now + state.config.access_token;
            let hash = successor.refresh_token.hash();
            refresh_tokens::exchange(&mut tx, &known, hash, &salt, client.ip_address, now).await?;
            let access = successor.access_token.hash();
            sessions::set_credential(&mut tx, known.session, access, Some(expires_at), now).await?;
            events::publish_credential_replaced(&mut tx, known.user, known.session, now).await?;
            Some((successor, expires_at))
        }
        TokenState::Exchanged { at, salt } if now - at <= GRACE => {
            is_repeated = true;
            let successor = Successor::derive(token, &salt);
            // A session that is held by another access token by now has had its response.
            let access = successor.access_token.hash();
            let expires_at = sessions::find_credential_expiry(&mut tx, known.session, access).await?;
            if expires_at.is_some() {
                check_rate()?;
            }
            expires_at.map(|expires_at| (successor, expires_at))
        }
        TokenState::Exchanged { .. } | TokenState::Spent => None,
    };
    let Some((successor, access_token_expires_at)) = successor else {
        let cause = revoke_for_reuse(&mut tx, state, &known, client, now).await?;
        tx.commit().await?;
        tracing::warn!(
            user = %known.user,
            session = %known.session,
            cause = cause.as_str(),
            "refresh token shown again, session ended"
        );
        return Ok(ExchangeOutcome::Reused(cause));
    };
    tx.commit().await?;
    // The repeated response may be lost too, so it proves no presence.
    if !is_repeated {
        state.activity.note(known.session, now, false);
    }
    let refreshed = RefreshedTokens {
        session: known.session,
        access_token: successor.access_token,
        access_token_expires_at: access_token_expires_at.min(live.lifetime_expires_at),
        refresh_token: successor.refresh_token,
        user: live.user,
    };
    Ok(if is_repeated {
        ExchangeOutcome::Repeated(refreshed)
    } else {
        ExchangeOutcome::Done(refreshed)
    })
}

/// Rejects an unknown token or a token of an ended session. Counted by address, separately from valid tokens, since anyone can
/// send invalid ones.
fn reject_invalid(state: &AppState, client: &Client) -> Result<ExchangeOutcome, AppError> {
    rate_limit::check_address(state, Action::InvalidRefresh, client.ip_address)?;
    Ok(ExchangeOutcome::Invalid)
}

/// Revokes the session of a reused token: someone may have a copy, and the server cannot know who (RFC 9700, 4.14.2). Records
/// the likelier cause, a copy or a lost response.
async fn revoke_for_reuse(
    tx: &mut Transaction,
    state: &AppState,
    token: &StoredToken,
    client: &Client,
    now: DateTime<Utc>,
) -> sqlx::Result<ReuseCause> {
    let reuse = refresh_tokens::load_reuse(tx, token.id, client.network()).await?;
    let noted = state.activity.last_seen(token.session);
    let successor_used = reuse.successor_used || noted > reuse.exchanged_at;
    let cause = if !successor_used && reuse.same_network {
        ReuseCause::LostResponse
    } else {
        ReuseCause::TwoHolders
    };
    let (user, session) = (token.user, token.session);
    let actor = Actor::from_address(client.ip_address);
    let event = AuditEvent::token_reused(
        actor,
        (user, session),
        token.id,
        cause,
        successor_used,
        reuse.same_network,
    );
    audit::record(tx, event, now).await?;
    let filter = EndFilter::One(user, session);
    revoke::revoke_matching(tx, filter, EndReason::TokenReuse, None, actor, now).await?;
    suspicion::raise(tx, user, session, &UnusualActivity::reuse(cause), client, now).await?;
    Ok(cause)
}

/// The tokens that follow from a token and a salt. The database has only the salt, which is useless without the token.
struct Successor {
    access_token: PlainToken,
    refresh_token: PlainToken,
}

impl Successor {
    fn derive(token: &PlainToken, salt: &[u8; 32]) -> Self {
        let derive = |purpose: &[u8]| {
            let mut mac = hmac_with_key(salt);
            mac.update(&token.bytes());
            mac.update(purpose);
            let bytes: [u8; 32] = mac.finalize().into_bytes().into();
            let mut half = [0; PlainToken::BYTES];
            half.copy_from_slice(&bytes[..PlainToken::BYTES]);
            PlainToken::from_bytes(half)
        };
        Self {
            access_token: derive(b"access"),
            refresh_token: derive(b"refresh"),
        }
    }
}

fn hmac_with_key(salt: &[u8; 32]) -> Hmac<Sha256> {
    let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
    key[..salt.len()].copy_from_slice(salt);
    Hmac::new(&key)
}

fn new_salt() -> Result<[u8; 32], RandomnessError> {
    let mut salt = [0; 32];
    OsRng.try_fill_bytes(&mut salt).map_err(|_| RandomnessError)?;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successor_depends_on_token_salt_and_purpose() {
        let (token, other) = (PlainToken::from_bytes([1; 16]), PlainToken::from_bytes([2; 16]));
        let successor = Successor::derive(&token, &[7; 32]);
        let again = Successor::derive(&token, &[7; 32]);
        assert_eq!(successor.refresh_token, again.refresh_token);
        assert_eq!(successor.access_token, again.access_token);
        assert_ne!(successor.refresh_token, successor.access_token);
        assert_ne!(
            successor.refresh_token,
            Successor::derive(&token, &[8; 32]).refresh_token
        );
        assert_ne!(
            successor.refresh_token,
            Successor::derive(&other, &[7; 32]).refresh_token
        );
    }
}
