//! Activity and presence.

use chrono::{DateTime, Utc};

use domain::ids::SessionId;

use crate::server::database::Connection;
use crate::server::store::caller_transaction::CallerTransaction;

/// Records activity and presence. `seen` and `active` belong to `ids` by index. Times only move forward, and ended
/// sessions stay unchanged.
pub async fn record_activity(
    conn: &mut Connection,
    ids: &[SessionId],
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
        ids as _,
        seen,
        active as &[Option<DateTime<Utc>>],
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Extends the caller's session at once. `false`: it has expired.
pub async fn extend(tx: &mut CallerTransaction) -> sqlx::Result<bool> {
    let (session, now) = (tx.session(), tx.now());
    let done = sqlx::query!(
        "
        UPDATE sessions s SET last_seen_at = GREATEST(s.last_seen_at, $2), last_active_at = GREATEST(s.last_active_at, $2)
        WHERE s.id = $1 AND s.ended_at IS NULL
            AND (SELECT st.live_until > $2 FROM session_state st WHERE st.id = s.id)
        ",
        session as _,
        now,
    )
    .execute(&mut ***tx)
    .await?;
    Ok(done.rows_affected() > 0)
}
