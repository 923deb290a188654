//! What happened to one session.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::domain::ids::{OrganizationId, SessionId};

/// A row of the audit log that names the session.
pub struct Recorded {
    pub at: DateTime<Utc>,
    pub kind: String,
    pub reason: Option<String>,
    pub ip_address: Option<String>,
    /// Who did it, where the asker may know them.
    pub actor_email: Option<String>,
    /// Somebody did it.
    pub has_actor: bool,
    pub detail: Value,
}

/// What is on record of a session, oldest first, at most `most`. Of those who belong to other organizations only no name is
/// given to whoever asks for one organization.
pub async fn recorded(
    conn: &mut PgConnection,
    organization: Option<OrganizationId>,
    session: SessionId,
    most: i64,
) -> sqlx::Result<Vec<Recorded>> {
    sqlx::query_as!(
        Recorded,
        r#"
        SELECT e.at, e.kind, e.reason, host(e.ip_address) AS ip_address, a.email AS "actor_email?",
            e.actor_id IS NOT NULL AS "has_actor!", e.detail
        FROM audit_events e
        LEFT JOIN users a ON a.id = e.actor_id AND ($3::uuid IS NULL OR EXISTS (
            SELECT 1 FROM memberships m WHERE m.user_id = a.id AND m.organization_id = $3))
        WHERE e.session_id = $1 ORDER BY e.id LIMIT $2
        "#,
        session.0,
        most,
        organization.map(|id| id.0),
    )
    .fetch_all(conn)
    .await
}

/// The networks that a session was used from, and since when.
pub async fn networks(
    conn: &mut PgConnection,
    session: SessionId,
) -> sqlx::Result<Vec<(DateTime<Utc>, String)>> {
    let rows = sqlx::query!(
        r#"
        SELECT first_seen_at, network::text AS "network!" FROM session_networks WHERE session_id = $1
        ORDER BY first_seen_at, network
        "#,
        session.0,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.first_seen_at, row.network))
        .collect())
}

/// How often a session's tokens were refreshed, and when last.
pub async fn refreshes(
    conn: &mut PgConnection,
    session: SessionId,
) -> sqlx::Result<(i64, Option<DateTime<Utc>>)> {
    let row = sqlx::query!(
        r#"SELECT count(*) AS "count!", max(used_at) AS last FROM refresh_tokens
        WHERE session_id = $1 AND used_at IS NOT NULL"#,
        session.0,
    )
    .fetch_one(conn)
    .await?;
    Ok((row.count, row.last))
}

/// What was found unusual in a session, and whether its person has answered.
pub async fn notices(
    conn: &mut PgConnection,
    session: SessionId,
) -> sqlx::Result<Vec<(DateTime<Utc>, Vec<String>, Option<DateTime<Utc>>)>> {
    let rows = sqlx::query!(
        "SELECT at, rules, dismissed_at FROM security_notices WHERE session_id = $1 ORDER BY at",
        session.0,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.at, row.rules, row.dismissed_at))
        .collect())
}
