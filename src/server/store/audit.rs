//! The audit log: what happened, to whom, by whom and from where. Rows are written in the transaction of the change.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::sessions::EndRecord;
use crate::server::database::Connection;
pub use domain::audit::AuditKind;
use domain::{
    ids::{SessionId, UserId},
    security_notice::{NoticeRule, ReuseCause},
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

/// A refused request of a signed-in caller. It is recorded even if the caller's session has ended meanwhile.
#[derive(Clone, Debug)]
pub struct Refusal<'a> {
    pub kind: RefusalKind,
    pub user: UserId,
    pub session: SessionId,
    pub ip_address: IpAddr,
    pub reason: &'a str,
    /// Further facts, never a secret.
    pub detail: Value,
}

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// An action that needs another role or a recent password check.
    Denied,
    /// A password check with a wrong password.
    WrongPassword,
    /// A password check after too many failures.
    Throttled,
}

/// Writes the audit row of a refusal.
pub async fn record_refusal(
    conn: &mut Connection,
    refusal: Refusal<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let Refusal {
        user,
        session,
        ip_address,
        ..
    } = refusal;
    let event = AuditEvent {
        kind: match refusal.kind {
            RefusalKind::Denied => AuditKind::Denied,
            RefusalKind::WrongPassword => AuditKind::ReauthenticationFailed,
            RefusalKind::Throttled => AuditKind::SignInThrottled,
        },
        actor: Actor::signed_in(user, session, Some(ip_address)),
        user: Some(user),
        session: Some(session),
        reason: Some(refusal.reason),
        detail: refusal.detail,
    };
    record(conn, event, now).await
}

/// One audit event.
#[derive(Clone, Debug)]
pub struct AuditEvent<'a> {
    pub kind: AuditKind,
    pub actor: Actor,
    pub user: Option<UserId>,
    pub session: Option<SessionId>,
    pub reason: Option<&'a str>,
    /// Further facts, never a secret.
    pub detail: Value,
}

/// Writes one audit event.
pub async fn record(conn: &mut Connection, event: AuditEvent<'_>, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        INSERT INTO audit_events (at, kind, actor_id, actor_session_id, user_id, session_id, ip_address, reason, detail,
            actor_organization_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7::text::inet, $8, $9, (SELECT organization_id FROM sessions WHERE id = $4))
        ",
        now,
        event.kind.as_str(),
        event.actor.user.map(|id| id.0),
        event.actor.session.map(|id| id.0),
        event.user.map(|id| id.0),
        event.session.map(|id| id.0),
        event.actor.ip_address.map(|ip| ip.to_string()),
        event.reason,
        event.detail,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes one row for each session of a user that has just ended. `at` is the time of writing. For a session that had
/// expired before, `ended_at` in the detail is its expiry.
pub async fn record_ended(
    conn: &mut Connection,
    actor: Actor,
    user: UserId,
    ended: &[EndRecord],
    detail: Value,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = ended.iter().map(|ended| ended.session.0).collect();
    let reasons: Vec<String> = ended
        .iter()
        .map(|ended| ended.reason.as_str().to_owned())
        .collect();
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
        SELECT $1, $2, $3, $4, $5, e.id, $6::text::inet, e.reason, e.detail,
            (SELECT organization_id FROM sessions WHERE id = $4)
        FROM unnest($7::uuid[], $8::text[], $9::jsonb[]) AS e (id, reason, detail)
        ",
        now,
        AuditKind::SessionEnded.as_str(),
        actor.user.map(|id| id.0),
        actor.session.map(|id| id.0),
        user.0,
        actor.ip_address.map(|ip| ip.to_string()),
        &ids,
        &reasons,
        &details,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The sign-in before the current session, and the failures since.
pub struct SignInHistory {
    pub previous: Option<PreviousSignIn>,
    /// Failed sign-ins of this account between the previous sign-in and this session.
    pub failures: i64,
}

/// The previous sign-in.
pub struct PreviousSignIn {
    pub at: DateTime<Utc>,
    pub device_name: Option<String>,
    pub ip_address: Option<String>,
}

/// Loads the sign-in history for the dashboard. A sign-in that was refused only because a new password must be chosen
/// is not a failure. `began` is when the current session was created.
pub async fn load_sign_in_history(
    conn: &mut Connection,
    user: UserId,
    session: SessionId,
    began: DateTime<Utc>,
) -> sqlx::Result<SignInHistory> {
    let row = sqlx::query!(
        r#"
        WITH previous AS (
            SELECT at, detail ->> 'device_name' AS device_name, host(ip_address) AS ip_address FROM audit_events
            WHERE user_id = $1 AND kind = 'signed_in' AND session_id <> $2 AND at <= $3
            ORDER BY at DESC, id DESC LIMIT 1
        )
        SELECT (SELECT count(*) FROM audit_events WHERE user_id = $1 AND kind = 'sign_in_failed'
                AND reason IS DISTINCT FROM 'password_change_required'
                AND at > COALESCE((SELECT at FROM previous), '-infinity')) AS "failures!",
            (SELECT at FROM previous) AS at,
            (SELECT device_name FROM previous) AS device_name,
            (SELECT ip_address FROM previous) AS ip_address
        "#,
        user.0,
        session.0,
        began,
    )
    .fetch_one(conn)
    .await?;
    let previous = row.at.map(|at| PreviousSignIn {
        at,
        device_name: row.device_name,
        ip_address: row.ip_address,
    });
    Ok(SignInHistory {
        previous,
        failures: row.failures,
    })
}

/// Counts the failed sign-ins of a user since `then` or their last successful sign-in, whichever is later.
pub async fn count_failures_since(
    conn: &mut Connection,
    user: UserId,
    then: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        SELECT count(*) AS "count!" FROM audit_events WHERE user_id = $1 AND kind = 'sign_in_failed'
            AND reason IS DISTINCT FROM 'password_change_required' AND at > GREATEST($2,
            (SELECT max(at) FROM audit_events WHERE user_id = $1 AND kind = 'signed_in'))
        "#,
        user.0,
        then,
    )
    .fetch_one(conn)
    .await
}

/// Returns whether a user has ever signed in. Sign-ins invented for demo accounts do not count.
pub async fn has_signed_in(conn: &mut Connection, user: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM audit_events WHERE user_id = $1 AND kind = 'signed_in' AND NOT detail ? 'demo') AS "ever!""#,
        user.0,
    )
    .fetch_one(conn)
    .await
}

/// Numbers of sign-ins on all accounts.
pub struct SignInCounts {
    pub succeeded: i64,
    /// Refused or throttled.
    pub failed: i64,
}

/// Counts the sign-ins since `then`.
pub async fn count_sign_ins_since(conn: &mut Connection, then: DateTime<Utc>) -> sqlx::Result<SignInCounts> {
    sqlx::query_as!(
        SignInCounts,
        r#"
        SELECT count(*) FILTER (WHERE kind = 'signed_in') AS "succeeded!",
            count(*) FILTER (WHERE kind <> 'signed_in') AS "failed!"
        FROM audit_events WHERE kind IN ('signed_in', 'sign_in_failed', 'sign_in_throttled') AND at > $1
        "#,
        then,
    )
    .fetch_one(conn)
    .await
}

/// Numbers of reused refresh tokens on all accounts.
pub struct ReuseCounts {
    pub count: i64,
    /// Reuse that a lost response probably caused.
    pub lost_answers: i64,
}

/// Counts the reused refresh tokens since `then`.
pub async fn count_reuses_since(conn: &mut Connection, then: DateTime<Utc>) -> sqlx::Result<ReuseCounts> {
    sqlx::query_as!(
        ReuseCounts,
        r#"
        SELECT count(*) AS "count!", count(*) FILTER (WHERE detail ->> 'cause' = $2) AS "lost_answers!"
        FROM audit_events WHERE kind = 'token_reused' AND at > $1
        "#,
        then,
        ReuseCause::LostAnswer.as_str(),
    )
    .fetch_one(conn)
    .await
}

/// Counts the notices of a suspicion rule since `then`, on all accounts.
pub async fn count_suspicions_since(
    conn: &mut Connection,
    rule: NoticeRule,
    then: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        SELECT count(*) AS "count!" FROM audit_events
        WHERE kind = 'suspicion_raised' AND at > $2 AND detail -> 'rules' ? $1
        "#,
        rule.as_str(),
        then,
    )
    .fetch_one(conn)
    .await
}
