//! Security notices: questions to users, such as "Was this you?"

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};

use super::caller_transaction::CallerTransaction;
use crate::server::database::Connection;
use domain::{
    ids::{NoticeId, SessionId, UserId},
    security_notice::{NoticeRule, ReuseCause},
};

/// A notice to raise.
pub struct NewNotice<'a> {
    pub user: UserId,
    /// The session that the notice is about.
    pub session: SessionId,
    pub rules: &'a [NoticeRule],
    pub ip_address: IpAddr,
    /// Failed sign-ins just before.
    pub failures: Option<i32>,
    /// The cause of a token reuse.
    pub cause: Option<ReuseCause>,
}

/// Raises a notice.
pub async fn insert(conn: &mut Connection, new: NewNotice<'_>, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        INSERT INTO security_notices (id, user_id, session_id, at, rules, ip_address, failures, cause)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ",
        NoticeId::new() as _,
        new.user as _,
        new.session as _,
        now,
        new.rules as _,
        new.ip_address as _,
        new.failures,
        new.cause as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How long a session on a new device stays unconfirmed without an answer. Until then its browser, desktop app and
/// network do not count as known. After that they do, in case the user can never answer.
pub const UNCONFIRMED_PERIOD: TimeDelta = TimeDelta::days(7);

/// An open notice. `services::dashboard` names its client.
pub struct OpenNotice {
    pub id: NoticeId,
    pub session: SessionId,
    pub device_name: Option<String>,
    pub user_agent: String,
    pub ip_address: String,
    pub at: DateTime<Utc>,
    pub rules: Vec<NoticeRule>,
    pub failures: Option<i32>,
    /// Text, because a newer server may record causes that this one does not know.
    pub cause: Option<String>,
    pub is_live: bool,
    pub may_confirm: bool,
}

/// Returns a user's open notices, newest first, at most ten. A session gets no notice about itself. An unconfirmed
/// session needs the password to confirm, since a thief would confirm another stolen session.
///
/// A notice about a new device or network closes with its session: when the device returns, the user is asked again.
/// Notices about an unusual client, a distant network or failed passwords stay open after the session.
pub async fn list_open(
    conn: &mut Connection,
    user: UserId,
    asked: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<OpenNotice>> {
    sqlx::query_as!(
        OpenNotice,
        r#"
        SELECT n.id AS "id: _", n.at, n.rules AS "rules: _", host(n.ip_address) AS "ip_address!", n.failures,
            n.cause AS "cause: _", s.id AS "session!: _", s.device_name, s.user_agent AS "user_agent!",
            (s.live_until > $3) AS "is_live!",
            NOT EXISTS (
                SELECT 1 FROM security_notices own
                WHERE own.session_id = $2 AND own.dismissed_at IS NULL AND own.at > $4
                    AND 'new_device' = ANY (own.rules)
            ) AS "may_confirm!"
        FROM security_notices n JOIN session_state s ON s.id = n.session_id
        WHERE n.user_id = $1 AND n.dismissed_at IS NULL AND n.session_id <> $2
            AND (s.live_until > $3 OR NOT n.rules <@ ARRAY['new_device', 'new_network'])
            AND (s.ended_by_session IS NULL OR s.ended_by_session = s.id)
            AND s.end_reason IS DISTINCT FROM 'revoked_by_admin'
            -- Of a session that was ended for what was unusual, that is what to ask about.
            AND (COALESCE(s.end_reason, '') NOT IN ('client_changed', 'token_reuse')
                OR n.rules && ARRAY['client_changed', 'token_reuse'])
        ORDER BY n.at DESC, n.id LIMIT 10
        "#,
        user as _,
        asked as _,
        now,
        now - UNCONFIRMED_PERIOD,
    )
    .fetch_all(conn)
    .await
}

/// Whether a session may answer a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanAnswer {
    Yes,
    /// The session is unconfirmed itself: it needs the password.
    WithPassword,
    /// The session has no such open notice.
    No,
}

/// Returns whether the session `asked` may answer a notice.
pub async fn check_can_answer(
    conn: &mut Connection,
    user: UserId,
    asked: SessionId,
    notice: NoticeId,
    now: DateTime<Utc>,
) -> sqlx::Result<CanAnswer> {
    let in_question = sqlx::query_scalar!(
        r#"
        SELECT EXISTS (
            SELECT 1 FROM security_notices own
            WHERE own.session_id = $3 AND own.dismissed_at IS NULL AND own.at > $4
                AND 'new_device' = ANY (own.rules)
        ) AS "in_question!"
        FROM security_notices WHERE id = $1 AND user_id = $2 AND session_id <> $3 AND dismissed_at IS NULL
        "#,
        notice as _,
        user as _,
        asked as _,
        now - UNCONFIRMED_PERIOD,
    )
    .fetch_optional(conn)
    .await?;
    Ok(match in_question {
        Some(false) => CanAnswer::Yes,
        Some(true) => CanAnswer::WithPassword,
        None => CanAnswer::No,
    })
}

/// Confirms a notice. Also closes notices about ended sessions of the same browser or desktop app, which would
/// otherwise keep it unknown. The caller checks permission with [`check_can_answer`].
pub async fn dismiss(tx: &mut CallerTransaction, notice: NoticeId) -> sqlx::Result<()> {
    let (user, now) = (tx.user(), tx.now());
    sqlx::query!(
        "
        UPDATE security_notices SET dismissed_at = $3
        WHERE user_id = $2 AND dismissed_at IS NULL AND (id = $1 OR session_id IN (
            SELECT earlier.id FROM security_notices n JOIN sessions s ON s.id = n.session_id
            JOIN sessions earlier ON earlier.user_id = $2 AND earlier.ended_at IS NOT NULL AND earlier.id <> s.id
                AND (earlier.known_browser = s.known_browser OR earlier.device = s.device)
            WHERE n.id = $1 AND n.user_id = $2
        ) AND rules <@ ARRAY['new_device', 'new_network'])
        ",
        notice as _,
        user as _,
        now,
    )
    .execute(&mut ***tx)
    .await?;
    Ok(())
}
