//! Ends sessions. Rows are locked in the order of their ids, wherever more than one is written.

use chrono::{DateTime, Utc};

use crate::server::database::Connection;
use domain::{
    ids::{DeviceId, OrganizationId, SessionId, UserId},
    session::EndReason,
};

use super::SessionClient;
use crate::server::store::caller_transaction::CallerTransaction;

/// Selects open sessions of one user.
#[derive(Clone, Copy, Debug)]
pub enum EndFilter {
    All(UserId),
    One(UserId, SessionId),
    AllExcept(UserId, SessionId),
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
    pub user: UserId,
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
    let (user, only, except) = match filter {
        EndFilter::All(user) => (user, None, None),
        EndFilter::One(user, session) => (user, Some(session), None),
        EndFilter::AllExcept(user, session) => (user, None, Some(session)),
    };
    let ids = sqlx::query_scalar!(
        r#"
        SELECT id AS "id: SessionId" FROM sessions
        WHERE user_id = $1 AND ended_at IS NULL AND ($2::uuid IS NULL OR id = $2) AND ($3::uuid IS NULL OR id <> $3)
        ORDER BY id FOR UPDATE
        "#,
        user as _,
        only as _,
        except as _,
    )
    .fetch_all(&mut *conn)
    .await?;
    end_by_ids(conn, &ids, end, now).await
}

/// Ends sessions by id and returns them ordered by user. The caller holds the row locks of the users. Live sessions get
/// the given reason. Expired sessions get their expiry as end, so that longer limits cannot revive them. Ended sessions
/// stay unchanged. Devices of the sessions become inactive.
pub async fn end_by_ids(
    conn: &mut Connection,
    ids: &[SessionId],
    end: EndCause<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<EndRecord>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as!(
        EndRecord,
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
        SELECT user_id AS "user!: _", id AS "session!: _", reason AS "reason!: _", at AS "at!", was_live AS "was_live!"
        FROM ended ORDER BY user_id, id
        "#,
        ids as _,
        now,
        end.reason as _,
        end.by as _,
        end.by_session as _,
        end.note,
    )
    .fetch_all(conn)
    .await
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
        r#"SELECT id AS "id: SessionId" FROM sessions WHERE device = $1 AND ended_at IS NULL FOR UPDATE"#,
        device as _,
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
    Ok(end_by_ids(conn, &[id], end, now).await?.pop())
}

/// Keeps the caller's session live after its user's epoch was incremented.
pub async fn update_epoch(tx: &mut CallerTransaction) -> sqlx::Result<()> {
    let session = tx.session();
    sqlx::query!(
        "
        UPDATE sessions s SET epoch = u.session_epoch FROM users u
        WHERE s.id = $1 AND u.id = s.user_id AND s.ended_at IS NULL
        ",
        session as _,
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
    sqlx::query_scalar!(
        r#"
        SELECT id AS "id!: SessionId" FROM session_state
        WHERE user_id = $1 AND live_until > $4 AND ($5::uuid IS NULL OR organization_id = $5)
        ORDER BY (id = $2) IS TRUE DESC, last_active_at DESC, created_at DESC, id OFFSET $3
        "#,
        user as _,
        kept as _,
        most,
        now,
        organization as _,
    )
    .fetch_all(conn)
    .await
}

/// Locks open sessions with an outdated epoch, which are no longer live but not recorded as ended.
pub async fn lock_outdated_epoch(conn: &mut Connection) -> sqlx::Result<Vec<SessionId>> {
    sqlx::query_scalar!(
        r#"
        SELECT s.id AS "id: SessionId" FROM sessions s JOIN users u ON u.id = s.user_id
        WHERE s.ended_at IS NULL AND s.epoch <> u.session_epoch ORDER BY s.id FOR UPDATE OF s
        "#
    )
    .fetch_all(conn)
    .await
}

/// [`lock_outdated_epoch`] for one user.
pub async fn lock_outdated_epoch_of(conn: &mut Connection, user: UserId) -> sqlx::Result<Vec<SessionId>> {
    sqlx::query_scalar!(
        r#"
        SELECT s.id AS "id: SessionId" FROM sessions s JOIN users u ON u.id = s.user_id
        WHERE s.user_id = $1 AND s.ended_at IS NULL AND s.epoch <> u.session_epoch ORDER BY s.id FOR UPDATE OF s
        "#,
        user as _,
    )
    .fetch_all(conn)
    .await
}

/// Returns the clients of the sessions that this one ended because of the session limit.
pub async fn list_ended_by_limit(
    conn: &mut Connection,
    session: SessionId,
) -> sqlx::Result<Vec<SessionClient>> {
    sqlx::query_as!(
        SessionClient,
        r#"
        SELECT device_name, user_agent AS "user_agent!" FROM session_state
        WHERE ended_by_session = $1 AND end_reason = 'session_limit' ORDER BY ended_at, id
        "#,
        session as _,
    )
    .fetch_all(conn)
    .await
}

/// Locks up to `most` open sessions that appear to be expired. Skips locked rows: they may be extended at this moment.
pub async fn lock_expired(
    conn: &mut Connection,
    most: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<SessionId>> {
    sqlx::query_scalar!(
        r#"
        SELECT s.id AS "id: SessionId" FROM sessions s
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
    .await
}

/// Records the expiry of those of the locked sessions that have expired according to their current rows.
pub async fn record_expiry(
    conn: &mut Connection,
    locked: &[SessionId],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<EndRecord>> {
    sqlx::query_as!(
        EndRecord,
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
        SELECT user_id AS "user!: _", id AS "session!: _", reason AS "reason!: _", at AS "at!", false AS "was_live!"
        FROM ended ORDER BY user_id, id
        "#,
        locked as _,
        now,
    )
    .fetch_all(conn)
    .await
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
