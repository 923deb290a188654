//! Webhook messages about alerts. Each is written in the transaction of its alert, and sent by the node that claims it
//! first.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::server::database::Connection;
use domain::{
    alert::{Delivery, DeliveryOutcome},
    ids::AlertId,
};

/// A message to queue.
pub struct NewDelivery<'a> {
    /// Message id, the same in every attempt.
    pub id: Uuid,
    /// `None` for a test.
    pub alert: Option<AlertId>,
    /// `raised`, `cleared` or `test`.
    pub state: &'a str,
    /// The request body.
    pub payload: &'a str,
}

/// Queues a message to be sent at once.
pub async fn queue(conn: &mut Connection, delivery: NewDelivery<'_>, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        INSERT INTO alert_deliveries (id, alert_id, state, payload, created_at, next_attempt_at)
        VALUES ($1, $2, $3, $4, $5, $5)
        ",
        delivery.id,
        delivery.alert as _,
        delivery.state,
        delivery.payload,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A message that this node sends now.
pub struct ClaimedDelivery {
    pub id: Uuid,
    pub payload: String,
    pub created_at: DateTime<Utc>,
    /// Number of attempts, including this one.
    pub attempts: i32,
}

/// Claims a message that is due. No other node can claim it before `lease_ends`; after that, another node takes over.
/// The message that an alert has cleared waits until the one that it was raised is delivered or given up.
pub async fn claim(
    conn: &mut Connection,
    lease_ends: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<ClaimedDelivery>> {
    sqlx::query_as!(
        ClaimedDelivery,
        "
        UPDATE alert_deliveries SET attempts = attempts + 1, next_attempt_at = $2 WHERE id = (
            SELECT d.id FROM alert_deliveries d
            WHERE d.next_attempt_at <= $1 AND NOT EXISTS (
                SELECT FROM alert_deliveries e
                WHERE e.alert_id = d.alert_id AND e.created_at < d.created_at AND e.next_attempt_at IS NOT NULL
            )
            ORDER BY d.next_attempt_at, d.id LIMIT 1 FOR UPDATE OF d SKIP LOCKED
        )
        RETURNING id, payload, created_at, attempts
        ",
        now,
        lease_ends,
    )
    .fetch_optional(conn)
    .await
}

/// Marks a message as delivered, even if another node has claimed it meanwhile.
pub async fn mark_delivered(conn: &mut Connection, id: Uuid, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        UPDATE alert_deliveries SET delivered_at = $2, next_attempt_at = NULL, last_error = NULL
        WHERE id = $1 AND next_attempt_at IS NOT NULL
        ",
        id,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records a failed attempt. With `next`, the message is retried then; without, it is given up. Does nothing if another
/// node has claimed the message meanwhile.
pub async fn mark_failed(
    conn: &mut Connection,
    claimed: &ClaimedDelivery,
    error: &str,
    next: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        UPDATE alert_deliveries SET last_error = $3, next_attempt_at = $4,
            given_up_at = CASE WHEN $4::timestamptz IS NULL THEN $5::timestamptz END
        WHERE id = $1 AND attempts = $2 AND next_attempt_at IS NOT NULL
        ",
        claimed.id,
        claimed.attempts,
        error,
        next,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

struct Row {
    alert: Option<AlertId>,
    state: String,
    created_at: DateTime<Utc>,
    attempts: i32,
    next_attempt_at: Option<DateTime<Utc>>,
    delivered_at: Option<DateTime<Utc>>,
    given_up_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
}

impl Row {
    fn read(self) -> Delivery {
        let (outcome, at) = match (self.delivered_at, self.given_up_at) {
            (Some(at), _) => (DeliveryOutcome::Delivered, Some(at)),
            (None, Some(at)) => (DeliveryOutcome::GivenUp, Some(at)),
            (None, None) => (DeliveryOutcome::Waiting, self.next_attempt_at),
        };
        Delivery {
            state: self.state,
            created_at: self.created_at,
            attempts: self.attempts.unsigned_abs(),
            outcome,
            outcome_at: at.unwrap_or(self.created_at),
            last_error: self.last_error,
        }
    }
}

/// Returns the deliveries of alerts, oldest first.
pub async fn list_by_alerts(
    conn: &mut Connection,
    alerts: &[AlertId],
) -> sqlx::Result<Vec<(AlertId, Delivery)>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT alert_id AS "alert: _", state, created_at, attempts, next_attempt_at, delivered_at, given_up_at, last_error
        FROM alert_deliveries WHERE alert_id = ANY ($1) ORDER BY created_at, id
        "#,
        alerts as _,
    )
    .fetch_all(conn)
    .await?;
    let deliveries = rows.into_iter().filter_map(|row| Some((row.alert?, row.read())));
    Ok(deliveries.collect())
}

/// Returns the latest test messages, newest first.
pub async fn list_tests(conn: &mut Connection, most: i64) -> sqlx::Result<Vec<Delivery>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT alert_id AS "alert: _", state, created_at, attempts, next_attempt_at, delivered_at, given_up_at, last_error
        FROM alert_deliveries WHERE alert_id IS NULL ORDER BY created_at DESC, id LIMIT $1
        "#,
        most,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Row::read).collect())
}

/// Deletes test messages and unsent messages that were queued before `then`.
pub async fn delete_before(conn: &mut Connection, then: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "DELETE FROM alert_deliveries WHERE id IN (
            SELECT id FROM alert_deliveries WHERE created_at < $1 AND (alert_id IS NULL OR next_attempt_at IS NOT NULL)
            ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )",
        then,
        most,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
