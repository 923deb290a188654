//! Alerts: when a condition was raised and when it cleared. The unique index `alerts_one_open` ensures one open alert
//! per condition, even when several nodes find it at once.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::server::database::Connection;
use domain::{
    alert::{Alert, AlertRule},
    ids::AlertId,
};

/// A condition that holds now.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub rule: AlertRule,
    /// What the condition is about, for rules with several subjects. Empty for the portal as a whole.
    pub key: String,
    /// The values that were measured.
    pub figures: Value,
    pub message: String,
}

/// Records a finding. `Some`: this raised a new alert.
pub async fn record_finding(
    conn: &mut Connection,
    finding: &Finding,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<AlertId>> {
    let new = AlertId::new();
    let id = sqlx::query_scalar!(
        r#"
        INSERT INTO alerts AS a (id, rule, key, raised_at, last_seen_at, figures, message)
        VALUES ($1, $2, $3, $4, $4, $5, $6)
        ON CONFLICT (rule, key) WHERE cleared_at IS NULL DO UPDATE
            SET last_seen_at = GREATEST(a.last_seen_at, $4), figures = $5, message = $6
        RETURNING id AS "id: AlertId"
        "#,
        new as _,
        finding.rule as _,
        finding.key,
        now,
        finding.figures,
        finding.message,
    )
    .fetch_one(conn)
    .await?;
    Ok((id == new).then_some(new))
}

/// An alert that was just cleared.
pub struct ClearedAlert {
    pub id: AlertId,
    pub raised_at: DateTime<Utc>,
    /// The last finding.
    pub finding: Finding,
}

/// Clears the open alerts of a rule that were last seen at `last_seen` or before.
pub async fn clear(
    conn: &mut Connection,
    rule: AlertRule,
    last_seen: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<ClearedAlert>> {
    let rows = sqlx::query!(
        r#"
        UPDATE alerts SET cleared_at = $3 WHERE rule = $1 AND cleared_at IS NULL AND last_seen_at <= $2
        RETURNING id AS "id: AlertId", key, raised_at, figures, message
        "#,
        rule as _,
        last_seen,
        now,
    )
    .fetch_all(conn)
    .await?;
    let cleared = rows.into_iter().map(|row| ClearedAlert {
        id: row.id,
        raised_at: row.raised_at,
        finding: Finding {
            rule,
            key: row.key,
            figures: row.figures,
            message: row.message,
        },
    });
    Ok(cleared.collect())
}

/// Returns whether an alert of this rule is open.
pub async fn is_open(conn: &mut Connection, rule: AlertRule) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM alerts WHERE rule = $1 AND cleared_at IS NULL) AS "open!""#,
        rule as _,
    )
    .fetch_one(conn)
    .await
}

struct Row {
    id: AlertId,
    rule: String,
    key: String,
    message: String,
    raised_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    cleared_at: Option<DateTime<Utc>>,
}

impl Row {
    /// `None`: a rule that only a newer server knows.
    fn read(self) -> Option<Alert> {
        Some(Alert {
            id: self.id,
            rule: self.rule.parse().ok()?,
            key: self.key,
            message: self.message,
            raised_at: self.raised_at,
            last_seen_at: self.last_seen_at,
            cleared_at: self.cleared_at,
            deliveries: Vec::new(),
        })
    }
}

/// Returns open alerts without their deliveries, newest first.
pub async fn list_open(conn: &mut Connection) -> sqlx::Result<Vec<Alert>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT id AS "id: _", rule, key, message, raised_at, last_seen_at, cleared_at FROM alerts WHERE cleared_at IS NULL
        ORDER BY raised_at DESC, id
        "#,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().filter_map(Row::read).collect())
}

/// Returns cleared alerts without their deliveries, last cleared first.
pub async fn list_recent(conn: &mut Connection, most: i64) -> sqlx::Result<Vec<Alert>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT id AS "id: _", rule, key, message, raised_at, last_seen_at, cleared_at FROM alerts WHERE cleared_at IS NOT NULL
        ORDER BY cleared_at DESC, id LIMIT $1
        "#,
        most,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().filter_map(Row::read).collect())
}

/// Deletes alerts that cleared before `then`, with their deliveries.
pub async fn delete_cleared_before(
    conn: &mut Connection,
    then: DateTime<Utc>,
    most: i64,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "DELETE FROM alerts WHERE id IN (
            SELECT id FROM alerts WHERE cleared_at < $1 ORDER BY cleared_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )",
        then,
        most,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
