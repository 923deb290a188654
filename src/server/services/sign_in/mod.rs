//! Signing in: the password is looked at outside any transaction ([`verify`]), the session begins inside one ([`create_session`]).

mod create_session;
mod verify;

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
        telemetry::metrics::SignIn,
    },
};
pub use verify::VerifiedPassword;

/// What a person typed.
pub struct SignInAttempt {
    pub email: String,
    pub password: String,
    /// Where an administrator has asked for one; of no account otherwise.
    pub new_password: Option<String>,
}

/// What a browser holds from now on.
#[derive(Debug)]
pub struct BrowserSignIn {
    pub session: SessionId,
    pub cookie: PlainToken,
    /// How long the session may last at most.
    pub valid_for: TimeDelta,
    /// The mark by which this browser is known next time.
    pub known_browser: PlainToken,
}

/// What a desktop holds from now on.
#[derive(Debug)]
pub struct DesktopSignIn {
    pub session: SessionId,
    pub access_token: PlainToken,
    pub access_token_lifetime: Duration,
    pub refresh_token: PlainToken,
    pub user: User,
    /// Where the person was signed out for it, because their role allows no more sessions.
    pub signed_out: Vec<SessionId>,
}

/// Signs a person in on a browser. The session that it held until now (`identity`) ends, and so does one of this person's whose
/// new cookie it has not received.
///
/// # Errors
/// [`AppError::InvalidCredentials`] for a wrong password, an unknown email and a disabled account alike;
/// [`AppError::TooManyAttempts`], [`AppError::RateLimited`] and [`AppError::Busy`] without a check of the password.
pub async fn sign_in_browser(
    state: &AppState,
    attempt: SignInAttempt,
    client: &Client,
    identity: &Identity,
) -> Result<BrowserSignIn, AppError> {
    let began = try_sign_in_browser(state, attempt, client, identity).await;
    state.metrics.sign_ins.count(SignIn::of(&began));
    began
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
        // Another user's session in the same browser is not part of what happens to this one.
        Identity::SignedIn(old) => {
            let (scope, ip_address) = (RevokeScope::Current, Some(client.ip_address));
            match revoke::revoke_own(&state.database, &state.clock, old, scope, ip_address).await {
                Ok(_) | Err(AppError::SessionEnded { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // A replaced cookie opens nothing: whoever shows a copy of it must not end another user's session either.
        Identity::Anonymous | Identity::Ended(_) | Identity::Replaced(_) => {}
    }
    let names = BrowserNames::parse(&client.user_agent);
    let cookie = PlainToken::generate()?;
    // A browser keeps the mark that it has: a new one with each sign-in would give every account there a new count.
    let known_browser = match &client.known_browser {
        Some(mark)
            if known_browsers::exists(&mut *state.database.connection().await?, mark.hash()).await? =>
        {
            mark.clone()
        }
        _ => PlainToken::generate()?,
    };
    let began = create_session(
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
        session: began.session,
        cookie,
        valid_for: began.valid_for,
        known_browser,
    })
}

/// Signs a person in on a desktop and registers the device. A session that this device still held ends.
///
/// # Errors
/// As [`sign_in_browser`].
pub async fn sign_in_desktop(
    state: &AppState,
    attempt: SignInAttempt,
    client: &Client,
    device: &DeviceDetails<'_>,
) -> Result<DesktopSignIn, AppError> {
    let began = try_sign_in_desktop(state, attempt, client, device).await;
    state.metrics.sign_ins.count(SignIn::of(&began));
    began
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
    let began = create_session(
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
        session: began.session,
        access_token,
        access_token_lifetime: state.config.access_token,
        refresh_token,
        user: began.user,
        signed_out: began.signed_out,
    })
}

/// The hash of the new password where an administrator has asked for one.
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
        // Somebody knows the password: that is on record, as any other refused sign-in.
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
    fn of<T>(began: &Result<T, AppError>) -> Self {
        match began {
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
                tracing::info!("password not checked, account has its share of the queue");
                AppError::RateLimited {
                    retry_after_seconds: 2,
                }
            }
            error => {
                tracing::error!(%error, "a password could not be checked");
                AppError::Internal
            }
        }
    }
}

impl From<RandomnessError> for AppError {
    fn from(error: RandomnessError) -> Self {
        tracing::error!(%error, "no secret could be made");
        committed_changes::unavailable_error()
    }
}
