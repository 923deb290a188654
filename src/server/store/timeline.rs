//! The events of one session.

use chrono::{DateTime, Utc};

use crate::server::database::Connection;
use domain::ids::SessionId;

/// Returns the networks of a session and when each was first seen.
pub async fn list_networks(
    conn: &mut Connection,
    session: SessionId,
) -> sqlx::Result<Vec<(DateTime<Utc>, String)>> {
    let rows = sqlx::query!(
        r#"
        SELECT first_seen_at, network::text AS "network!" FROM session_networks WHERE session_id = $1
        ORDER BY first_seen_at, network
        "#,
        session as _,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.first_seen_at, row.network))
        .collect())
}

/// Returns how often a session's tokens were refreshed, and when last.
pub async fn load_refreshes(
    conn: &mut Connection,
    session: SessionId,
) -> sqlx::Result<(i64, Option<DateTime<Utc>>)> {
    let row = sqlx::query!(
        r#"SELECT count(*) AS "count!", max(used_at) AS last FROM refresh_tokens
        WHERE session_id = $1 AND used_at IS NOT NULL"#,
        session as _,
    )
    .fetch_one(conn)
    .await?;
    Ok((row.count, row.last))
}

/// Returns the security notices of a session: time, rules, and when the user handled.
pub async fn list_notices(
    conn: &mut Connection,
    session: SessionId,
) -> sqlx::Result<Vec<(DateTime<Utc>, Vec<String>, Option<DateTime<Utc>>)>> {
    let rows = sqlx::query!(
        "SELECT at, rules, dismissed_at FROM security_notices WHERE session_id = $1 ORDER BY at",
        session as _,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.at, row.rules, row.dismissed_at))
        .collect())
}
