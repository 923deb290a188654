//! Desktop apps that users have signed in with.

use chrono::{DateTime, Utc};

use super::{caller_transaction::CallerTransaction, security_notices::UNCONFIRMED_PERIOD};
use crate::server::database::Connection;
use domain::ids::{DeviceId, UserId};

use crate::server::auth::client::Network;

/// What a desktop app reports about itself.
#[derive(Clone, Debug)]
pub struct DeviceDetails<'a> {
    /// The id that the client chose for itself, the same at every sign-in.
    pub device_id: &'a str,
    pub device_name: &'a str,
    pub os: &'a str,
    pub platform: &'a str,
    pub app_version: Option<&'a str>,
}

/// Finds a user's device by the client's own id.
pub async fn find(conn: &mut Connection, user: UserId, device_id: &str) -> sqlx::Result<Option<DeviceId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: DeviceId" FROM devices WHERE user_id = $1 AND device_id = $2"#,
        user as _,
        device_id,
    )
    .fetch_optional(conn)
    .await
}

/// A device on which a user has signed in before.
pub struct KnownDevice {
    pub id: DeviceId,
    /// A session of the device was used from the network in question.
    pub in_network: bool,
    /// A session of the device is unconfirmed: the user has not confirmed the sign-in.
    pub in_question: bool,
}

/// Finds a user's device by the client's own id, and whether it was used in a network before. The id alone proves
/// nothing, since it is not secret.
pub async fn find_with_network(
    conn: &mut Connection,
    user: UserId,
    device_id: &str,
    network: Network,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<KnownDevice>> {
    sqlx::query_as!(
        KnownDevice,
        r#"
        SELECT d.id AS "id: _", EXISTS (
            SELECT 1 FROM sessions s JOIN session_networks n ON n.session_id = s.id
            WHERE s.device = d.id AND s.user_id = $1 AND n.network = $3
        ) AS "in_network!", EXISTS (
            SELECT 1 FROM sessions s JOIN security_notices n ON n.session_id = s.id
            WHERE s.device = d.id AND n.dismissed_at IS NULL AND n.at > $4 AND 'new_device' = ANY (n.rules)
        ) AS "in_question!"
        FROM devices d WHERE d.user_id = $1 AND d.device_id = $2
        "#,
        user as _,
        device_id,
        network as _,
        now - UNCONFIRMED_PERIOD,
    )
    .fetch_optional(conn)
    .await
}

/// Registers a user's device, or updates it.
pub async fn register(
    conn: &mut Connection,
    user: UserId,
    facts: &DeviceDetails<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<DeviceId> {
    sqlx::query_scalar!(
        r#"
        INSERT INTO devices (id, user_id, device_id, device_name, os, platform, app_version, is_active, last_seen_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, true, $8, $8)
        ON CONFLICT (user_id, device_id) DO UPDATE SET device_name = EXCLUDED.device_name, os = EXCLUDED.os,
            platform = EXCLUDED.platform, app_version = EXCLUDED.app_version, is_active = true,
            last_seen_at = EXCLUDED.last_seen_at
        RETURNING id AS "id: DeviceId"
        "#,
        DeviceId::new() as _,
        user as _,
        facts.device_id,
        facts.device_name,
        facts.os,
        facts.platform,
        facts.app_version,
        now,
    )
    .fetch_one(conn)
    .await
}

/// Records the presence of the caller's desktop, also in its session. This is not activity.
pub async fn record_heartbeat(tx: &mut CallerTransaction) -> sqlx::Result<()> {
    let (session, now) = (tx.session(), tx.now());
    sqlx::query!(
        "
        WITH seen AS (
            UPDATE sessions SET last_seen_at = GREATEST(last_seen_at, $2)
            WHERE id = $1 AND ended_at IS NULL RETURNING device
        )
        UPDATE devices SET last_seen_at = GREATEST(last_seen_at, $2) WHERE id IN (SELECT device FROM seen)
        ",
        session as _,
        now,
    )
    .execute(&mut ***tx)
    .await?;
    Ok(())
}

/// Deletes devices without a sign-in since `then` that no session refers to.
pub async fn delete_unused_before(
    conn: &mut Connection,
    then: DateTime<Utc>,
    most: i64,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "
        DELETE FROM devices WHERE id IN (
            SELECT d.id FROM devices d WHERE d.last_seen_at < $1 AND NOT d.is_active
                AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.device = d.id)
            LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        ",
        then,
        most,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
