//! Samples of the number of live sessions, by role and kind.

use chrono::{DateTime, Utc};

use crate::server::database::Connection;

/// Counts live sessions and stores the sample. Zeros are stored too, to distinguish "none" from "not counted".
pub async fn record(conn: &mut Connection, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        INSERT INTO session_samples (at, role, kind, live)
        SELECT $1, p.role, k.kind, COALESCE(c.live, 0)
        FROM role_policies p CROSS JOIN (VALUES ('browser'), ('desktop')) AS k (kind)
        LEFT JOIN (
            SELECT role, kind, count(*)::integer AS live FROM session_state
            WHERE ended_at IS NULL AND live_until > $1 GROUP BY role, kind
        ) AS c ON c.role = p.role AND c.kind = k.kind
        ON CONFLICT DO NOTHING
        ",
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes samples from before `then`.
pub async fn delete_before(conn: &mut Connection, then: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "DELETE FROM session_samples WHERE (at, role, kind) IN (
            SELECT at, role, kind FROM session_samples WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
        )",
        then,
        most,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
