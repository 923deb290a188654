//! Step-up: what could hurt asks for the password again when the last check is too long ago (ASVS 5.0, 7.5). A renewed
//! check changes the credential (7.2.4).

use chrono::TimeDelta;
use serde_json::json;
use tracing::Instrument as _;

use super::{
    denials::{DenialReason, DenialRecorder},
    password_rehash,
    rate_limit::{self, Action},
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
        state::AppState,
        store::{
            audit::{self, AuditEvent, AuditKind, Refusal, RefusalKind},
            caller_transaction::CallerTransaction,
            events, sessions,
            users::{self, Account},
        },
    },
};

/// The credential that a session is held by from now on. The old one is refused.
#[derive(Debug)]
#[must_use = "whoever held the old credential needs the new one"]
pub struct RotatedCredential {
    pub credential: PlainToken,
    /// How long it may be of use: the rest of the session's lifetime, or the life of an access token.
    pub valid_for: TimeDelta,
}

/// Whether sensitive actions of this session need a new look at the password.
pub fn is_required(state: &AppState, session: &CurrentSession) -> bool {
    let trusted_for = TimeDelta::from_std(state.config.reauth).unwrap_or(TimeDelta::MAX);
    state.clock.now() - session.authenticated_at > trusted_for
}

/// Why a sensitive action may go on.
#[must_use]
pub enum PasswordProof {
    /// The last check is fresh.
    LastCheck,
    /// The password came along and was right. Once the action is done, the check is to be renewed ([`renew_after_action`]).
    Password(Box<Account>),
}

/// Lets a sensitive action go on: the last check is fresh, or `password` comes with it and is right.
///
/// # Errors
/// [`AppError::ReauthRequired`] when the check is stale and there is no password; the first of a window has an audit row. Else
/// as
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

/// Lets an action go on only if `password` comes with it and is right, however fresh the last check is.
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
            let refused = DenialRecorder {
                database: &state.database,
                clock: &state.clock,
                caller,
                ip_address: client.ip_address,
            };
            refused.record(DenialReason::ReauthRequired, json!({})).await?;
            Err(AppError::ReauthRequired)
        }
    }
}

/// Renews the check of a caller whose action was allowed by their password, after the action: were the credential replaced
/// before, an action that fails would leave the browser with one that is refused. Where renewing fails, the old
/// credential stays good, and the next action asks again.
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
        .inspect_err(|error| tracing::warn!(%error, session = %caller.id, "a password check was not renewed"))
        .ok()
}

/// Looks at the caller's password and, if it is right, renews the check and the credential.
///
/// # Errors
/// As [`check_password`]; [`AppError::SessionEnded`] when the session ended meanwhile.
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
    let event = AuditEvent {
        kind: AuditKind::Reauthenticated,
        actor: tx.actor(),
        user: Some(caller.user.id),
        session: Some(caller.id),
        reason: None,
        detail: json!({}),
    };
    let now = tx.now();
    audit::record(&mut tx, event, now).await?;
    tx.commit().await?;
    Ok(rotated)
}

/// Rechecks under the user's lock that the password that was verified is still the password.
///
/// # Errors
/// [`AppError::InvalidCredentials`] when it was changed meanwhile.
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

fn wrong_password_refusal<'a>(
    caller: &CurrentSession,
    client: &Client,
    kind: RefusalKind,
    reason: &'a str,
) -> Refusal<'a> {
    Refusal {
        kind,
        user: caller.user.id,
        session: caller.id,
        ip_address: client.ip_address,
        reason,
        detail: json!({}),
    }
}

/// Waits for the caller's turn to have a password checked. Counted by session, as wrong passwords are.
///
/// # Errors
/// [`AppError::RateLimited`], [`AppError::Busy`].
pub async fn wait_for_turn(state: &AppState, caller: &CurrentSession) -> Result<Turn, AppError> {
    rate_limit::check_session(state, Action::CheckPassword, caller.id)?;
    let requester = throttle::requester_of_session(caller.id);
    Ok(state.passwords.wait_for_turn(requester).await?)
}

/// Checks the caller's password. Wrong ones are counted against this session only.
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
    // To the end, whether or not the client waits for it: an attempt that was taken fails or is given back.
    let refusal = wrong_password_refusal(caller, client, RefusalKind::WrongPassword, "wrong_password");
    let (state, turn) = (state.clone(), turn.clone());
    let checked = async move { check_taken_attempt(&state, &turn, taken, account, password, refusal).await };
    let checked = tokio::spawn(checked.instrument(tracing::Span::current()));
    checked.await.map_err(|error| {
        tracing::error!(%error, "a password check was cut off");
        AppError::Internal
    })?
}

async fn check_taken_attempt(
    state: &AppState,
    turn: &Turn,
    taken: TakenAttempts,
    mut account: Account,
    typed: String,
    refusal: Refusal<'static>,
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
    audit::record_refusal(&mut tx, refusal, state.clock.now()).await?;
    tx.commit().await?;
    Err(AppError::InvalidCredentials)
}

/// Gives the caller's session a new credential and a fresh check.
///
/// # Errors
/// [`AppError::SessionEnded`] when it has run out meanwhile: cleanup does not wait for the user's lock.
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
