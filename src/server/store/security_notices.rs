//! What a person is asked about: "Was this you?"

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};

use super::{acting::ActingTransaction, unreadable};
use crate::server::database::Connection;
use crate::{
    domain::{
        ids::{NoticeId, SessionId, UserId},
        security_notice::{NoticeRule, ReuseCause, SecurityNotice},
    },
    server::auth::client::BrowserNames,
};

/// A notice about to be raised.
pub struct NewNotice<'a> {
    pub user: UserId,
    /// The session that it is about.
    pub session: SessionId,
    pub rules: &'a [NoticeRule],
    pub ip_address: IpAddr,
    /// Refused sign-ins just before.
    pub failures: Option<i32>,
    /// Where a refresh token was shown again.
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

/// So long a session that began on a new device is in question, if nobody answers. Whatever hangs on it, its browser, its
/// desktop, its network, is not known by it until then. Should a person never be able to answer, that time makes it known.
pub const IN_QUESTION: TimeDelta = TimeDelta::days(7);

/// What a person has not answered yet, the newest first, at most ten. A session is not asked about itself; one that is in
/// question itself may not say yes, since whoever holds it would, for another one of theirs. A question stays when its
/// session signs itself out; it goes when another session of the person, or an administrator, has ended it.
pub async fn open_for(
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
        now - IN_QUESTION,
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
                    .unwrap_or_else(|| BrowserNames::read(&row.user_agent).device_name),
                ip_address: row.ip_address,
                at: row.at,
                rules: rules.map_err(unreadable("rules"))?,
                failures: row.failures.and_then(|failures| u32::try_from(failures).ok()),
                answer_lost: row.cause.as_deref() == Some(ReuseCause::LostAnswer.as_str()),
                is_live: row.live,
                may_confirm: row.may_confirm,
            })
        })
        .collect()
}

/// Records that the caller confirms a notice. A session that is in question itself confirms nothing. False: there is no such
/// notice for them.
pub async fn dismiss(tx: &mut ActingTransaction, notice: NoticeId) -> sqlx::Result<bool> {
    let (user, asked, now) = (tx.user(), tx.session(), tx.now());
    let done = sqlx::query!(
        "
        UPDATE security_notices SET dismissed_at = $4
        WHERE id = $1 AND user_id = $2 AND session_id <> $3 AND dismissed_at IS NULL
            AND NOT EXISTS (
                SELECT 1 FROM security_notices own
                WHERE own.session_id = $3 AND own.dismissed_at IS NULL AND own.at > $5
                    AND 'new_device' = ANY (own.rules)
            )
        ",
        notice.0,
        user.0,
        asked.0,
        now,
        now - IN_QUESTION,
    )
    .execute(&mut ***tx)
    .await?;
    Ok(done.rows_affected() > 0)
}
