//! Revokes sessions. [`revoke_matching`] ends every session with its audit event and its session event.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use domain::{
    ids::{OrganizationId, SessionId, UserId},
    session::{EndReason, RevokeScope},
};
use serde_json::json;

use crate::{
    error::{AppError, Resource},
    server::{
        auth::current_session::{CurrentSession, EndedSession, ReplacedCookie},
        clock::Clock,
        database::{Database, Transaction, TransactionError, retry_on_conflict},
        services::denials::DenialRecorder,
        store::{
            audit::{self, Actor},
            caller_transaction::CallerTransaction,
            events,
            sessions::{self, EndCause, EndFilter, EndRecord},
            users,
        },
    },
};

/// Revokes live sessions of the caller's own user in one transaction and returns their ids.
///
/// # Errors
/// [`AppError::NotFound`] if the session is not live or belongs to another user; [`AppError::SessionEnded`] if the caller's own
/// session ended before the lock was taken, so that a thief whose session was just revoked cannot revoke others.
pub async fn revoke_own(
    database: &Database,
    clock: &Clock,
    caller: &CurrentSession,
    scope: RevokeScope,
    ip_address: Option<IpAddr>,
) -> Result<Vec<SessionId>, AppError> {
    retry_on_conflict(|| try_revoke_own(database, clock, caller, scope, ip_address)).await
}

async fn try_revoke_own(
    database: &Database,
    clock: &Clock,
    caller: &CurrentSession,
    scope: RevokeScope,
    ip_address: Option<IpAddr>,
) -> Result<Vec<SessionId>, TransactionError> {
    let user = caller.user.id;
    let mut tx = CallerTransaction::begin(database, clock, caller, ip_address).await?;
    let (now, actor) = (tx.now(), tx.actor());
    let (filter, reason) = match scope {
        RevokeScope::Current => (EndFilter::One(user, caller.id), EndReason::SignedOut),
        RevokeScope::One(id) if id == caller.id => (EndFilter::One(user, id), EndReason::SignedOut),
        RevokeScope::One(id) => (EndFilter::One(user, id), EndReason::Revoked),
        RevokeScope::Others => (EndFilter::AllExcept(user, caller.id), EndReason::Revoked),
        RevokeScope::All => (EndFilter::All(user), EndReason::SignedOutEverywhere),
    };
    if scope == RevokeScope::Others {
        // Locks the caller's own session too, in the order of ids, like writers of activity.
        sessions::lock_open_of(&mut tx, user).await?;
    }
    let ended: Vec<SessionId> = live_ids(&revoke_matching(&mut tx, filter, reason, None, actor, now).await?);
    if let RevokeScope::One(id) = scope
        && ended.is_empty()
    {
        drop(tx);
        if let Some(ip_address) = ip_address {
            let recorder = DenialRecorder {
                database,
                clock,
                caller,
                ip_address,
            };
            recorder.record_foreign("session_id", id.0).await?;
        }
        return Err(AppError::NotFound(Resource::Session).into());
    }
    // Rejects sign-ins whose password check is in progress.
    match scope {
        RevokeScope::Current | RevokeScope::One(_) => {}
        RevokeScope::Others => {
            users::increment_epoch(&mut tx, user).await?;
            sessions::update_epoch(&mut tx).await?;
        }
        RevokeScope::All => users::increment_epoch(&mut tx, user).await?,
    }
    tx.commit().await?;
    tracing::info!(%user, ended = ended.len(), reason = reason.as_str(), "sessions ended");
    Ok(ended)
}

/// Revokes the sessions that the filter selects, for an operator or a rule. The caller must hold the user's row lock and
/// commit.
///
/// # Errors
/// Database errors.
pub async fn revoke_matching(
    tx: &mut Transaction,
    filter: EndFilter,
    reason: EndReason,
    note: Option<&str>,
    actor: Actor,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<EndRecord>> {
    let end = EndCause {
        reason,
        by: actor.user(),
        by_session: actor.session(),
        note,
    };
    let ended = sessions::end(tx, filter, end, now).await?;
    record_ended(tx, &ended, note, actor, now).await?;
    Ok(ended)
}

/// Revokes all sessions of a user, and rejects sign-ins that are in progress. Returns the number of live sessions. The caller
/// must hold the user's row lock and commit.
///
/// # Errors
/// Database errors.
pub async fn revoke_all(
    tx: &mut Transaction,
    user: UserId,
    reason: EndReason,
    note: Option<&str>,
    actor: Actor,
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    let ended = revoke_matching(tx, EndFilter::All(user), reason, note, actor, now).await?;
    users::increment_epoch(tx, user).await?;
    Ok(live_ids(&ended).len())
}

/// Revokes the sessions beyond the session limit ([`sessions::list_over_limit`]) and returns their ids. The caller must hold the
/// user's row lock and commit.
///
/// # Errors
/// Database errors.
pub async fn revoke_over_limit(
    tx: &mut Transaction,
    user: UserId,
    kept: Option<SessionId>,
    organization: Option<OrganizationId>,
    most: i64,
    actor: Actor,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<SessionId>> {
    let over = sessions::list_over_limit(tx, user, kept, organization, most, now).await?;
    for &session in &over {
        let filter = EndFilter::One(user, session);
        revoke_matching(tx, filter, EndReason::SessionLimit, None, actor, now).await?;
    }
    Ok(over)
}

/// Revokes a session whose new cookie never reached the browser, unless the cookie has been used meanwhile. The caller must
/// hold the user's row lock and commit.
///
/// # Errors
/// Database errors.
pub async fn revoke_orphan(
    tx: &mut Transaction,
    orphan: ReplacedCookie,
    actor: Actor,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if sessions::take_replaced(tx, orphan).await? {
        let filter = EndFilter::One(orphan.user, orphan.session);
        revoke_matching(tx, filter, EndReason::SignedOut, None, actor, now).await?;
    }
    Ok(())
}

/// The sessions that were live, which is what users mean by "ended".
pub fn live_ids(ended: &[EndRecord]) -> Vec<SessionId> {
    ended
        .iter()
        .filter(|ended| ended.was_live)
        .map(|ended| ended.session)
        .collect()
}

/// Records the expiry of a session at its first detection, so that a longer limit cannot revive it.
///
/// # Errors
/// Database errors.
pub async fn record_expiry(database: &Database, clock: &Clock, over: &EndedSession) -> sqlx::Result<()> {
    let mut tx = database.begin().await?;
    users::lock(&mut tx, over.user_id).await?;
    // The lock waits for activity that is being written.
    sessions::lock(&mut tx, over.session_id).await?;
    let now = clock.now();
    // Another request may have recorded it, or the activity may have extended the session.
    if sessions::find_end_reason(&mut tx, over.session_id, now)
        .await?
        .is_some()
    {
        let filter = EndFilter::One(over.user_id, over.session_id);
        revoke_matching(&mut tx, filter, over.reason, None, Actor::default(), now).await?;
    }
    tx.commit_side_record().await
}

/// Writes audit events, session events and metrics for sessions that this transaction has ended, ordered by user.
///
/// # Errors
/// Database errors.
pub async fn record_ended(
    tx: &mut Transaction,
    ended: &[EndRecord],
    note: Option<&str>,
    actor: Actor,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    let detail = note.map_or_else(|| json!({}), |note| json!({ "note": note }));
    audit::record_ended(tx, actor, ended, detail, now).await?;
    for of_user in ended.chunk_by(|a, b| a.user == b.user) {
        events::publish_sessions_ended(tx, of_user[0].user, of_user, now).await?;
    }
    tx.count_ended_on_commit(ended.iter().map(|ended| ended.reason));
    Ok(())
}
