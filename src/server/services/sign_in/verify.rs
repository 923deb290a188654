//! Verifies a password. Takes as long for unknown emails and disabled accounts.

use tracing::Instrument as _;
use uuid::Uuid;

use super::SignInAttempt;
use domain::{ids::UserId, plain_text::to_nfc};

use crate::{
    error::AppError,
    server::{
        auth::{
            current_session::Client,
            password::{Password, PasswordMatch},
            password_queue::Turn,
        },
        services::{
            password_rehash, rate_limit,
            throttle::{self, SignInClient, TakenAttempts},
        },
        state::AppState,
        store::{
            audit::{self, AuditEvent},
            devices, known_browsers,
            users::{self, Account},
        },
    },
};

/// An account whose password has just been verified.
pub struct VerifiedPassword {
    pub account: Account,
    /// The account knows this browser or desktop app, and no security notice is open about it.
    pub known_device: bool,
    /// Held until the sign-in is complete, since others would wait for the account's row lock.
    pub turn: Turn,
}

/// Verifies the password, if an attempt is left. `desktop` is the id of a desktop app.
pub async fn verify(
    state: &AppState,
    attempt: SignInAttempt,
    client: &Client,
    desktop: Option<&str>,
) -> Result<VerifiedPassword, AppError> {
    // Normalised: otherwise each spelling would have its own attempts.
    let email = to_nfc(attempt.email.trim());
    let may_be_known = desktop.is_some() || client.known_browser.is_some();
    if !may_be_known {
        limit_unknown_device(state, &email, client)?;
    }
    let account = if is_plausible_email(&email) {
        let found = users::find_by_email(&mut *state.database.connection().await?, &email).await?;
        // The database treats more letters as equal than the count of attempts does. Other spellings are rejected, since each
        // would have its own count.
        found.filter(|account| account.email.to_lowercase() == email.to_lowercase())
    } else {
        None
    };
    let device = find_known_device(state, account.as_ref(), client, desktop).await?;
    let sign_in = SignInClient {
        email: &email,
        user: account.as_ref().map(|account| account.id),
        ip_address: client.ip_address,
        known_device: device.counted_by,
    };
    match sign_in.device_bucket() {
        Some(device) => rate_limit::check_known_device(state, device)?,
        None if may_be_known => limit_unknown_device(state, &email, client)?,
        None => {}
    }
    let turn = state.passwords.wait_for_turn(sign_in.requester()).await?;
    let taken = throttle::take_attempt(state, &sign_in).await?;
    let known_device = device.known;
    // A separate task: even if the client disconnects, the taken attempt must be recorded or returned.
    let (state, client) = (state.clone(), client.clone());
    let checked = async move {
        let account = check(&state, &turn, taken, account, attempt.password, &client).await?;
        Ok(VerifiedPassword {
            account,
            known_device,
            turn,
        })
    };
    let checked = tokio::spawn(checked.instrument(tracing::Span::current()));
    checked.await.map_err(|error| {
        tracing::error!(%error, "sign-in aborted");
        AppError::Internal
    })?
}

async fn check(
    state: &AppState,
    turn: &Turn,
    taken: TakenAttempts,
    account: Option<Account>,
    typed: String,
    client: &Client,
) -> Result<Account, AppError> {
    let Some(password) = Password::new(typed) else {
        record_refusal(state, Some(&taken), account.as_ref(), client, "password_too_long").await?;
        return Err(AppError::InvalidCredentials);
    };
    let hash = account.as_ref().map(|account| account.password_hash.clone());
    let found = match state.passwords.verify(turn, password.clone(), hash).await {
        Ok(found) => found,
        Err(error) => {
            throttle::give_back(state, &taken).await?;
            return Err(error.into());
        }
    };
    match account {
        Some(mut account) if found != PasswordMatch::Wrong && !account.disabled => {
            throttle::give_back(state, &taken).await?;
            if found == PasswordMatch::RightUnnormalised {
                password_rehash::rehash_normalised(state, turn, &mut account, password).await?;
            }
            Ok(account)
        }
        account => {
            let why = match &account {
                None => "unknown_email",
                Some(account) if account.disabled => "account_disabled",
                Some(_) => "wrong_password",
            };
            record_refusal(state, Some(&taken), account.as_ref(), client, why).await?;
            Err(AppError::InvalidCredentials)
        }
    }
}

/// Applies the limits for devices that the account does not know, if possible before any query. Known devices have their own
/// limits, which others cannot exhaust.
fn limit_unknown_device(state: &AppState, email: &str, client: &Client) -> Result<(), AppError> {
    state.passwords.require_room(&throttle::account_bucket(email))?;
    rate_limit::check_sign_in(state, email, client.ip_address)
}

/// Whether an account can have this email. Others are not looked up; the database rejects control characters.
fn is_plausible_email(email: &str) -> bool {
    email.len() <= 254 && email.contains('@') && !email.chars().any(char::is_control)
}

/// What the account knows about a browser or desktop app.
#[derive(Default)]
struct KnownDevice {
    known: bool,
    /// The key of its own count of attempts, if it has one.
    counted_by: Option<Vec<u8>>,
}

async fn find_known_device(
    state: &AppState,
    account: Option<&Account>,
    client: &Client,
    desktop: Option<&str>,
) -> Result<KnownDevice, AppError> {
    // Query also without an account, for constant time.
    let user = account.map_or(UserId(Uuid::nil()), |account| account.id);
    let conn = &mut *state.database.connection().await?;
    let counted_by = match (desktop, &client.known_browser) {
        (Some(device_id), _) => {
            let found =
                devices::find_with_network(conn, user, device_id, client.network(), state.clock.now())
                    .await?;
            let known = found.as_ref().is_some_and(|device| !device.in_question);
            // Only in a known network: elsewhere the id may have been stolen.
            let here = found.filter(|device| device.in_network);
            return Ok(KnownDevice {
                known,
                counted_by: here.map(|device| device.id.0.as_bytes().to_vec()),
            });
        }
        (None, Some(token)) => known_browsers::is_known(conn, user, token.hash())
            .await?
            .then(|| token.hash().as_bytes().to_vec()),
        (None, None) => None,
    };
    let in_question = match &client.known_browser {
        Some(token) if counted_by.is_some() => {
            known_browsers::is_in_question(conn, user, token.hash(), state.clock.now()).await?
        }
        _ => false,
    };
    Ok(KnownDevice {
        known: counted_by.is_some() && !in_question,
        counted_by,
    })
}

/// Records a refused sign-in with the right password.
pub async fn record_refused_sign_in(
    state: &AppState,
    account: Option<&Account>,
    client: &Client,
    why: &str,
) -> Result<(), AppError> {
    record_refusal(state, None, account, client, why).await
}

async fn record_refusal(
    state: &AppState,
    failed: Option<&TakenAttempts>,
    account: Option<&Account>,
    client: &Client,
    why: &str,
) -> Result<(), AppError> {
    let event = AuditEvent::sign_in_failed(client.ip_address, account.map(|account| account.id), why);
    let mut tx = state.database.begin().await?;
    if let Some(failed) = failed {
        throttle::record_failure(&mut tx, failed).await?;
    }
    audit::record(&mut tx, event, state.clock.now()).await?;
    tx.commit_side_record().await?;
    tracing::info!(
        user = account.map(|account| account.id.to_string()),
        why,
        "sign-in refused"
    );
    Ok(())
}
