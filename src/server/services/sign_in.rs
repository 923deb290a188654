//! Signing in: the password is looked at outside any transaction, the session begins inside one.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;

use super::revoke;
use crate::{
    domain::{
        ids::SessionId,
        session::{ClientKind, RevokeScope},
        user::User,
    },
    error::AppError,
    server::{
        auth::{
            client::UserAgentParser,
            current_session::{Client, CurrentSession},
            password::{Password, PasswordError},
            token::{NoRandomness, PlainToken},
        },
        state::AppState,
        store::{
            audit::{self, Actor, AuditEvent, AuditKind},
            devices::{self, DeviceFacts},
            events, refresh_tokens,
            sessions::{self, NewSession},
            users::{self, Account},
        },
    },
};

/// What a person typed.
pub struct Attempt {
    pub email: String,
    pub password: String,
}

/// What a browser holds from now on.
#[derive(Debug)]
pub struct BrowserSignIn {
    pub session: SessionId,
    pub cookie: PlainToken,
    /// How long the session may last at most.
    pub lasts: TimeDelta,
}

/// What a desktop holds from now on.
#[derive(Debug)]
pub struct DesktopSignIn {
    pub session: SessionId,
    pub access_token: PlainToken,
    pub access_token_lasts: Duration,
    pub refresh_token: PlainToken,
    pub user: User,
}

/// Signs a person in on a browser. `replaces` is the session that this browser held until now: it ends.
///
/// # Errors
/// [`AppError::InvalidCredentials`] for a wrong password, an unknown email and a disabled account alike.
pub async fn on_browser(
    state: &AppState,
    attempt: Attempt,
    client: &Client,
    replaces: Option<&CurrentSession>,
) -> Result<BrowserSignIn, AppError> {
    let account = verify(state, attempt, client).await?;
    if let Some(old) = replaces {
        let actor = Actor {
            user: Some(old.user.id),
            session: Some(old.id),
            ip_address: Some(client.ip_address),
        };
        match revoke::end_own(&state.database, &state.clock, old, RevokeScope::Current, actor).await {
            Ok(_) | Err(AppError::SessionEnded { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let names = UserAgentParser::default().read(&client.user_agent);
    let cookie = PlainToken::generate()?;
    let began = begin(
        state,
        &account,
        client,
        Beginning {
            kind: ClientKind::Browser,
            credential: &cookie,
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
        lasts: began.lasts,
    })
}

/// Signs a person in on a desktop and registers the device. A session that this device still held ends.
///
/// # Errors
/// As [`on_browser`].
pub async fn on_desktop(
    state: &AppState,
    attempt: Attempt,
    client: &Client,
    device: &DeviceFacts<'_>,
) -> Result<DesktopSignIn, AppError> {
    let account = verify(state, attempt, client).await?;
    let access_token = PlainToken::generate()?;
    let refresh_token = PlainToken::generate()?;
    let began = begin(
        state,
        &account,
        client,
        Beginning {
            kind: ClientKind::Desktop,
            credential: &access_token,
            device: Some(device),
            refresh_token: Some(&refresh_token),
            device_name: device.device_name,
            browser: None,
            os: None,
            platform: None,
        },
    )
    .await?;
    let access_token_lasts = state.config.access_token;
    Ok(DesktopSignIn {
        session: began.session,
        access_token,
        access_token_lasts,
        refresh_token,
        user: began.user,
    })
}

/// Looks at the password. An unknown email takes as long as a known one, and a disabled account as an enabled one.
async fn verify(state: &AppState, attempt: Attempt, client: &Client) -> Result<Account, AppError> {
    let email = attempt.email.trim();
    let account = if is_plausible_email(email) {
        users::find_by_email(&mut *state.database.connection().await?, email).await?
    } else {
        None
    };
    let Some(password) = Password::new(attempt.password) else {
        refuse(state, account.as_ref(), client, "password_too_long").await?;
        return Err(AppError::InvalidCredentials);
    };
    let hash = account.as_ref().map(|account| account.password_hash.clone());
    let right = state.passwords.verify(password, hash).await?;
    match account {
        Some(account) if right && !account.disabled => Ok(account),
        account => {
            let why = match &account {
                None => "unknown_email",
                Some(account) if account.disabled => "account_disabled",
                Some(_) => "wrong_password",
            };
            refuse(state, account.as_ref(), client, why).await?;
            Err(AppError::InvalidCredentials)
        }
    }
}

/// Text that no account can have need not be looked up. Control characters would also upset the database.
fn is_plausible_email(email: &str) -> bool {
    email.len() <= 254 && email.contains('@') && !email.chars().any(char::is_control)
}

async fn refuse(
    state: &AppState,
    account: Option<&Account>,
    client: &Client,
    why: &str,
) -> Result<(), AppError> {
    let event = AuditEvent {
        kind: AuditKind::SignInFailed,
        actor: Actor {
            ip_address: Some(client.ip_address),
            ..Actor::default()
        },
        user: account.map(|account| account.id),
        session: None,
        reason: Some(why),
        detail: json!({}),
    };
    let mut tx = state.database.begin().await?;
    audit::record(&mut tx, event, state.clock.now()).await?;
    tx.commit().await?;
    tracing::info!(
        user = account.map(|account| account.id.to_string()),
        why,
        "a sign-in was refused"
    );
    Ok(())
}

/// The session that is to begin.
struct Beginning<'a> {
    kind: ClientKind,
    credential: &'a PlainToken,
    device: Option<&'a DeviceFacts<'a>>,
    refresh_token: Option<&'a PlainToken>,
    device_name: &'a str,
    browser: Option<&'a str>,
    os: Option<&'a str>,
    platform: Option<&'a str>,
}

struct Began {
    session: SessionId,
    user: User,
    lasts: TimeDelta,
}

/// Begins a session under the person's row lock. What changed since the password was looked at (everything signed
/// out, another password, a disabled account) refuses it.
async fn begin(
    state: &AppState,
    verified: &Account,
    client: &Client,
    beginning: Beginning<'_>,
) -> Result<Began, AppError> {
    let user = verified.id;
    let mut tx = state.database.begin().await?;
    let account = users::lock(&mut tx, user)
        .await?
        .ok_or(AppError::InvalidCredentials)?;
    let unchanged = account.epoch == verified.epoch
        && account.password_hash == verified.password_hash
        && !account.disabled;
    if !unchanged {
        tracing::info!(%user, "a sign-in came too late: the account changed since its password was looked at");
        drop(tx);
        refuse(state, Some(&account), client, "account_changed").await?;
        return Err(AppError::InvalidCredentials);
    }
    let now = state.clock.now();
    let id = SessionId::new();
    let actor = Actor {
        user: Some(user),
        session: Some(id),
        ip_address: Some(client.ip_address),
    };

    // Sessions before devices, as everywhere: two that lock in different orders would wait for each other.
    if let Some(facts) = beginning.device
        && let Some(known) = devices::find(&mut tx, user, facts.device_id).await?
        && let Some(old) = sessions::end_of_device(&mut tx, known, user, now).await?
    {
        revoke::record_ended(&mut tx, user, &[old], None, actor, now).await?;
    }
    let device = match beginning.device {
        Some(facts) => Some(devices::register(&mut tx, user, facts, now).await?),
        None => None,
    };
    let is_desktop = beginning.kind == ClientKind::Desktop;
    let new = NewSession {
        id,
        user,
        organization: sessions::last_organization(&mut tx, user).await?,
        kind: beginning.kind,
        device,
        credential: beginning.credential.hash(),
        credential_expires_at: is_desktop.then(|| now + state.config.access_token),
        epoch: account.epoch,
        ip_address: client.ip_address,
        user_agent: &client.user_agent,
        browser: beginning.browser,
        os: beginning.os,
        platform: beginning.platform,
    };
    sessions::insert(&mut tx, new, now).await?;
    if let Some(token) = beginning.refresh_token {
        refresh_tokens::insert_first(&mut tx, id, token.hash(), now).await?;
    }
    let event = AuditEvent {
        kind: AuditKind::SignedIn,
        actor,
        user: Some(user),
        session: Some(id),
        reason: None,
        detail: json!({ "kind": beginning.kind, "device_name": beginning.device_name }),
    };
    audit::record(&mut tx, event, now).await?;
    events::sessions_changed(&mut tx, user, now).await?;
    let begun = sessions::begun(&mut tx, id).await?;
    tx.commit().await?;
    tracing::info!(%user, session = %id, kind = beginning.kind.as_str(), "signed in");
    Ok(Began {
        session: id,
        user: begun.user,
        lasts: begun.lifetime_expires_at - now,
    })
}

impl From<PasswordError> for AppError {
    fn from(error: PasswordError) -> Self {
        tracing::error!(%error, "a password could not be checked");
        AppError::Internal
    }
}

impl From<NoRandomness> for AppError {
    fn from(error: NoRandomness) -> Self {
        tracing::error!(%error, "no secret could be made");
        AppError::Unavailable
    }
}
