//! Creates a session under the user's row lock. Rejects the sign-in if the account has changed since the password check, and
//! revokes sessions beyond the limit.

use chrono::TimeDelta;

use super::verify::{VerifiedPassword, record_refused_sign_in};
use domain::{
    ids::SessionId,
    session::{ClientKind, EndReason},
    user::User,
};

use crate::{
    error::AppError,
    server::{
        auth::{
            current_session::{Client, ReplacedCookie},
            token::PlainToken,
        },
        services::{revoke, suspicion},
        state::AppState,
        store::{
            audit::{self, Actor, AuditEvent},
            devices::{self, DeviceDetails},
            events, known_browsers, networks, refresh_tokens,
            sessions::{self, EndFilter, NewSession},
            users,
        },
    },
};

/// The session to create.
pub struct CreateSession<'a> {
    pub kind: ClientKind,
    pub credential: &'a PlainToken,
    /// The hash of the new password, if the user had to choose one.
    pub new_password: Option<&'a str>,
    /// The user's previous session in this browser.
    pub replaces: Option<SessionId>,
    /// The user's session whose new cookie never reached this browser.
    pub orphan: Option<ReplacedCookie>,
    /// The token of the known browser.
    pub known_browser: Option<&'a PlainToken>,
    pub device: Option<&'a DeviceDetails<'a>>,
    pub refresh_token: Option<&'a PlainToken>,
    pub device_name: &'a str,
    pub browser: Option<&'a str>,
    pub os: Option<&'a str>,
    pub platform: Option<&'a str>,
}

/// The created session.
pub struct CreatedSession {
    pub session: SessionId,
    pub user: User,
    pub valid_for: TimeDelta,
    /// Sessions that were revoked by the session limit.
    pub signed_out: Vec<SessionId>,
}

/// Creates a session. Rejects the sign-in if the account was disabled, signed out everywhere or got a new password.
pub async fn create_session(
    state: &AppState,
    verified: &VerifiedPassword,
    client: &Client,
    request: CreateSession<'_>,
) -> Result<CreatedSession, AppError> {
    let user = verified.account.id;
    // The limit revokes the least recently used session, so write all known activity first.
    state.activity.flush(&state.database).await?;
    let mut tx = state.database.begin().await?;
    let account = users::lock(&mut tx, user)
        .await?
        .ok_or(AppError::InvalidCredentials)?;
    let unchanged = account.epoch == verified.account.epoch
        && account.password_hash == verified.account.password_hash
        && !account.disabled;
    if !unchanged {
        tracing::info!(%user, "sign-in rejected, account changed since the password check");
        drop(tx);
        record_refused_sign_in(state, Some(&account), client, "account_changed").await?;
        return Err(AppError::InvalidCredentials);
    }
    let now = state.clock.now();
    let id = SessionId::new();
    let actor = Actor::new_session(user, id, client.ip_address);

    // Locks all sessions that may end, in the usual order.
    sessions::lock_open_of(&mut tx, user).await?;
    if let Some(hash) = request.new_password {
        users::set_password(&mut tx, user, hash, now).await?;
        let event = AuditEvent::password_changed(actor, false);
        audit::record(&mut tx, event, now).await?;
        let all = EndFilter::All(user);
        revoke::revoke_matching(&mut tx, all, EndReason::PasswordChanged, None, actor, now).await?;
    }
    if let Some(old) = request.replaces {
        revoke::revoke_matching(
            &mut tx,
            EndFilter::One(user, old),
            EndReason::SignedOut,
            None,
            actor,
            now,
        )
        .await?;
    }
    if let Some(orphan) = request.orphan {
        revoke::revoke_orphan(&mut tx, orphan, actor, now).await?;
    }
    // Locks sessions before devices, like all code, to avoid deadlocks.
    if let Some(facts) = request.device
        && let Some(known) = devices::find(&mut tx, user, facts.device_id).await?
        && let Some(old) = sessions::end_for_device(&mut tx, known, user, now).await?
    {
        revoke::record_ended(&mut tx, &[old], None, actor, now).await?;
    }
    let unusual = suspicion::check_sign_in(&mut tx, &state.config.suspicion, verified, client, now).await?;
    let device = match request.device {
        Some(facts) => Some(devices::register(&mut tx, user, facts, now).await?),
        None => None,
    };
    let is_desktop = request.kind == ClientKind::Desktop;
    let new = NewSession {
        id,
        user,
        organization: sessions::load_last_organization(&mut tx, user).await?,
        kind: request.kind,
        device,
        credential: request.credential.hash(),
        credential_expires_at: is_desktop.then(|| now + state.config.access_token),
        epoch: account.epoch,
        ip_address: client.ip_address,
        user_agent: &client.user_agent,
        browser: request.browser,
        os: request.os,
        platform: request.platform,
        known_browser: request.known_browser.map(PlainToken::hash),
    };
    sessions::insert(&mut tx, new, now).await?;
    networks::record(&mut tx, id, client.network(), now).await?;
    if let Some(token) = request.refresh_token {
        refresh_tokens::insert_first(&mut tx, id, token.hash(), now).await?;
    }
    if let Some(token) = request.known_browser {
        known_browsers::record(&mut tx, user, token.hash(), now).await?;
    }
    let begun = sessions::load_inserted(&mut tx, id).await?;
    let most = begun.max_sessions;
    let signed_out = revoke::revoke_over_limit(&mut tx, user, Some(id), None, most, actor, now).await?;
    let event = AuditEvent::signed_in(actor, request.kind, request.device_name);
    audit::record(&mut tx, event, now).await?;
    if let Some(unusual) = unusual {
        suspicion::raise(&mut tx, user, id, &unusual, client, now).await?;
    }
    events::publish_sessions_changed(&mut tx, user, now).await?;
    tx.commit().await?;
    tracing::info!(%user, session = %id, kind = request.kind.as_str(), signed_out = signed_out.len(), "signed in");
    Ok(CreatedSession {
        session: id,
        user: begun.user,
        valid_for: begun.lifetime_expires_at - now,
        signed_out,
    })
}
