//! The event log that every node reads to tell clients what changed.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::sessions::Ended;
use crate::domain::ids::{SessionId, UserId};

/// The channel that NOTIFY wakes listeners on. The payload is empty: the log itself says what happened.
pub const CHANNEL: &str = "session_events";

/// Writes that sessions of a person ended, then that their list changed, and wakes the listeners at commit.
pub async fn sessions_ended(
    conn: &mut PgConnection,
    user: UserId,
    ended: &[Ended],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = ended.iter().map(|ended| ended.session.0).collect();
    let reasons: Vec<String> = ended
        .iter()
        .map(|ended| ended.reason.as_str().to_owned())
        .collect();
    sqlx::query!(
        "
        INSERT INTO session_events (at, user_id, session_id, kind, reason)
        SELECT $1, $2, e.id, 'session_ended', e.reason FROM unnest($3::uuid[], $4::text[]) AS e (id, reason)
        ",
        now,
        user.0,
        &ids,
        &reasons,
    )
    .execute(&mut *conn)
    .await?;
    sessions_changed(conn, user, now).await
}

/// Writes that a person's list of sessions changed, and wakes the listeners at commit.
pub async fn sessions_changed(conn: &mut PgConnection, user: UserId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        WITH event AS (INSERT INTO session_events (at, user_id, kind) VALUES ($1, $2, 'sessions_changed'))
        SELECT pg_notify($3, '')::text
        ",
        now,
        user.0,
        CHANNEL,
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Writes that a session changed while it goes on, and wakes the listeners at commit.
pub async fn session_updated(
    conn: &mut PgConnection,
    user: UserId,
    session: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        WITH event AS (
            INSERT INTO session_events (at, user_id, session_id, kind) VALUES ($1, $2, $3, 'session_updated')
        )
        SELECT pg_notify($4, '')::text
        ",
        now,
        user.0,
        session.0,
        CHANNEL,
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// Deletes events that no client can still be waiting for.
pub async fn delete_before(conn: &mut PgConnection, then: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "DELETE FROM session_events WHERE id IN (
            SELECT id FROM session_events WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
        )",
        then,
        most,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
