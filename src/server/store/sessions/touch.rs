//! When people and clients were last there.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::server::database::Connection;
use crate::server::store::acting::ActingTransaction;

/// Writes down when people and clients were last there; `seen` and `active` go together by index. Times only move
/// forward, and only in sessions that have not ended.
pub async fn touch(
    conn: &mut Connection,
    ids: &[Uuid],
    seen: &[DateTime<Utc>],
    active: &[Option<DateTime<Utc>>],
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "
        UPDATE sessions s
        SET last_seen_at = GREATEST(s.last_seen_at, t.seen),
            last_active_at = GREATEST(s.last_active_at, COALESCE(t.active, s.last_active_at))
        FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS t (id, seen, active)
        WHERE s.id = t.id AND s.id IN (
            SELECT id FROM sessions WHERE id = ANY ($1) AND ended_at IS NULL ORDER BY id FOR UPDATE
        )
        ",
        ids,
        seen,
        active as &[Option<DateTime<Utc>>],
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Moves the idle end of the caller's session at once. False: cleanup has ended it meanwhile, and it stays so.
pub async fn extend(tx: &mut ActingTransaction) -> sqlx::Result<bool> {
    let (session, now) = (tx.session(), tx.now());
    let done = sqlx::query!(
        "
        UPDATE sessions s SET last_seen_at = GREATEST(s.last_seen_at, $2), last_active_at = GREATEST(s.last_active_at, $2)
        WHERE s.id = $1 AND s.ended_at IS NULL
            AND (SELECT st.live_until > $2 FROM session_state st WHERE st.id = s.id)
        ",
        session.0,
        now,
    )
    .execute(&mut ***tx)
    .await?;
    Ok(done.rows_affected() > 0)
}
