//! What is unusual about a session, and what comes of it. A person is asked about most of it and signed out for two
//! things only: a cookie in a browser with another engine, and a desktop's token in a browser. Nobody is signed out for
//! changing their network, the version of their browser or the site that it asks for. `docs/security.md` explains each rule.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{revoke, sign_in::VerifiedPassword};
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
            audit::{self, Actor, AuditEvent, AuditKind},
            caller_transaction::{CallerError, CallerTransaction},
            events, networks,
            security_notices::{self, NewNotice},
            sessions::{self, EndFilter},
            users,
        },
    },
};

/// What is unusual.
pub struct UnusualActivity {
    /// Most telling first; never empty.
    rules: Vec<NoticeRule>,
    /// Refused passwords just before, where that is a rule.
    failures: Option<i32>,
    /// Where a refresh token was shown again.
    cause: Option<ReuseCause>,
}

impl UnusualActivity {
    /// One thing.
    pub fn only(rule: NoticeRule) -> Self {
        Self {
            rules: vec![rule],
            failures: None,
            cause: None,
        }
    }

    /// A refresh token was shown again.
    pub fn reuse(cause: ReuseCause) -> Self {
        Self {
            cause: Some(cause),
            ..Self::only(NoticeRule::TokenReuse)
        }
    }
}

/// Refused passwords older than this have nothing to do with a sign-in now.
const FAILURE_WINDOW: TimeDelta = TimeDelta::hours(24);

/// Looks at a sign-in, before its session is in the database. `None`: nothing is unusual. The very first sign-in of a
/// person is new in every way, and no news to them.
///
/// # Errors
/// The database's.
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

/// What is unusual about the network that a person has turned up in.
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
    // Whoever has a session nearby has only walked from one network into the next.
    let far = !elsewhere.recent.is_empty() && elsewhere.recent.iter().all(|other| other.is_far_from(here));
    Ok(if within.is_some() && far {
        Some(NoticeRule::FarNetworks)
    } else {
        rules.new_network.then_some(NoticeRule::NewNetwork)
    })
}

/// Puts something unusual on record, and a question before the person.
///
/// # Errors
/// The database's.
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
    let event = AuditEvent {
        kind: AuditKind::SuspicionRaised,
        actor: Actor::from_address(client.ip_address),
        user: Some(user),
        session: Some(session),
        reason: unusual.rules.first().map(|rule| rule.as_str()),
        detail: json!({ "rules": unusual.rules, "failures": unusual.failures }),
    };
    audit::record(conn, event, now).await
}

/// Looks at a request of a session that is live. `Some`: the session has turned up in another client and was ended.
///
/// # Errors
/// [`AppError::Unavailable`] when the end could not be stored: the request must not go on then.
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
        // A detour through a program, or through a name that an extension gave, must not lead from one browser into
        // another.
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

/// `Some`: the session ended meanwhile, so that nothing was written.
fn end_reason(followed: Result<(), CallerError>) -> Result<Option<EndReason>, AppError> {
    match followed {
        Ok(()) => Ok(None),
        Err(CallerError::Ended(reason)) => Ok(Some(reason)),
        Err(error) => Err(error.into()),
    }
}

/// Ends a session that has turned up in another client, and asks the person about it.
///
/// # Errors
/// The database's.
pub async fn revoke_for_client_change(
    state: &AppState,
    user: UserId,
    session: SessionId,
    client: &Client,
) -> Result<(), AppError> {
    let mut tx = state.database.begin().await?;
    users::lock(&mut tx, user).await?;
    let now = state.clock.now();
    let filter = EndFilter {
        user,
        only: Some(session),
        except: None,
    };
    let reason = EndReason::ClientChanged;
    let actor = Actor::from_address(client.ip_address);
    let ended = revoke::revoke_matching(&mut tx, filter, reason, None, actor, now).await?;
    // Several requests may have come at once; one of them is enough to ask about.
    if !ended.is_empty() {
        let unusual = UnusualActivity::only(NoticeRule::ClientChanged);
        raise(&mut tx, user, session, &unusual, client, now).await?;
    }
    tx.commit().await?;
    tracing::warn!(%user, %session, "a session turned up in another client and was ended");
    Ok(())
}

/// A browser that was updated is listed with its new version.
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

/// Writes down a network that the session has not been used from before.
async fn record_network(
    state: &AppState,
    session: &CurrentSession,
    client: &Client,
) -> Result<(), CallerError> {
    let user = session.user.id;
    let ip_address = Some(client.ip_address);
    // Locks the user before the session's rows, as revocations do.
    let mut tx = CallerTransaction::begin(&state.database, &state.clock, session, ip_address).await?;
    let now = tx.now();
    let unusual = check_network(&mut tx, &state.config.suspicion, user, client, now).await?;
    // Of requests that come at once, the first one asks.
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
