//! The audit log: what happened, to whom, by whom and from where. Rows are written in the transaction of the change.

mod event;
mod sign_ins;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::Value;

pub use event::AuditEvent;
pub use sign_ins::{
    ReuseCounts, SignInCounts, SignInHistory, count_failures_since, count_reuses_since, count_sign_ins_since,
    count_suspicions_since, has_signed_in, load_sign_in_history,
};

use super::sessions::EndRecord;
use crate::server::database::Connection;
use domain::{
    audit::AuditKind,
    ids::{SessionId, UserId},
    session::EndReason,
    time::format_rfc3339_micros,
};

/// Who caused an audit event, and from where. The default is an operator or a rule.
///
/// Only an [`super::caller_transaction::CallerTransaction`] provides the actor of a signed-in session. A service can therefore not
/// record an action of a caller without rechecking the session under the user's row lock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Actor {
    user: Option<UserId>,
    session: Option<SessionId>,
    ip_address: Option<IpAddr>,
}

impl Actor {
    /// A client that is not signed in.
    pub fn from_address(ip_address: IpAddr) -> Self {
        Self {
            ip_address: Some(ip_address),
            ..Self::default()
        }
    }

    /// The user of a session that the same transaction creates.
    pub fn new_session(user: UserId, session: SessionId, ip_address: IpAddr) -> Self {
        Self::signed_in(user, session, Some(ip_address))
    }

    /// A session that its transaction has rechecked.
    pub(super) fn signed_in(user: UserId, session: SessionId, ip_address: Option<IpAddr>) -> Self {
        Self {
            user: Some(user),
            session: Some(session),
            ip_address,
        }
    }

    pub fn user(&self) -> Option<UserId> {
        self.user
    }

    pub fn session(&self) -> Option<SessionId> {
        self.session
    }
}

/// Writes one audit event.
pub async fn record(conn: &mut Connection, event: AuditEvent<'_>, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        INSERT INTO audit_events (at, kind, actor_id, actor_session_id, user_id, session_id, ip_address, reason, detail,
            actor_organization_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, (SELECT organization_id FROM sessions WHERE id = $4))
        ",
        now,
        event.kind as _,
        event.actor.user as _,
        event.actor.session as _,
        event.user as _,
        event.session as _,
        event.actor.ip_address as _,
        event.reason,
        event.detail,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes one row for each session that has just ended. `at` is the time of writing. For a session that had
/// expired before, `ended_at` in the detail is its expiry.
pub async fn record_ended(
    conn: &mut Connection,
    actor: Actor,
    ended: &[EndRecord],
    detail: Value,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let users: Vec<UserId> = ended.iter().map(|ended| ended.user).collect();
    let ids: Vec<SessionId> = ended.iter().map(|ended| ended.session).collect();
    let reasons: Vec<EndReason> = ended.iter().map(|ended| ended.reason).collect();
    let details: Vec<Value> = ended
        .iter()
        .map(|ended| {
            let mut detail = detail.clone();
            if !ended.was_live && ended.at < now {
                detail["ended_at"] = Value::String(format_rfc3339_micros(ended.at));
            }
            detail
        })
        .collect();
    sqlx::query!(
        "
        INSERT INTO audit_events (at, kind, actor_id, actor_session_id, user_id, session_id, ip_address, reason, detail,
            actor_organization_id)
        SELECT $1, $2, $3, $4, e.user_id, e.id, $5, e.reason, e.detail,
            (SELECT organization_id FROM sessions WHERE id = $4)
        FROM unnest($6::uuid[], $7::uuid[], $8::text[], $9::jsonb[]) AS e (user_id, id, reason, detail)
        ",
        now,
        AuditKind::SessionEnded as _,
        actor.user as _,
        actor.session as _,
        actor.ip_address as _,
        users as _,
        ids as _,
        reasons as _,
        &details,
    )
    .execute(conn)
    .await?;
    Ok(())
}
