//! Ending sessions. Every end goes through [`end_in`], so that no session ends without its audit row and its event.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use crate::{
    domain::{
        ids::{SessionId, UserId},
        session::{EndReason, RevokeScope},
    },
    error::AppError,
    server::{
        auth::current_session::CurrentSession,
        clock::Clock,
        database::Database,
        store::{
            audit::{self, Actor, AuditEvent, AuditKind},
            events,
            sessions::{self, End, EndFilter},
            users,
        },
    },
};

/// Ends live sessions of the caller's own, in one transaction, and gives their ids.
///
/// # Errors
/// [`AppError::NotFound`] when the one session is not the caller's or not live; [`AppError::SessionEnded`] when the
/// caller's own session ended before the lock was had: a thief whose session was just ended ends nobody else's.
pub async fn end_own(
    database: &Database,
    clock: &Clock,
    caller: &CurrentSession,
    scope: RevokeScope,
    actor: Actor,
) -> Result<Vec<SessionId>, AppError> {
    let user = caller.user.id;
    let mut tx = database.begin().await?;
    users::lock(&mut tx, user).await?;
    let now = clock.now();
    if let Some(reason) = sessions::end_reason_of(&mut tx, caller.id, now).await? {
        return Err(AppError::SessionEnded { reason });
    }

    let all = EndFilter {
        user,
        only: None,
        except: None,
    };
    let (filter, reason) = match scope {
        RevokeScope::Current => (
            EndFilter {
                only: Some(caller.id),
                ..all
            },
            EndReason::SignedOut,
        ),
        RevokeScope::One(id) if id == caller.id => (
            EndFilter {
                only: Some(id),
                ..all
            },
            EndReason::SignedOut,
        ),
        RevokeScope::One(id) => (
            EndFilter {
                only: Some(id),
                ..all
            },
            EndReason::Revoked,
        ),
        RevokeScope::Others => (
            EndFilter {
                except: Some(caller.id),
                ..all
            },
            EndReason::Revoked,
        ),
        RevokeScope::All => (all, EndReason::SignedOutEverywhere),
    };
    let ended = end_in(&mut tx, filter, reason, None, actor, now).await?;
    if ended.is_empty() && matches!(scope, RevokeScope::One(_)) {
        return Err(AppError::NotFound);
    }
    if scope == RevokeScope::All {
        users::raise_epoch(&mut tx, user).await?;
    }
    tx.commit().await?;
    tracing::info!(%user, ended = ended.len(), reason = reason.as_str(), "sessions ended");
    Ok(ended)
}

/// Ends what the filter names, for someone above the person: an operator or a rule. The caller holds the person's
/// row lock and commits.
///
/// # Errors
/// The database's.
pub async fn end_in(
    conn: &mut PgConnection,
    filter: EndFilter,
    reason: EndReason,
    note: Option<&str>,
    actor: Actor,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<SessionId>> {
    let end = End {
        reason,
        by: actor.user,
        by_session: actor.session,
        note,
    };
    let ended = sessions::end(conn, filter, end, now).await?;
    record_ended(conn, filter.user, &ended, reason, note, actor, now).await?;
    Ok(ended)
}

/// The audit rows and the events of sessions that have just ended in this transaction.
///
/// # Errors
/// The database's.
pub async fn record_ended(
    conn: &mut PgConnection,
    user: UserId,
    ended: &[SessionId],
    reason: EndReason,
    note: Option<&str>,
    actor: Actor,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    for session in ended {
        let detail = note.map_or_else(|| json!({}), |note| json!({ "note": note }));
        let event = AuditEvent {
            kind: AuditKind::SessionEnded,
            actor,
            user: Some(user),
            session: Some(*session),
            reason: Some(reason.as_str()),
            detail,
        };
        audit::record(conn, event, now).await?;
    }
    if !ended.is_empty() {
        events::sessions_ended(conn, user, ended, reason, now).await?;
    }
    Ok(())
}
