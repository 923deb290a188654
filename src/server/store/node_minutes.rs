//! Counts of each node, by minute.

use chrono::{DateTime, Utc};

use crate::server::database::Connection;

/// What one node counted in one minute.
pub struct NodeMinute<'a> {
    pub minute: DateTime<Utc>,
    pub node: &'a str,
    pub refreshes: i64,
    pub refresh_failures: i64,
    /// Revocation latencies in milliseconds.
    pub closing_ms: &'a [i32],
}

/// Adds to the counts of that minute.
pub async fn add(conn: &mut Connection, counted: &NodeMinute<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        INSERT INTO node_minutes AS m (minute, node, refreshes, refresh_failures, closing_ms) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (minute, node) DO UPDATE SET refreshes = m.refreshes + $3,
            refresh_failures = m.refresh_failures + $4, closing_ms = m.closing_ms || $5
        ",
        counted.minute,
        counted.node,
        counted.refreshes,
        counted.refresh_failures,
        counted.closing_ms,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes minutes from before `then`.
pub async fn delete_before(conn: &mut Connection, then: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "DELETE FROM node_minutes WHERE (minute, node) IN (
            SELECT minute, node FROM node_minutes WHERE minute < $1 ORDER BY minute LIMIT $2 FOR UPDATE SKIP LOCKED
        )",
        then,
        most,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
