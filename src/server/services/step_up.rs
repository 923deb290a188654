//! Step-up: what could hurt asks for the password again when the last check is too long ago (ASVS 5.0, 7.5). A renewed
//! check changes the credential (7.2.4).

use chrono::TimeDelta;
use serde_json::json;
use tracing::Instrument as _;

use super::{
    password_form,
    rate_limit::{self, Action},
    refusals::{Reason, Refused},
    throttle::{self, Taken},
};
use domain::session::ClientKind;

use crate::{
    error::AppError,
    server::{
        auth::{
            current_session::{Client, CurrentSession},
            password::{Match, Password},
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
pub struct Rotated {
    pub credential: PlainToken,
    /// How long it may be of use: the rest of the session's lifetime, or the life of an access token.
    pub lasts: TimeDelta,
}

/// Whether sensitive actions of this session need a new look at the password.
pub fn is_required(state: &AppState, session: &CurrentSession) -> bool {
    let trusted_for = TimeDelta::from_std(state.config.reauth).unwrap_or(TimeDelta::MAX);
    state.clock.now() - session.authenticated_at > trusted_for
}

/// Why a sensitive action may go on.
#[must_use]
pub enum Allowed {
    /// The last check is fresh.
    ByLastCheck,
    /// The password came along and was right. Once the action is done, the check is to be renewed ([`renew_afterwards`]).
    ByPassword(Box<Account>),
}

/// Lets a sensitive action go on: the last check is fresh, or `password` comes with it and is right.
///
/// # Errors
/// [`AppError::ReauthRequired`] when the check is stale and there is no password; the first of a window has an audit row. Else
/// as
/// [`check`].
pub async fn require(
    state: &AppState,
    caller: &CurrentSession,
    password: Option<String>,
    client: &Client,
) -> Result<Allowed, AppError> {
    if is_required(state, caller) {
        require_password(state, caller, password, client).await
    } else {
        Ok(Allowed::ByLastCheck)
    }
}

/// Lets an action go on only if `password` comes with it and is right, however fresh the last check is.
///
/// # Errors
/// As [`require`].
pub async fn require_password(
    state: &AppState,
    caller: &CurrentSession,
    password: Option<String>,
    client: &Client,
) -> Result<Allowed, AppError> {
    match password.filter(|password| !password.is_empty()) {
        Some(password) => {
            let turn = turn(state, caller).await?;
            let verified = check(state, &turn, caller, password, client).await?;
            Ok(Allowed::ByPassword(Box::new(verified)))
        }
        None => {
            let refused = Refused {
                database: &state.database,
                clock: &state.clock,
                caller,
                ip_address: client.ip_address,
            };
            refused.record(Reason::ReauthRequired, json!({})).await?;
            Err(AppError::ReauthRequired)
        }
    }
}

/// Renews the check of a caller whose action was allowed by their password, after the action: were the credential replaced
/// before, an action that fails would leave the browser with one that is refused. Where renewing fails, the old
/// credential stays good, and the next action asks again.
pub async fn renew_afterwards(
    state: &AppState,
    caller: &CurrentSession,
    allowed: Allowed,
    client: &Client,
) -> Option<Rotated> {
    let Allowed::ByPassword(verified) = allowed else {
        return None;
    };
    let renewed = renew_verified(state, caller, &verified, client).await;
    renewed
        .inspect_err(|error| tracing::warn!(%error, session = %caller.id, "a password check was not renewed"))
        .ok()
}

/// Looks at the caller's password and, if it is right, renews the check and the credential.
///
/// # Errors
/// As [`check`]; [`AppError::SessionEnded`] when the session ended meanwhile.
pub async fn renew(
    state: &AppState,
    caller: &CurrentSession,
    password: String,
    client: &Client,
) -> Result<Rotated, AppError> {
    let turn = turn(state, caller).await?;
    let verified = check(state, &turn, caller, password, client).await?;
    renew_verified(state, caller, &verified, client).await
}

async fn renew_verified(
    state: &AppState,
    caller: &CurrentSession,
    verified: &Account,
    client: &Client,
) -> Result<Rotated, AppError> {
    let ip_address = Some(client.ip_address);
    let mut tx = CallerTransaction::begin(&state.database, &state.clock, caller, ip_address).await?;
    require_unchanged(&mut tx, verified).await?;
    let rotated = rotate(state, &mut tx, caller).await?;
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
pub async fn require_unchanged(tx: &mut CallerTransaction, verified: &Account) -> Result<(), AppError> {
    let user = tx.user();
    let locked = users::find(tx, user).await?;
    if locked.is_none_or(|account| account.password_hash != verified.password_hash) {
        return Err(AppError::InvalidCredentials);
    }
    Ok(())
}

fn refusal<'a>(caller: &CurrentSession, client: &Client, kind: RefusalKind, reason: &'a str) -> Refusal<'a> {
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
pub async fn turn(state: &AppState, caller: &CurrentSession) -> Result<Turn, AppError> {
    rate_limit::check_session(state, Action::CheckPassword, caller.id)?;
    let requester = throttle::requester_of_session(caller.id);
    Ok(state.passwords.turn(requester).await?)
}

/// Checks the caller's password. Wrong ones are counted against this session only.
///
/// # Errors
/// [`AppError::InvalidCredentials`], [`AppError::TooManyAttempts`], [`AppError::RateLimited`].
pub async fn check(
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
    let taken = throttle::take_for_session(state, user, caller.id, client.ip_address).await?;
    // To the end, whether or not the client waits for it: an attempt that was taken fails or is given back.
    let refusal = refusal(caller, client, RefusalKind::WrongPassword, "wrong_password");
    let (state, turn) = (state.clone(), turn.clone());
    let checked = async move { check_taken(&state, &turn, taken, account, password, refusal).await };
    let checked = tokio::spawn(checked.instrument(tracing::Span::current()));
    checked.await.map_err(|error| {
        tracing::error!(%error, "a password check was cut off");
        AppError::Internal
    })?
}

async fn check_taken(
    state: &AppState,
    turn: &Turn,
    taken: Taken,
    mut account: Account,
    typed: String,
    refusal: Refusal<'static>,
) -> Result<Account, AppError> {
    if let Some(password) = Password::new(typed) {
        let hash = Some(account.password_hash.clone());
        let found = state.passwords.verify(turn, password.clone(), hash).await;
        if !matches!(found, Ok(Match::Wrong)) {
            throttle::give_back(state, &taken).await?;
        }
        match found? {
            Match::Wrong => {}
            Match::Right => return Ok(account),
            Match::RightAsTyped => {
                password_form::normalise(state, turn, &mut account, password).await?;
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
pub async fn rotate(
    state: &AppState,
    tx: &mut CallerTransaction,
    caller: &CurrentSession,
) -> Result<Rotated, AppError> {
    let now = tx.now();
    sessions::lock(tx, caller.id).await?;
    if let Some(reason) = sessions::find_end_reason(tx, caller.id, now).await? {
        return Err(AppError::SessionEnded { reason });
    }
    let credential = PlainToken::generate()?;
    let rest = caller.lifetime_expires_at - now;
    let (lasts, expires_at) = match caller.kind {
        ClientKind::Browser => (rest, None),
        ClientKind::Desktop => {
            let lasts = rest.min(TimeDelta::from_std(state.config.access_token).unwrap_or(rest));
            (lasts, Some(now + lasts))
        }
    };
    sessions::set_credential(tx, caller.id, credential.hash(), expires_at, now).await?;
    sessions::record_reauthentication(tx).await?;
    events::publish_credential_replaced(tx, caller.user.id, caller.id, now).await?;
    Ok(Rotated { credential, lasts })
}
