//! Ends sessions. Rows are locked in the order of their ids, wherever more than one is written.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::server::database::Connection;
use domain::{
    ids::{DeviceId, OrganizationId, SessionId, UserId},
    session::EndReason,
};

use crate::server::{
    auth::client::BrowserNames,
    store::{caller_transaction::CallerTransaction, invalid_column},
};

/// Selects open sessions of one user.
#[derive(Clone, Copy, Debug)]
pub enum EndFilter {
    All(UserId),
    One(UserId, SessionId),
    AllExcept(UserId, SessionId),
}

impl EndFilter {
    pub fn user(self) -> UserId {
        match self {
            Self::All(user) | Self::One(user, _) | Self::AllExcept(user, _) => user,
        }
    }
}

/// Who ends sessions, why, and with which note.
#[derive(Clone, Copy, Debug)]
pub struct EndCause<'a> {
    pub reason: EndReason,
    pub by: Option<UserId>,
    pub by_session: Option<SessionId>,
    pub note: Option<&'a str>,
}

/// A session that was just ended.
#[derive(Clone, Copy, Debug)]
pub struct EndRecord {
    pub session: SessionId,
    /// The given reason; for a session that had expired unnoticed, the reason of its expiry.
    pub reason: EndReason,
    /// The given time, or the expiry.
    pub at: DateTime<Utc>,
    /// Whether it would have authenticated.
    pub was_live: bool,
}

/// Ends the sessions of one user that the filter selects. See [`end_by_ids`].
pub async fn end(
    conn: &mut Connection,
    filter: EndFilter,
    end: EndCause<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<EndRecord>> {
    let (only, except) = match filter {
        EndFilter::All(_) => (None, None),
        EndFilter::One(_, session) => (Some(session.0), None),
        EndFilter::AllExcept(_, session) => (None, Some(session.0)),
    };
    let ids = sqlx::query_scalar!(
        "
        SELECT id FROM sessions
        WHERE user_id = $1 AND ended_at IS NULL AND ($2::uuid IS NULL OR id = $2) AND ($3::uuid IS NULL OR id <> $3)
        ORDER BY id FOR UPDATE
        ",
        filter.user().0,
        only,
        except,
    )
    .fetch_all(&mut *conn)
    .await?;
    let ids: Vec<SessionId> = ids.into_iter().map(SessionId).collect();
    let ended = end_by_ids(conn, &ids, end, now).await?;
    Ok(ended.into_iter().map(|(_, ended)| ended).collect())
}

/// Ends sessions by id and returns them ordered by user. The caller holds the row locks of the users. Live sessions get
/// the given reason. Expired sessions get their expiry as end, so that longer limits cannot revive them. EndRecord sessions
/// stay unchanged. Devices of the sessions become inactive.
pub async fn end_by_ids(
    conn: &mut Connection,
    ids: &[SessionId],
    end: EndCause<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<(UserId, EndRecord)>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"
        WITH target AS (
            SELECT id FROM sessions WHERE id = ANY ($1) AND ended_at IS NULL ORDER BY id FOR UPDATE
        ), judged AS (
            SELECT s.id, s.live_until > $2 AS was_live,
                CASE WHEN s.live_until > $2 THEN $3 ELSE session_end_reason(s, $2) END AS reason,
                CASE WHEN s.live_until > $2 THEN $2 ELSE session_end_time(s, $2) END AS at
            FROM session_state s WHERE s.id IN (SELECT id FROM target)
        ), ended AS (
            UPDATE sessions s SET ended_at = j.at, end_reason = j.reason, ended_by = $4, ended_by_session = $5,
                end_note = CASE WHEN j.was_live THEN $6 END
            FROM judged j WHERE s.id = j.id
            RETURNING s.id, s.user_id, s.device, j.reason, j.at, j.was_live
        ), inactive AS (
            UPDATE devices SET is_active = false WHERE id IN (SELECT device FROM ended)
        )
        SELECT id AS "id!", user_id AS "user_id!", reason AS "reason!", at AS "at!", was_live AS "was_live!" FROM ended
        ORDER BY user_id, id
        "#,
        &ids,
        now,
        end.reason.as_str(),
        end.by.map(|id| id.0),
        end.by_session.map(|id| id.0),
        end.note,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let ended = EndRecord {
                session: SessionId(row.id),
                reason: row.reason.parse().map_err(invalid_column("reason"))?,
                at: row.at,
                was_live: row.was_live,
            };
            Ok((UserId(row.user_id), ended))
        })
        .collect()
}

/// Ends the open session of a device that signs in again. See [`end_by_ids`]. `by` is its user; the session that
/// replaces it is not named as the cause.
pub async fn end_for_device(
    conn: &mut Connection,
    device: DeviceId,
    by: UserId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<EndRecord>> {
    let id = sqlx::query_scalar!(
        "SELECT id FROM sessions WHERE device = $1 AND ended_at IS NULL FOR UPDATE",
        device.0,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(id) = id else { return Ok(None) };
    let end = EndCause {
        reason: EndReason::SignedOut,
        by: Some(by),
        by_session: None,
        note: None,
    };
    let ended = end_by_ids(conn, &[SessionId(id)], end, now).await?;
    Ok(ended.into_iter().next().map(|(_, ended)| ended))
}

/// Keeps the caller's session live after its user's epoch was incremented.
pub async fn update_epoch(tx: &mut CallerTransaction) -> sqlx::Result<()> {
    let session = tx.session();
    sqlx::query!(
        "
        UPDATE sessions s SET epoch = u.session_epoch FROM users u
        WHERE s.id = $1 AND u.id = s.user_id AND s.ended_at IS NULL
        ",
        session.0,
    )
    .execute(&mut ***tx)
    .await?;
    Ok(())
}

/// Returns live sessions of a user beyond the `most` most recently active ones; `kept` always stays. With an
/// organization, only sessions in it count. The caller holds the user's row lock.
pub async fn list_over_limit(
    conn: &mut Connection,
    user: UserId,
    kept: Option<SessionId>,
    organization: Option<OrganizationId>,
    most: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<SessionId>> {
    let ids = sqlx::query_scalar!(
        r#"
        SELECT id AS "id!" FROM session_state
        WHERE user_id = $1 AND live_until > $4 AND ($5::uuid IS NULL OR organization_id = $5)
        ORDER BY (id = $2) IS TRUE DESC, last_active_at DESC, created_at DESC, id OFFSET $3
        "#,
        user.0,
        kept.map(|id| id.0),
        most,
        now,
        organization.map(|id| id.0),
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(SessionId).collect())
}

/// Locks open sessions with an outdated epoch, which are no longer live but not recorded as ended.
pub async fn lock_outdated_epoch(conn: &mut Connection) -> sqlx::Result<Vec<SessionId>> {
    let ids = sqlx::query_scalar!(
        "
        SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id
        WHERE s.ended_at IS NULL AND s.epoch <> u.session_epoch ORDER BY s.id FOR UPDATE OF s
        "
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(SessionId).collect())
}

/// [`lock_outdated_epoch`] for one user.
pub async fn lock_outdated_epoch_of(conn: &mut Connection, user: UserId) -> sqlx::Result<Vec<SessionId>> {
    let ids = sqlx::query_scalar!(
        "
        SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id
        WHERE s.user_id = $1 AND s.ended_at IS NULL AND s.epoch <> u.session_epoch ORDER BY s.id FOR UPDATE OF s
        ",
        user.0,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(SessionId).collect())
}

/// Returns the device names of the sessions that this one ended because of the session limit.
pub async fn list_ended_by_limit(
    conn: &mut Connection,
    session: SessionId,
) -> sqlx::Result<Vec<(SessionId, String)>> {
    let rows = sqlx::query!(
        r#"
        SELECT id AS "id!", device_name, user_agent AS "user_agent!" FROM session_state
        WHERE ended_by_session = $1 AND end_reason = 'session_limit' ORDER BY ended_at, id
        "#,
        session.0
    )
    .fetch_all(conn)
    .await?;
    let name = |device: Option<String>, agent: &str| {
        device.unwrap_or_else(|| BrowserNames::parse(agent).device_name)
    };
    Ok(rows
        .into_iter()
        .map(|row| (SessionId(row.id), name(row.device_name, &row.user_agent)))
        .collect())
}

/// Locks up to `most` open sessions that appear to be expired. Skips locked rows: they may be extended at this moment.
pub async fn lock_expired(
    conn: &mut Connection,
    most: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<SessionId>> {
    let ids = sqlx::query_scalar!(
        r#"
        SELECT s.id FROM sessions s
        WHERE s.ended_at IS NULL AND s.id IN (
            SELECT st.id FROM session_state st
            WHERE st.ended_at IS NULL AND st.live_until <= $1
            -- An order that no index has: hardly any have run out, and to look for them along an index, or in whatever
            -- order the first few are expected soonest, reads all open ones one by one.
            ORDER BY st.last_active_at + interval '0' LIMIT $2
        )
        ORDER BY s.id FOR UPDATE SKIP LOCKED
        "#,
        now,
        most,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(SessionId).collect())
}

/// Records the expiry of those of the locked sessions that have expired according to their current rows.
pub async fn record_expiry(
    conn: &mut Connection,
    locked: &[SessionId],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<(UserId, EndRecord)>> {
    let ids: Vec<Uuid> = locked.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"
        WITH judged AS (
            SELECT s.id, session_end_reason(s, $2) AS reason, session_end_time(s, $2) AS at FROM session_state s
            WHERE s.id = ANY ($1) AND s.ended_at IS NULL AND s.live_until <= $2
        ), ended AS (
            UPDATE sessions s SET ended_at = j.at, end_reason = j.reason FROM judged j WHERE s.id = j.id
            RETURNING s.id, s.user_id, s.device, j.reason, j.at
        ), inactive AS (
            UPDATE devices SET is_active = false WHERE id IN (SELECT device FROM ended)
        )
        SELECT id AS "id!", user_id AS "user_id!", reason AS "reason!", at AS "at!" FROM ended ORDER BY user_id, id
        "#,
        &ids,
        now,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let ended = EndRecord {
                session: SessionId(row.id),
                reason: row.reason.parse().map_err(invalid_column("reason"))?,
                at: row.at,
                was_live: false,
            };
            Ok((UserId(row.user_id), ended))
        })
        .collect()
}

/// Deletes up to `most` sessions that ended before `then`, with all rows that depend on them.
pub async fn delete_ended_before(conn: &mut Connection, then: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "
        DELETE FROM sessions WHERE id IN (
            SELECT id FROM sessions WHERE ended_at < $1 ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        ",
        then,
        most,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
