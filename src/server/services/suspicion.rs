//! Detects unusual activity of a session. Most of it asks the user a question. Only two cases revoke the session: its cookie in
//! a browser with another engine, and a desktop's token in a browser. A change of network, browser version or requested site
//! revokes nothing. `docs/security.md` explains each rule.

use chrono::{DateTime, TimeDelta, Utc};

use super::{revoke, sign_in::verify::VerifiedPassword};
use crate::server::database::Connection;
use domain::{
    ids::{SessionId, UserId},
    security_notice::{NoticeRule, ReuseCause},
    session::{ClientKind, EndReason},
};

use crate::{
    error::AppError,
    server::{
        auth::{
            client::{BrowserNames, has_lost_browser_name, is_other_client},
            current_session::{Client, CurrentSession},
        },
        config::Suspicion,
        state::AppState,
        store::{
            audit::{self, Actor, AuditEvent},
            caller_transaction::{CallerError, CallerTransaction},
            events, networks,
            security_notices::{self, NewNotice},
            sessions::{self, EndFilter},
            users,
        },
    },
};

/// Unusual activity.
pub struct UnusualActivity {
    /// The most important rule first; never empty.
    rules: Vec<NoticeRule>,
    /// Recent failed sign-ins, for the rule about them.
    failures: Option<i32>,
    /// The probable cause, for the rule about token reuse.
    cause: Option<ReuseCause>,
}

impl UnusualActivity {
    /// Activity that one rule has detected.
    pub fn only(rule: NoticeRule) -> Self {
        Self {
            rules: vec![rule],
            failures: None,
            cause: None,
        }
    }

    /// Token reuse.
    pub fn reuse(cause: ReuseCause) -> Self {
        Self {
            cause: Some(cause),
            ..Self::only(NoticeRule::TokenReuse)
        }
    }
}

/// Age up to which failed sign-ins count.
const FAILURE_WINDOW: TimeDelta = TimeDelta::hours(24);

/// Checks a sign-in before its session exists. `None`: nothing is unusual. Ignores new devices and networks at a user's first
/// sign-in.
///
/// # Errors
/// Database errors.
pub async fn check_sign_in(
    conn: &mut Connection,
    rules: &Suspicion,
    verified: &VerifiedPassword,
    client: &Client,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<UnusualActivity>> {
    let user = verified.account.id;
    let mut found = Vec::new();
    let failures = audit::count_failures_since(conn, user, now - FAILURE_WINDOW).await?;
    let many = rules.failures.is_some_and(|least| failures >= i64::from(least));
    if audit::has_signed_in(conn, user).await? {
        found.extend(check_network(conn, rules, user, client, now).await?);
        if rules.new_device && !verified.known_device {
            found.push(NoticeRule::NewDevice);
        }
    }
    if many {
        found.push(NoticeRule::FailuresBefore);
    }
    found.sort_by_key(|rule| *rule as u8);
    Ok((!found.is_empty()).then(|| UnusualActivity {
        rules: found,
        failures: many.then(|| i32::try_from(failures).unwrap_or(i32::MAX)),
        cause: None,
    }))
}

/// Checks the network of a user's request.
async fn check_network(
    conn: &mut Connection,
    rules: &Suspicion,
    user: UserId,
    client: &Client,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<NoticeRule>> {
    let here = client.network();
    let within = rules
        .far_networks
        .and_then(|within| TimeDelta::from_std(within).ok());
    let since = now - within.unwrap_or(TimeDelta::zero());
    let elsewhere = networks::load_history(conn, user, here, since, now).await?;
    if elsewhere.known {
        return Ok(None);
    }
    // Not far if another session of the user is nearby.
    let far = !elsewhere.recent.is_empty() && elsewhere.recent.iter().all(|other| other.is_far_from(here));
    Ok(if within.is_some() && far {
        Some(NoticeRule::FarNetworks)
    } else {
        rules.new_network.then_some(NoticeRule::NewNetwork)
    })
}

/// Records unusual activity and creates a security notice for the user.
///
/// # Errors
/// Database errors.
pub async fn raise(
    conn: &mut Connection,
    user: UserId,
    session: SessionId,
    unusual: &UnusualActivity,
    client: &Client,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let notice = NewNotice {
        user,
        session,
        rules: &unusual.rules,
        ip_address: client.ip_address,
        failures: unusual.failures,
        cause: unusual.cause,
    };
    security_notices::insert(conn, notice, now).await?;
    let event =
        AuditEvent::suspicion_raised(client.ip_address, user, session, &unusual.rules, unusual.failures);
    audit::record(conn, event, now).await
}

/// Checks a request of a live session. `Some`: the session moved to another client and was revoked.
///
/// # Errors
/// [`AppError::Unavailable`] if the end could not be stored. The request must not continue then.
pub async fn check_request(
    state: &AppState,
    session: &CurrentSession,
    client: &Client,
) -> Result<Option<EndReason>, AppError> {
    let rules = &state.config.suspicion;
    if client.user_agent != session.user_agent {
        if rules.end_on_client_change
            && is_other_client(session.kind, &session.user_agent, client.signature())
        {
            revoke_for_client_change(state, session.user.id, session.id, client).await?;
            return Ok(Some(EndReason::ClientChanged));
        }
        // Ignore programs and names that an extension sets: otherwise the session could move to another browser in two steps.
        if !has_lost_browser_name(&session.user_agent, &client.user_agent)
            && !client.signature().is_disguised()
            && let Some(reason) = end_reason(update_client(state, session, client).await)?
        {
            return Ok(Some(reason));
        }
    }
    if !session.network_known {
        return end_reason(record_network(state, session, client).await);
    }
    Ok(None)
}

/// The end reason, if the session ended before the update.
fn end_reason(followed: Result<(), CallerError>) -> Result<Option<EndReason>, AppError> {
    match followed {
        Ok(()) => Ok(None),
        Err(CallerError::Ended(reason)) => Ok(Some(reason)),
        Err(error) => Err(error.into()),
    }
}

/// Revokes a session that moved to another client and asks the user about it.
///
/// # Errors
/// Database errors.
pub async fn revoke_for_client_change(
    state: &AppState,
    user: UserId,
    session: SessionId,
    client: &Client,
) -> Result<(), AppError> {
    let mut tx = state.database.begin().await?;
    users::lock(&mut tx, user).await?;
    let now = state.clock.now();
    let filter = EndFilter::One(user, session);
    let reason = EndReason::ClientChanged;
    let actor = Actor::from_address(client.ip_address);
    let ended = revoke::revoke_matching(&mut tx, filter, reason, None, actor, now).await?;
    // Concurrent requests create only one notice.
    if !ended.is_empty() {
        let unusual = UnusualActivity::only(NoticeRule::ClientChanged);
        raise(&mut tx, user, session, &unusual, client, now).await?;
    }
    tx.commit().await?;
    tracing::warn!(%user, %session, "session moved to another client, session revoked");
    Ok(())
}

/// Stores the new User-Agent, for example after a browser update.
async fn update_client(
    state: &AppState,
    session: &CurrentSession,
    client: &Client,
) -> Result<(), CallerError> {
    let names = (session.kind == ClientKind::Browser).then(|| BrowserNames::parse(&client.user_agent));
    let ip_address = Some(client.ip_address);
    let mut tx = CallerTransaction::begin(&state.database, &state.clock, session, ip_address).await?;
    let now = tx.now();
    sessions::set_client(
        &mut tx,
        session.id,
        &client.user_agent,
        names.as_ref().and_then(|names| names.browser.as_deref()),
        names.as_ref().and_then(|names| names.os.as_deref()),
        names.as_ref().map(|names| names.platform),
    )
    .await?;
    events::publish_session_updated(&mut tx, session.user.id, session.id, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Records a new network of the session.
async fn record_network(
    state: &AppState,
    session: &CurrentSession,
    client: &Client,
) -> Result<(), CallerError> {
    let user = session.user.id;
    let ip_address = Some(client.ip_address);
    // Locks the user before the session, like revocations.
    let mut tx = CallerTransaction::begin(&state.database, &state.clock, session, ip_address).await?;
    let now = tx.now();
    let unusual = check_network(&mut tx, &state.config.suspicion, user, client, now).await?;
    // Of concurrent requests only the first creates a notice.
    if networks::record(&mut tx, session.id, client.network(), now).await?
        && let Some(rule) = unusual
    {
        raise(
            &mut tx,
            user,
            session.id,
            &UnusualActivity::only(rule),
            client,
            now,
        )
        .await?;
        events::publish_sessions_changed(&mut tx, user, now).await?;
    }
    tx.commit().await?;
    Ok(())
}
