//! The audit log as it leaves the portal, a page at a time.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::ids::UserId;

/// Which rows. Empty: all.
#[derive(Clone, Debug, Default)]
pub struct ExportFilter {
    /// From this time on.
    pub since: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
    /// What this person did, and what was done to them.
    pub user: Option<UserId>,
    pub kind: Option<String>,
}

/// One row of the log with its place in the chain, if it has one yet.
pub struct ExportedRow {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub kind: String,
    pub actor_id: Option<Uuid>,
    pub actor_session_id: Option<Uuid>,
    pub user_id: Option<Uuid>,
    /// The address that the person has now.
    pub user_email: Option<String>,
    pub session_id: Option<Uuid>,
    pub ip_address: Option<String>,
    pub reason: Option<String>,
    pub detail: Value,
    pub position: Option<i64>,
    pub sealed_at: Option<DateTime<Utc>>,
    pub hash: Option<Vec<u8>>,
}

/// The rows that follow an id, in order of id.
pub async fn page_after(
    conn: &mut PgConnection,
    filter: &ExportFilter,
    id: i64,
    limit: i64,
) -> sqlx::Result<Vec<ExportedRow>> {
    sqlx::query_as!(
        ExportedRow,
        r#"
        SELECT e.id, LEAST(GREATEST(e.at, '0001-01-01'), '9999-12-31') AS "at!", e.kind, e.actor_id, e.actor_session_id,
            e.user_id, u.email AS "user_email?", e.session_id, host(e.ip_address) AS ip_address, e.reason, e.detail,
            c.position AS "position?", c.hash AS "hash?",
            CASE WHEN c.sealed_at IS NOT NULL THEN LEAST(GREATEST(c.sealed_at, '0001-01-01'), '9999-12-31') END AS sealed_at
        FROM audit_events e
        LEFT JOIN users u ON u.id = e.user_id
        LEFT JOIN audit_chain c ON c.event_id = e.id
        WHERE e.id > $1
            AND ($2::timestamptz IS NULL OR e.at >= $2)
            AND ($3::timestamptz IS NULL OR e.at < $3)
            AND ($4::uuid IS NULL OR e.user_id = $4 OR e.actor_id = $4)
            AND ($5::text IS NULL OR e.kind = $5)
        ORDER BY e.id LIMIT $6
        "#,
        id,
        filter.since,
        filter.until,
        filter.user.map(|user| user.0),
        filter.kind.as_deref(),
        limit,
    )
    .fetch_all(conn)
    .await
}
