//! The hash chain over the audit log, and the queue of rows that are not sealed yet. `services` decides what is hashed
//! and reports broken chains.

use chrono::{DateTime, Utc};

use crate::server::database::Connection;
use domain::ids::UserId;

/// Advisory lock that is held while the chain grows. Any number that nothing else in the database uses.
const SEAL_LOCK: i64 = 7_022_750_921_764_881_202;

/// Takes the seal lock for this transaction. `false`: another transaction holds it.
pub async fn try_lock(conn: &mut Connection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "locked!""#, SEAL_LOCK)
        .fetch_one(conn)
        .await
}

/// Returns whether rows wait to be sealed.
pub async fn has_unsealed(conn: &mut Connection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM audit_unsealed) AS "waiting!""#)
        .fetch_one(conn)
        .await
}

/// The rows that wait to be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealBacklog {
    /// Number of rows, at most [`MAX_COUNTED`].
    pub rows: i64,
    /// Time of the oldest of these rows.
    pub since: Option<DateTime<Utc>>,
}

/// Limit for counting the queue. Beyond it, the exact length does not matter.
pub const MAX_COUNTED: i64 = 10_000;

/// Returns how many rows wait, and since when.
pub async fn load_backlog(conn: &mut Connection) -> sqlx::Result<SealBacklog> {
    sqlx::query_as!(
        SealBacklog,
        r#"
        SELECT count(*) AS "rows!", min(at) AS since FROM (
            SELECT e.at FROM audit_unsealed q JOIN audit_events e ON e.id = q.event_id ORDER BY q.event_id LIMIT $1
        ) AS first
        "#,
        MAX_COUNTED,
    )
    .fetch_one(conn)
    .await
}

/// Returns the first waiting rows in order of id. Ids whose rows were removed are skipped, so they block nothing.
pub async fn list_unsealed(conn: &mut Connection, limit: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        "SELECT q.event_id FROM audit_unsealed q JOIN audit_events e ON e.id = q.event_id ORDER BY q.event_id LIMIT $1",
        limit,
    )
    .fetch_all(conn)
    .await
}

/// An audit row in the form that is hashed.
pub struct SealedText {
    pub id: i64,
    /// The row as JSON printed by Postgres: every column that is not null, `at` in seconds since 1970.
    pub text: String,
    /// Limited to years that the time format supports.
    pub at: DateTime<Utc>,
    pub user: Option<UserId>,
}

/// Returns the existing rows among these ids, in order of id.
pub async fn load_sealed_texts(conn: &mut Connection, ids: &[i64]) -> sqlx::Result<Vec<SealedText>> {
    sqlx::query_as!(
        SealedText,
        r#"
        SELECT e.id, e.user_id AS "user: _", LEAST(GREATEST(e.at, '0001-01-01'), '9999-12-31') AS "at!",
            (SELECT jsonb_object_agg(key, value)::text
            FROM jsonb_each(to_jsonb(e) || jsonb_build_object('at', extract(epoch FROM e.at)::text))
            WHERE value <> 'null') AS "text!"
        FROM audit_events e WHERE e.id = ANY($1) ORDER BY e.id
        "#,
        ids,
    )
    .fetch_all(conn)
    .await
}

/// One entry of the chain.
#[derive(Clone, Debug)]
pub struct ChainEntry {
    pub position: i64,
    pub event: i64,
    pub sealed_at: DateTime<Utc>,
    pub hash: Vec<u8>,
}

/// Returns the last entry.
pub async fn load_last_entry(conn: &mut Connection) -> sqlx::Result<Option<ChainEntry>> {
    sqlx::query_as!(
        ChainEntry,
        r#"
        SELECT position, event_id AS event, LEAST(GREATEST(sealed_at, '0001-01-01'), '9999-12-31') AS "sealed_at!", hash
        FROM audit_chain ORDER BY position DESC LIMIT 1
        "#,
    )
    .fetch_optional(conn)
    .await
}

/// Returns the entries after a position, in order.
pub async fn list_entries_after(
    conn: &mut Connection,
    position: i64,
    limit: i64,
) -> sqlx::Result<Vec<ChainEntry>> {
    sqlx::query_as!(
        ChainEntry,
        r#"
        SELECT position, event_id AS event, LEAST(GREATEST(sealed_at, '0001-01-01'), '9999-12-31') AS "sealed_at!", hash
        FROM audit_chain WHERE position > $1 ORDER BY position LIMIT $2
        "#,
        position,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Appends entries and removes their rows from the queue.
pub async fn append(conn: &mut Connection, entries: &[ChainEntry]) -> sqlx::Result<()> {
    let positions: Vec<i64> = entries.iter().map(|entry| entry.position).collect();
    let events: Vec<i64> = entries.iter().map(|entry| entry.event).collect();
    let times: Vec<_> = entries.iter().map(|entry| entry.sealed_at).collect();
    let hashes: Vec<Vec<u8>> = entries.iter().map(|entry| entry.hash.clone()).collect();
    sqlx::query!(
        "
        INSERT INTO audit_chain (position, event_id, sealed_at, hash)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::bytea[])
        ",
        &positions,
        &events,
        &times,
        &hashes,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("DELETE FROM audit_unsealed WHERE event_id = ANY($1)", &events)
        .execute(conn)
        .await?;
    Ok(())
}

/// Returns whether the database has an audit chain.
pub async fn exists(conn: &mut Connection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT to_regclass('audit_chain') IS NOT NULL AS "exists!""#)
        .fetch_one(conn)
        .await
}

/// Removes the statement timeout for this transaction: a long log takes longer, and no request waits for it.
pub async fn lift_time_limit(conn: &mut Connection) -> sqlx::Result<()> {
    sqlx::query!("SET LOCAL statement_timeout = 0")
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether an audit row is sealed or waits.
pub struct SealState {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub user: Option<UserId>,
    pub sealed: bool,
    pub waiting: bool,
}

/// Returns the rows of the log after an id, in order.
pub async fn list_seal_states_after(
    conn: &mut Connection,
    id: i64,
    limit: i64,
) -> sqlx::Result<Vec<SealState>> {
    sqlx::query_as!(
        SealState,
        r#"
        SELECT e.id, LEAST(GREATEST(e.at, '0001-01-01'), '9999-12-31') AS "at!", e.user_id AS "user: _",
            c.event_id IS NOT NULL AS "sealed!", q.event_id IS NOT NULL AS "waiting!"
        FROM audit_events e
        LEFT JOIN audit_chain c ON c.event_id = e.id
        LEFT JOIN audit_unsealed q ON q.event_id = e.id
        WHERE e.id > $1 ORDER BY e.id LIMIT $2
        "#,
        id,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Returns queued ids whose rows do not exist.
pub async fn list_orphans(conn: &mut Connection, limit: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        "
        SELECT q.event_id FROM audit_unsealed q
        WHERE NOT EXISTS (SELECT FROM audit_events e WHERE e.id = q.event_id) ORDER BY 1 LIMIT $1
        ",
        limit,
    )
    .fetch_all(conn)
    .await
}
