//! Creates sessions.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::server::database::Connection;
use domain::{
    ids::{DeviceId, OrganizationId, SessionId, UserId},
    session::ClientKind,
    user::{Role, User},
};

use crate::server::auth::token::HashedToken;

/// A session to insert.
pub struct NewSession<'a> {
    pub id: SessionId,
    pub user: UserId,
    pub organization: Option<OrganizationId>,
    pub kind: ClientKind,
    pub device: Option<DeviceId>,
    pub credential: HashedToken,
    /// When the access token expires. `None` for a cookie.
    pub credential_expires_at: Option<DateTime<Utc>>,
    /// The user's epoch, read before the password was verified.
    pub epoch: i64,
    pub ip_address: IpAddr,
    pub user_agent: &'a str,
    pub browser: Option<&'a str>,
    pub os: Option<&'a str>,
    pub platform: Option<&'a str>,
    /// The cookie of the known browser.
    pub known_browser: Option<HashedToken>,
}

/// Inserts a session. The caller holds the user's row lock and has compared the epoch.
pub async fn insert(conn: &mut Connection, new: NewSession<'_>, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        INSERT INTO sessions (id, user_id, organization_id, kind, device, credential_hash, credential_expires_at, epoch,
            created_at, authenticated_at, last_active_at, last_seen_at, ip_address, user_agent, browser, os, platform,
            known_browser, number)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $9, $9, $10, $11, $12, $13, $14, $15,
            nextval('session_numbers'))
        ",
        new.id as _,
        new.user as _,
        new.organization as _,
        new.kind as _,
        new.device as _,
        new.credential.as_bytes(),
        new.credential_expires_at,
        new.epoch,
        now,
        new.ip_address as _,
        new.user_agent,
        new.browser,
        new.os,
        new.platform,
        new.known_browser.as_ref().map(HashedToken::as_bytes),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A session that was just inserted, with the limits of its role.
pub struct InsertedSession {
    pub user: User,
    pub lifetime_expires_at: DateTime<Utc>,
    /// Live sessions that the role allows.
    pub max_sessions: i64,
}

/// Loads the session that this transaction has inserted.
pub async fn load_inserted(conn: &mut Connection, session: SessionId) -> sqlx::Result<InsertedSession> {
    let row = sqlx::query!(
        r#"SELECT user_id AS "user_id!: UserId", email AS "email!", display_name AS "display_name!", role AS "role!: Role",
            lifetime_expires_at AS "lifetime_expires_at!", max_sessions::bigint AS "max_sessions!"
        FROM session_state WHERE id = $1"#,
        session as _
    )
    .fetch_one(conn)
    .await?;
    let user = User {
        id: row.user_id,
        email: row.email,
        display_name: row.display_name,
        role: row.role,
    };
    Ok(InsertedSession {
        user,
        lifetime_expires_at: row.lifetime_expires_at,
        max_sessions: row.max_sessions,
    })
}

/// Returns the organization that the user selected last, if they still belong to it; else the one they joined first.
pub async fn load_last_organization(
    conn: &mut Connection,
    user: UserId,
) -> sqlx::Result<Option<OrganizationId>> {
    sqlx::query_scalar!(
        r#"
        SELECT m.organization_id AS "id: OrganizationId" FROM memberships m
        LEFT JOIN LATERAL (
            SELECT max(s.created_at) AS at FROM sessions s
            WHERE s.user_id = m.user_id AND s.organization_id = m.organization_id
        ) used ON true
        WHERE m.user_id = $1
        ORDER BY used.at DESC NULLS LAST, m.created_at, m.organization_id
        LIMIT 1
        "#,
        user as _,
    )
    .fetch_optional(conn)
    .await
}
