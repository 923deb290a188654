//! Sign-in: checks the password without a transaction ([`verify`]), then creates the session in one ([`create_session`]).

mod create_session;
pub(super) mod verify;

use std::time::Duration;

use chrono::TimeDelta;

use self::{
    create_session::{CreateSession, create_session},
    verify::{record_refused_sign_in, verify},
};
use domain::{
    ids::SessionId,
    password::PasswordProblem,
    session::{ClientKind, RevokeScope},
    user::User,
};

use crate::{
    error::AppError,
    server::{
        auth::{
            client::BrowserNames,
            current_session::{Client, Identity},
            password::{Password, PasswordError},
            token::{PlainToken, RandomnessError},
        },
        database::committed_changes,
        services::revoke,
        state::AppState,
        store::{devices::DeviceDetails, known_browsers},
        telemetry::labels::SignIn,
    },
};
pub use verify::VerifiedPassword;

/// The form.
pub struct SignInAttempt {
    pub email: String,
    pub password: String,
    /// Required after a password reset by an administrator; otherwise ignored.
    pub new_password: Option<String>,
}

/// The credentials of a browser.
#[derive(Debug)]
pub struct BrowserSignIn {
    pub session: SessionId,
    pub cookie: PlainToken,
    /// The lifetime of the session.
    pub valid_for: TimeDelta,
    /// The token of the known browser.
    pub known_browser: PlainToken,
}

/// The credentials of a desktop app.
#[derive(Debug)]
pub struct DesktopSignIn {
    pub session: SessionId,
    pub access_token: PlainToken,
    pub access_token_lifetime: Duration,
    pub refresh_token: PlainToken,
    pub user: User,
    /// Sessions that were revoked by the session limit.
    pub signed_out: Vec<SessionId>,
}

/// Signs a user in on a browser. Revokes the browser's previous session (`identity`), and a session of this user whose new
/// cookie never reached the browser.
///
/// # Errors
/// [`AppError::InvalidCredentials`] for a wrong password, an unknown email and a disabled account;
/// [`AppError::TooManyAttempts`], [`AppError::RateLimited`] and [`AppError::Busy`] without a password check.
pub async fn sign_in_browser(
    state: &AppState,
    attempt: SignInAttempt,
    client: &Client,
    identity: &Identity,
) -> Result<BrowserSignIn, AppError> {
    let result = try_sign_in_browser(state, attempt, client, identity).await;
    state.metrics.sign_ins.count(SignIn::from_result(&result));
    result
}

async fn try_sign_in_browser(
    state: &AppState,
    attempt: SignInAttempt,
    client: &Client,
    identity: &Identity,
) -> Result<BrowserSignIn, AppError> {
    let (typed, new) = (attempt.password.clone(), attempt.new_password.clone());
    let mut verified = verify(state, attempt, client, None).await?;
    let new_password = new_password_hash(state, &verified, client, &typed, new).await?;
    verified.turn.release_slot();
    let mut replaces = None;
    let mut orphan = None;
    match identity {
        Identity::SignedIn(old) if old.user.id == verified.account.id => replaces = Some(old.id),
        Identity::Replaced(old) if old.user == verified.account.id => orphan = Some(*old),
        // A previous session of another user is revoked in its own transaction.
        Identity::SignedIn(old) => {
            let (scope, ip_address) = (RevokeScope::Current, Some(client.ip_address));
            match revoke::revoke_own(&state.database, &state.clock, old, scope, ip_address).await {
                Ok(_) | Err(AppError::SessionEnded { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // A replaced cookie grants nothing, so a copy of it must not end another user's session.
        Identity::Anonymous | Identity::Ended(_) | Identity::Replaced(_) => {}
    }
    let names = BrowserNames::parse(&client.user_agent);
    let cookie = PlainToken::generate()?;
    // Keeps an existing token: a new one per sign-in would reset the browser's count of attempts.
    let known_browser = match &client.known_browser {
        Some(token)
            if known_browsers::exists(&mut *state.database.connection().await?, token.hash()).await? =>
        {
            token.clone()
        }
        _ => PlainToken::generate()?,
    };
    let created = create_session(
        state,
        &verified,
        client,
        CreateSession {
            kind: ClientKind::Browser,
            credential: &cookie,
            new_password: new_password.as_deref(),
            replaces,
            orphan,
            known_browser: Some(&known_browser),
            device: None,
            refresh_token: None,
            device_name: &names.device_name,
            browser: names.browser.as_deref(),
            os: names.os.as_deref(),
            platform: Some(names.platform),
        },
    )
    .await?;
    Ok(BrowserSignIn {
        session: created.session,
        cookie,
        valid_for: created.valid_for,
        known_browser,
    })
}

/// Signs a user in on a desktop app and registers the device. Revokes the previous session of this device.
///
/// # Errors
/// As [`sign_in_browser`].
pub async fn sign_in_desktop(
    state: &AppState,
    attempt: SignInAttempt,
    client: &Client,
    device: &DeviceDetails<'_>,
) -> Result<DesktopSignIn, AppError> {
    let result = try_sign_in_desktop(state, attempt, client, device).await;
    state.metrics.sign_ins.count(SignIn::from_result(&result));
    result
}

async fn try_sign_in_desktop(
    state: &AppState,
    attempt: SignInAttempt,
    client: &Client,
    device: &DeviceDetails<'_>,
) -> Result<DesktopSignIn, AppError> {
    let (typed, new) = (attempt.password.clone(), attempt.new_password.clone());
    let mut verified = verify(state, attempt, client, Some(device.device_id)).await?;
    let new_password = new_password_hash(state, &verified, client, &typed, new).await?;
    verified.turn.release_slot();
    let access_token = PlainToken::generate()?;
    let refresh_token = PlainToken::generate()?;
    let created = create_session(
        state,
        &verified,
        client,
        CreateSession {
            kind: ClientKind::Desktop,
            credential: &access_token,
            new_password: new_password.as_deref(),
            replaces: None,
            orphan: None,
            known_browser: None,
            device: Some(device),
            refresh_token: Some(&refresh_token),
            device_name: device.device_name,
            browser: None,
            os: None,
            platform: None,
        },
    )
    .await?;
    Ok(DesktopSignIn {
        session: created.session,
        access_token,
        access_token_lifetime: state.config.access_token,
        refresh_token,
        user: created.user,
        signed_out: created.signed_out,
    })
}

/// The hash of the new password, if an administrator requires one.
async fn new_password_hash(
    state: &AppState,
    verified: &VerifiedPassword,
    client: &Client,
    typed: &str,
    new: Option<String>,
) -> Result<Option<String>, AppError> {
    let account = &verified.account;
    if !account.password_change_required {
        return Ok(None);
    }
    let Some(new) = new.filter(|new| !new.is_empty()) else {
        // The password was right, but the refusal is recorded like any other.
        record_refused_sign_in(state, Some(account), client, "password_change_required").await?;
        return Err(AppError::PasswordChangeRequired);
    };
    if Password::is_same(typed, &new) {
        return Err(AppError::UnsuitablePassword(PasswordProblem::Unchanged));
    }
    let about = vec![account.email.clone(), account.display_name.clone()];
    let new = state.passwords.check_rules(&verified.turn, new, about).await?;
    let new = new.map_err(AppError::UnsuitablePassword)?;
    Ok(Some(state.passwords.hash(&verified.turn, new).await?))
}

impl SignIn {
    fn from_result<T>(result: &Result<T, AppError>) -> Self {
        match result {
            Ok(_) => SignIn::SignedIn,
            Err(
                AppError::InvalidCredentials
                | AppError::PasswordChangeRequired
                | AppError::UnsuitablePassword(_),
            ) => SignIn::Refused,
            Err(AppError::TooManyAttempts { .. } | AppError::RateLimited { .. }) => SignIn::Throttled,
            Err(AppError::Busy) => SignIn::Busy,
            Err(AppError::Unavailable | AppError::OutcomeUnknown) => SignIn::Unavailable,
            Err(_) => SignIn::Failed,
        }
    }
}

impl From<PasswordError> for AppError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => {
                tracing::warn!("password not checked, queue is full");
                AppError::Busy
            }
            PasswordError::AccountBusy => {
                tracing::info!("password not checked, account has used its share of the queue");
                AppError::RateLimited {
                    retry_after_seconds: 2,
                }
            }
            error => {
                tracing::error!(%error, "password not checked");
                AppError::Internal
            }
        }
    }
}

impl From<RandomnessError> for AppError {
    fn from(error: RandomnessError) -> Self {
        tracing::error!(%error, "secret not generated");
        committed_changes::unavailable_error()
    }
}
