//! Reauthentication: sensitive actions require the password again if the last check is too old (ASVS 5.0, 7.5). A new check
//! rotates the credential (7.2.4).

use chrono::TimeDelta;
use serde_json::json;
use tracing::Instrument as _;

use super::{
    denials::{DenialReason, DenialRecorder},
    password_rehash, rate_limit,
    throttle::{self, TakenAttempts},
};
use domain::session::ClientKind;

use crate::{
    error::AppError,
    server::{
        auth::{
            current_session::{Client, CurrentSession},
            password::{Password, PasswordMatch},
            password_queue::Turn,
            token::PlainToken,
        },
        rate_counts::Action,
        state::AppState,
        store::{
            audit::{self, AuditEvent},
            caller_transaction::CallerTransaction,
            events, sessions,
            users::{self, Account},
        },
    },
};

/// The new credential of a session. The old one is refused.
#[derive(Debug)]
#[must_use = "the client needs the new credential"]
pub struct RotatedCredential {
    pub credential: PlainToken,
    /// How long it is valid: the rest of the session's lifetime, or the lifetime of an access token.
    pub valid_for: TimeDelta,
}

/// Whether sensitive actions of this session require the password.
pub fn is_required(state: &AppState, session: &CurrentSession) -> bool {
    let trusted_for = TimeDelta::from_std(state.config.reauth).unwrap_or(TimeDelta::MAX);
    state.clock.now() - session.authenticated_at > trusted_for
}

/// Why a sensitive action is allowed.
#[must_use]
pub enum PasswordProof {
    /// The last check is recent.
    LastCheck,
    /// The request had the right password. After the action, renew the check with [`renew_after_action`].
    Password(Box<Account>),
}

/// Allows a sensitive action if the last check is recent or `password` is right.
///
/// # Errors
/// [`AppError::ReauthRequired`] if the check is too old and there is no password, which is recorded once per window; errors of
/// [`check_password`].
pub async fn require_recent_check(
    state: &AppState,
    caller: &CurrentSession,
    password: Option<String>,
    client: &Client,
) -> Result<PasswordProof, AppError> {
    if is_required(state, caller) {
        require_password(state, caller, password, client).await
    } else {
        Ok(PasswordProof::LastCheck)
    }
}

/// Allows an action only with the right `password`.
///
/// # Errors
/// As [`require_recent_check`].
pub async fn require_password(
    state: &AppState,
    caller: &CurrentSession,
    password: Option<String>,
    client: &Client,
) -> Result<PasswordProof, AppError> {
    match password.filter(|password| !password.is_empty()) {
        Some(password) => {
            let turn = wait_for_turn(state, caller).await?;
            let verified = check_password(state, &turn, caller, password, client).await?;
            Ok(PasswordProof::Password(Box::new(verified)))
        }
        None => {
            let recorder = DenialRecorder {
                database: &state.database,
                clock: &state.clock,
                caller,
                ip_address: client.ip_address,
            };
            recorder.record(DenialReason::ReauthRequired, json!({})).await?;
            Err(AppError::ReauthRequired)
        }
    }
}

/// Renews the check after an action that was allowed by password. Not before: if the action failed, its error response would
/// not carry the new cookie. If renewing fails, the old credential stays valid, and the next action requires the password.
pub async fn renew_after_action(
    state: &AppState,
    caller: &CurrentSession,
    allowed: PasswordProof,
    client: &Client,
) -> Option<RotatedCredential> {
    let PasswordProof::Password(verified) = allowed else {
        return None;
    };
    let renewed = renew_after_check(state, caller, &verified, client).await;
    renewed
        .inspect_err(|error| tracing::warn!(%error, session = %caller.id, "password check not renewed"))
        .ok()
}

/// Checks the caller's password, then renews the check and rotates the credential.
///
/// # Errors
/// Errors of [`check_password`]; [`AppError::SessionEnded`] if the session ended meanwhile.
pub async fn reauthenticate(
    state: &AppState,
    caller: &CurrentSession,
    password: String,
    client: &Client,
) -> Result<RotatedCredential, AppError> {
    let turn = wait_for_turn(state, caller).await?;
    let verified = check_password(state, &turn, caller, password, client).await?;
    renew_after_check(state, caller, &verified, client).await
}

async fn renew_after_check(
    state: &AppState,
    caller: &CurrentSession,
    verified: &Account,
    client: &Client,
) -> Result<RotatedCredential, AppError> {
    let ip_address = Some(client.ip_address);
    let mut tx = CallerTransaction::begin(&state.database, &state.clock, caller, ip_address).await?;
    require_unchanged_password(&mut tx, verified).await?;
    let rotated = rotate_credential(state, &mut tx, caller).await?;
    let event = AuditEvent::reauthenticated(tx.actor());
    let now = tx.now();
    audit::record(&mut tx, event, now).await?;
    tx.commit().await?;
    Ok(rotated)
}

/// Checks under the user's row lock that the verified password has not been changed.
///
/// # Errors
/// [`AppError::InvalidCredentials`] if it was changed.
pub async fn require_unchanged_password(
    tx: &mut CallerTransaction,
    verified: &Account,
) -> Result<(), AppError> {
    let user = tx.user();
    let locked = users::find(tx, user).await?;
    if locked.is_none_or(|account| account.password_hash != verified.password_hash) {
        return Err(AppError::InvalidCredentials);
    }
    Ok(())
}

/// Waits for a turn to check the caller's password. Counted by session, like wrong passwords.
///
/// # Errors
/// [`AppError::RateLimited`], [`AppError::Busy`].
pub async fn wait_for_turn(state: &AppState, caller: &CurrentSession) -> Result<Turn, AppError> {
    rate_limit::check_session(state, Action::CheckPassword, caller.id)?;
    let requester = throttle::requester_of_session(caller.id);
    Ok(state.passwords.wait_for_turn(requester).await?)
}

/// Checks the caller's password. Wrong passwords count against this session only.
///
/// # Errors
/// [`AppError::InvalidCredentials`], [`AppError::TooManyAttempts`], [`AppError::RateLimited`].
pub async fn check_password(
    state: &AppState,
    turn: &Turn,
    caller: &CurrentSession,
    password: String,
    client: &Client,
) -> Result<Account, AppError> {
    let user = caller.user.id;
    let account = users::find(&mut *state.database.connection().await?, user)
        .await?
        .ok_or(AppError::InvalidCredentials)?;
    let taken = throttle::take_session_attempt(state, user, caller.id, client.ip_address).await?;
    // A separate task: even if the client disconnects, the taken attempt must be recorded or returned.
    let refusal = AuditEvent::reauthentication_failed(user, caller.id, client.ip_address);
    let (state, turn) = (state.clone(), turn.clone());
    let checked = async move { check_taken_attempt(&state, &turn, taken, account, password, refusal).await };
    let checked = tokio::spawn(checked.instrument(tracing::Span::current()));
    checked.await.map_err(|error| {
        tracing::error!(%error, "password check aborted");
        AppError::Internal
    })?
}

async fn check_taken_attempt(
    state: &AppState,
    turn: &Turn,
    taken: TakenAttempts,
    mut account: Account,
    typed: String,
    refusal: AuditEvent<'static>,
) -> Result<Account, AppError> {
    if let Some(password) = Password::new(typed) {
        let hash = Some(account.password_hash.clone());
        let found = state.passwords.verify(turn, password.clone(), hash).await;
        if !matches!(found, Ok(PasswordMatch::Wrong)) {
            throttle::give_back(state, &taken).await?;
        }
        match found? {
            PasswordMatch::Wrong => {}
            PasswordMatch::Right => return Ok(account),
            PasswordMatch::RightUnnormalised => {
                password_rehash::rehash_normalised(state, turn, &mut account, password).await?;
                return Ok(account);
            }
        }
    }
    let mut tx = state.database.begin().await?;
    throttle::record_failure(&mut tx, &taken).await?;
    audit::record(&mut tx, refusal, state.clock.now()).await?;
    tx.commit().await?;
    Err(AppError::InvalidCredentials)
}

/// Rotates the credential of the caller's session and records a new password check.
///
/// # Errors
/// [`AppError::SessionEnded`] if it expired meanwhile: clean-up does not take the user's lock.
pub async fn rotate_credential(
    state: &AppState,
    tx: &mut CallerTransaction,
    caller: &CurrentSession,
) -> Result<RotatedCredential, AppError> {
    let now = tx.now();
    sessions::lock(tx, caller.id).await?;
    if let Some(reason) = sessions::find_end_reason(tx, caller.id, now).await? {
        return Err(AppError::SessionEnded { reason });
    }
    let credential = PlainToken::generate()?;
    let rest = caller.lifetime_expires_at - now;
    let (valid_for, expires_at) = match caller.kind {
        ClientKind::Browser => (rest, None),
        ClientKind::Desktop => {
            let valid_for = rest.min(TimeDelta::from_std(state.config.access_token).unwrap_or(rest));
            (valid_for, Some(now + valid_for))
        }
    };
    sessions::set_credential(tx, caller.id, credential.hash(), expires_at, now).await?;
    sessions::record_reauthentication(tx).await?;
    events::publish_credential_replaced(tx, caller.user.id, caller.id, now).await?;
    Ok(RotatedCredential {
        credential,
        valid_for,
    })
}
