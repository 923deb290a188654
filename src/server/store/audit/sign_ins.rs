//! What the audit log says about sign-ins, for users, rules and alerts.

use chrono::{DateTime, Utc};

use crate::server::database::Connection;
use domain::{
    ids::{SessionId, UserId},
    overview::PreviousSignIn,
    security_notice::{NoticeRule, ReuseCause},
};

/// The sign-in before the current session, and the failures since.
pub struct SignInHistory {
    pub previous: Option<PreviousSignIn>,
    /// Failed sign-ins of this account between the previous sign-in and this session.
    pub failures: i64,
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
        user as _,
        session as _,
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
        user as _,
        then,
    )
    .fetch_one(conn)
    .await
}

/// Returns whether a user has ever signed in. Sign-ins invented for demo accounts do not count.
pub async fn has_signed_in(conn: &mut Connection, user: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM audit_events WHERE user_id = $1 AND kind = 'signed_in' AND NOT detail ? 'demo') AS "ever!""#,
        user as _,
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
        ReuseCause::LostResponse as _,
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
        rule as _,
        then,
    )
    .fetch_one(conn)
    .await
}
