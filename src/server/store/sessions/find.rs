//! Finds a session by its credential, and reads its state.

use chrono::{DateTime, Utc};

use crate::server::database::Connection;
use domain::{
    ids::{OrganizationId, SessionId, UserId},
    organization::Organization,
    session::{ClientKind, EndReason},
    user::{Role, User},
};

use crate::server::auth::{
    client::Network,
    current_session::{CurrentSession, EndedSession},
    token::HashedToken,
};

/// The session of a credential.
pub enum FoundSession {
    Live(Box<CurrentSession>),
    Ended(EndedSession),
}

/// Finds the session of a credential of this kind, live or ended, for a request from `network`. One statement.
///
/// `event_number` is the highest number of the user's own events. The number of the whole log would not do: numbers are
/// assigned before the commit, so a lower event of this user could become visible later and would be skipped. A user's
/// own events are written under the lock on the user, so they become visible in order.
pub async fn find_by_credential(
    conn: &mut Connection,
    credential: HashedToken,
    kind: ClientKind,
    network: Network,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<FoundSession>> {
    let row = sqlx::query!(
        r#"
        SELECT id AS "id!: SessionId", user_id AS "user_id!: UserId", email AS "email!", display_name AS "display_name!",
            role AS "role!: Role", organization_id AS "organization_id: OrganizationId", organization_name,
            created_at AS "created_at!", authenticated_at AS "authenticated_at!", last_active_at AS "last_active_at!",
            idle_expires_at AS "idle_expires_at!", lifetime_expires_at AS "lifetime_expires_at!",
            idle_seconds AS "idle_seconds!", lifetime_seconds AS "lifetime_seconds!",
            end_note, ended_at IS NOT NULL AS "written!", (live_until > $3) AS "live!", 
            session_end_reason(session_state, $3) AS "reason!: EndReason",
            COALESCE(credential_expires_at <= $3, false) AS "credential_expired!",
            user_agent AS "user_agent!", rotation_due AS "rotation_due!",
            EXISTS (SELECT 1 FROM session_networks n WHERE n.session_id = session_state.id AND n.network = $4)
                AS "network_known!",
            EXISTS (
                SELECT 1 FROM security_notices n
                WHERE n.user_id = session_state.user_id AND n.dismissed_at IS NULL AND n.session_id <> session_state.id
            ) AS "has_notices!",
            EXISTS (SELECT 1 FROM replaced_cookies r WHERE r.session_id = session_state.id) AS "cookie_unconfirmed!",
            has_flash AS "has_flash!",
            (SELECT COALESCE(max(e.id), 0) FROM session_events e WHERE e.user_id = session_state.user_id)
                AS "event_number!"
        FROM session_state
        WHERE credential_hash = $1 AND kind = $2
        "#,
        credential.as_bytes(),
        kind as _,
        now,
        network as _,
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };

    let ended = |reason| {
        FoundSession::Ended(EndedSession {
            session_id: row.id,
            user_id: row.user_id,
            reason,
            written: row.written || row.live,
            note: row.end_note.clone(),
            idle_seconds: row.idle_seconds,
            lifetime_seconds: row.lifetime_seconds,
        })
    };
    if !row.live {
        return Ok(Some(ended(row.reason)));
    }
    if row.credential_expired {
        // The session is live, but this access token has expired. The client must refresh it.
        return Ok(Some(ended(EndReason::Unknown)));
    }
    let organization = match (row.organization_id, row.organization_name) {
        (Some(id), Some(name)) => Some(Organization { id, name }),
        _ => None,
    };
    Ok(Some(FoundSession::Live(Box::new(CurrentSession {
        id: row.id,
        kind,
        credential,
        user: User {
            id: row.user_id,
            email: row.email,
            display_name: row.display_name,
            role: row.role,
        },
        organization,
        created_at: row.created_at,
        authenticated_at: row.authenticated_at,
        last_active_at: row.last_active_at,
        idle_expires_at: row.idle_expires_at,
        lifetime_expires_at: row.lifetime_expires_at,
        idle_seconds: row.idle_seconds,
        user_agent: row.user_agent,
        network_known: row.network_known,
        rotation_due: row.rotation_due,
        event_number: row.event_number,
        has_notices: row.has_notices,
        has_flash: row.has_flash,
        cookie_unconfirmed: row.cookie_unconfirmed,
    }))))
}

/// Returns why a session has ended. `None`: it is live.
pub async fn find_end_reason(
    conn: &mut Connection,
    session: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<EndReason>> {
    let row = sqlx::query!(
        r#"SELECT (live_until > $2) AS "live!", session_end_reason(session_state, $2) AS "reason!: EndReason"
        FROM session_state WHERE id = $1"#,
        session as _,
        now,
    )
    .fetch_optional(conn)
    .await?;
    Ok(match row {
        None => Some(EndReason::Unknown),
        Some(row) if row.live => None,
        Some(row) => Some(row.reason),
    })
}

/// Returns why a credential that identified a session before does not any more: the session has ended, or the credential
/// was replaced. `None`: it still does. A replaced credential gets the reason that its next request would get.
pub async fn refusal_reason(
    conn: &mut Connection,
    session: SessionId,
    credential: HashedToken,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<EndReason>> {
    if let Some(reason) = find_end_reason(conn, session, now).await? {
        return Ok(Some(reason));
    }
    let row = sqlx::query!(
        r#"SELECT s.credential_hash = $2 AS "is_current!", EXISTS (
            SELECT 1 FROM replaced_cookies r WHERE r.session_id = s.id AND r.credential_hash = $2
        ) AS "is_unconfirmed!" FROM sessions s WHERE s.id = $1"#,
        session as _,
        credential.as_bytes(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(match row {
        Some(row) if row.is_current => None,
        Some(row) if row.is_unconfirmed => Some(EndReason::RenewalLost),
        _ => Some(EndReason::Unknown),
    })
}

/// A live session, independent of its credential.
pub struct LiveSession {
    pub user: User,
    pub user_agent: String,
    pub lifetime_expires_at: DateTime<Utc>,
}

/// Finds a session if it is live.
pub async fn find_live(
    conn: &mut Connection,
    session: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<LiveSession>> {
    let row = sqlx::query!(
        r#"SELECT user_id AS "user_id!: UserId", email AS "email!", display_name AS "display_name!", role AS "role!: Role",
            user_agent AS "user_agent!", lifetime_expires_at AS "lifetime_expires_at!"
        FROM session_state WHERE id = $1 AND live_until > $2"#,
        session as _,
        now,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| LiveSession {
        user: User {
            id: row.user_id,
            email: row.email,
            display_name: row.display_name,
            role: row.role,
        },
        user_agent: row.user_agent,
        lifetime_expires_at: row.lifetime_expires_at,
    }))
}

/// Returns when a session expires without further activity. `None`: it has ended.
pub async fn find_live_until(
    conn: &mut Connection,
    session: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        r#"SELECT live_until AS "until!" FROM session_state WHERE id = $1 AND live_until > $2"#,
        session as _,
        now,
    )
    .fetch_optional(conn)
    .await
}

/// Locks a session's row, so that the next statement reads its latest version.
pub async fn lock(conn: &mut Connection, session: SessionId) -> sqlx::Result<()> {
    sqlx::query!("SELECT id FROM sessions WHERE id = $1 FOR UPDATE", session as _)
        .fetch_optional(conn)
        .await?;
    Ok(())
}

/// Locks every open session of a user, in the order of their ids.
pub async fn lock_open_of(conn: &mut Connection, user: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT id FROM sessions WHERE user_id = $1 AND ended_at IS NULL ORDER BY id FOR UPDATE",
        user as _
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Returns the user of a session in any state.
pub async fn find_owner(conn: &mut Connection, session: SessionId) -> sqlx::Result<Option<UserId>> {
    sqlx::query_scalar!(
        r#"SELECT user_id AS "user: UserId" FROM sessions WHERE id = $1"#,
        session as _,
    )
    .fetch_optional(conn)
    .await
}
