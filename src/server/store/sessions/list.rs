//! Lists of live sessions for users and operators.

use chrono::{DateTime, Utc};

use crate::server::database::Connection;
use domain::{
    ids::{SessionId, UserId},
    session::Session,
    user::Role,
};

use crate::server::{auth::client::BrowserNames, store::invalid_column};

/// Returns all users with a session that is not recorded as ended.
pub async fn list_users_with_open(conn: &mut Connection) -> sqlx::Result<Vec<UserId>> {
    let ids = sqlx::query_scalar!("SELECT DISTINCT user_id FROM sessions WHERE ended_at IS NULL ORDER BY 1")
        .fetch_all(conn)
        .await?;
    Ok(ids.into_iter().map(UserId).collect())
}

/// Returns the number of the last session created on any node, 0 for none. A session that is not committed yet may have
/// this number or a lower one.
pub async fn load_last_number(conn: &mut Connection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS "last!" FROM session_numbers"#
    )
    .fetch_one(conn)
    .await
}

/// A live session as an operator sees it.
pub struct ListedSession {
    pub email: String,
    pub role: Role,
    pub session: Session,
    /// Idle timeout of its role, in seconds.
    pub idle_seconds: i64,
    /// When it expires in any case.
    pub lifetime_expires_at: DateTime<Utc>,
}

/// Returns the live sessions of one user or of all, most recently active first.
pub async fn list_live(
    conn: &mut Connection,
    user: Option<UserId>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<ListedSession>> {
    let rows = sqlx::query!(
        r#"
        SELECT email AS "email!", role AS "role!", id AS "id!", kind AS "kind!", device_name, os, platform, browser,
            user_agent AS "user_agent!", host(ip_address) AS "ip_address!", created_at AS "created_at!",
            last_active_at AS "last_active_at!", last_seen_at AS "last_seen_at!",
            LEAST(idle_expires_at, lifetime_expires_at) AS "expires_at!", idle_seconds AS "idle_seconds!",
            lifetime_expires_at AS "lifetime_expires_at!"
        FROM session_state
        WHERE ($1::uuid IS NULL OR user_id = $1) AND live_until > $2
        ORDER BY last_active_at DESC, id
        "#,
        user.map(|id| id.0),
        now,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ListedSession {
                email: row.email,
                role: row.role.parse().map_err(invalid_column("role"))?,
                idle_seconds: row.idle_seconds,
                lifetime_expires_at: row.lifetime_expires_at,
                session: Session {
                    id: SessionId(row.id),
                    kind: row.kind.parse().map_err(invalid_column("kind"))?,
                    device_name: row
                        .device_name
                        .unwrap_or_else(|| BrowserNames::parse(&row.user_agent).device_name),
                    os: row.os,
                    platform: row.platform,
                    browser: row.browser,
                    ip_address: row.ip_address,
                    created_at: row.created_at,
                    last_active_at: row.last_active_at,
                    last_seen_at: row.last_seen_at,
                    expires_at: row.expires_at,
                    is_current: false,
                },
            })
        })
        .collect()
}
