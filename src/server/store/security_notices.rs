//! Security notices: questions to users, such as "Was this you?"

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};

use super::{caller_transaction::CallerTransaction, invalid_column};
use crate::server::database::Connection;
use domain::{
    ids::{NoticeId, SessionId, UserId},
    security_notice::{NoticeRule, ReuseCause, SecurityNotice},
};

use crate::server::auth::client::BrowserNames;

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
    let rules: Vec<String> = new.rules.iter().map(|rule| rule.as_str().to_owned()).collect();
    sqlx::query!(
        "
        INSERT INTO security_notices (id, user_id, session_id, at, rules, ip_address, failures, cause)
        VALUES ($1, $2, $3, $4, $5, $6::text::inet, $7, $8)
        ",
        NoticeId::new().0,
        new.user.0,
        new.session.0,
        now,
        &rules,
        new.ip_address.to_string(),
        new.failures,
        new.cause.map(ReuseCause::as_str),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How long a session on a new device stays unconfirmed without an answer. Until then its browser, desktop app and
/// network do not count as known. After that they do, in case the user can never answer.
pub const UNCONFIRMED_PERIOD: TimeDelta = TimeDelta::days(7);

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
) -> sqlx::Result<Vec<SecurityNotice>> {
    let rows = sqlx::query!(
        r#"
        SELECT n.id, n.at, n.rules, host(n.ip_address) AS "ip_address!", n.failures, n.cause, s.id AS "session_id!",
            s.device_name, s.user_agent AS "user_agent!", (s.live_until > $3) AS "live!",
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
        user.0,
        asked.0,
        now,
        now - UNCONFIRMED_PERIOD,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let rules: Result<Vec<NoticeRule>, _> = row.rules.iter().map(|rule| rule.parse()).collect();
            Ok(SecurityNotice {
                id: NoticeId(row.id),
                session_id: SessionId(row.session_id),
                device_name: row
                    .device_name
                    .unwrap_or_else(|| BrowserNames::parse(&row.user_agent).device_name),
                ip_address: row.ip_address,
                at: row.at,
                rules: rules.map_err(invalid_column("rules"))?,
                failures: row.failures.and_then(|failures| u32::try_from(failures).ok()),
                answer_lost: row.cause.as_deref() == Some(ReuseCause::LostAnswer.as_str()),
                is_live: row.live,
                may_confirm: row.may_confirm,
            })
        })
        .collect()
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
        notice.0,
        user.0,
        asked.0,
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
/// otherwise keep it unknown. The caller checks permission with [`answerable`].
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
        notice.0,
        user.0,
        now,
    )
    .execute(&mut ***tx)
    .await?;
    Ok(())
}
