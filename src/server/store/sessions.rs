//! Sessions: found by their credential, listed, begun, ended.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::unreadable;
use crate::{
    domain::{
        ids::{DeviceId, OrganizationId, SessionId, UserId},
        organization::Organization,
        session::{ClientKind, EndReason, Session},
        user::{Role, User},
    },
    server::auth::{
        client::UserAgentParser,
        current_session::{CurrentSession, EndedSession},
        token::HashedToken,
    },
};

/// What a credential points at.
pub enum Found {
    Live(Box<CurrentSession>),
    Ended(EndedSession),
}

/// Finds the session that a credential of this kind points at, live or not. One statement.
pub async fn find_by_credential(
    conn: &mut PgConnection,
    credential: HashedToken,
    kind: ClientKind,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Found>> {
    let row = sqlx::query!(
        r#"
        SELECT id AS "id!", user_id AS "user_id!", email AS "email!", display_name AS "display_name!", role AS "role!",
            organization_id, organization_name,
            created_at AS "created_at!", authenticated_at AS "authenticated_at!", last_active_at AS "last_active_at!",
            idle_expires_at AS "idle_expires_at!", lifetime_expires_at AS "lifetime_expires_at!",
            idle_seconds AS "idle_seconds!", lifetime_seconds AS "lifetime_seconds!",
            end_note, ended_at IS NOT NULL AS "written!", (live_until > $3) AS "live!", end_reason_at(session_state, $3) AS "reason!",
            COALESCE(credential_expires_at <= $3, false) AS "credential_expired!"
        FROM session_state
        WHERE credential_hash = $1 AND kind = $2
        "#,
        credential.as_bytes(),
        kind.as_str(),
        now,
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };

    let ended = |reason| {
        Found::Ended(EndedSession {
            session_id: SessionId(row.id),
            user_id: UserId(row.user_id),
            reason,
            written: row.written || row.live,
            note: row.end_note.clone(),
            idle_seconds: row.idle_seconds,
            lifetime_seconds: row.lifetime_seconds,
        })
    };
    if !row.live {
        return Ok(Some(ended(row.reason.parse().map_err(unreadable("reason"))?)));
    }
    if row.credential_expired {
        // The session goes on; this access token does not. The client is to refresh it.
        return Ok(Some(ended(EndReason::Unknown)));
    }
    let organization = match (row.organization_id, row.organization_name) {
        (Some(id), Some(name)) => Some(Organization {
            id: OrganizationId(id),
            name,
        }),
        _ => None,
    };
    Ok(Some(Found::Live(Box::new(CurrentSession {
        id: SessionId(row.id),
        kind,
        user: User {
            id: UserId(row.user_id),
            email: row.email,
            display_name: row.display_name,
            role: row.role.parse().map_err(unreadable("role"))?,
        },
        organization,
        created_at: row.created_at,
        authenticated_at: row.authenticated_at,
        last_active_at: row.last_active_at,
        idle_expires_at: row.idle_expires_at,
        lifetime_expires_at: row.lifetime_expires_at,
        idle_seconds: row.idle_seconds,
    }))))
}

/// Why a session is over. `None`: it is live.
pub async fn end_reason_of(
    conn: &mut PgConnection,
    session: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<EndReason>> {
    let row = sqlx::query!(
        r#"SELECT (live_until > $2) AS "live!", end_reason_at(session_state, $2) AS "reason!"
        FROM session_state WHERE id = $1"#,
        session.0,
        now,
    )
    .fetch_optional(conn)
    .await?;
    match row {
        None => Ok(Some(EndReason::Unknown)),
        Some(row) if row.live => Ok(None),
        Some(row) => Ok(Some(row.reason.parse().map_err(unreadable("reason"))?)),
    }
}

/// A session that has just been inserted, with what its role makes of it.
pub struct Begun {
    pub user: User,
    pub lifetime_expires_at: DateTime<Utc>,
}

/// Reads back the session that this transaction has inserted.
pub async fn begun(conn: &mut PgConnection, session: SessionId) -> sqlx::Result<Begun> {
    let row = sqlx::query!(
        r#"SELECT user_id AS "user_id!", email AS "email!", display_name AS "display_name!", role AS "role!",
            lifetime_expires_at AS "lifetime_expires_at!"
        FROM session_state WHERE id = $1"#,
        session.0
    )
    .fetch_one(conn)
    .await?;
    let role = row.role.parse().map_err(unreadable("role"))?;
    let user = User {
        id: UserId(row.user_id),
        email: row.email,
        display_name: row.display_name,
        role,
    };
    Ok(Begun {
        user,
        lifetime_expires_at: row.lifetime_expires_at,
    })
}

/// Locks a session's row until the transaction ends, so that what the next statement reads of it is the latest.
pub async fn lock(conn: &mut PgConnection, session: SessionId) -> sqlx::Result<()> {
    sqlx::query!("SELECT id FROM sessions WHERE id = $1 FOR UPDATE", session.0)
        .fetch_optional(conn)
        .await?;
    Ok(())
}

/// Whose session it is, live or not.
pub async fn owner(conn: &mut PgConnection, session: SessionId) -> sqlx::Result<Option<UserId>> {
    let id = sqlx::query_scalar!("SELECT user_id FROM sessions WHERE id = $1", session.0)
        .fetch_optional(conn)
        .await?;
    Ok(id.map(UserId))
}

/// Everyone who has a live session.
pub async fn people_with_live(conn: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<Vec<UserId>> {
    let ids = sqlx::query_scalar!(
        r#"SELECT DISTINCT user_id AS "user_id!" FROM session_state WHERE live_until > $1 ORDER BY 1"#,
        now
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(UserId).collect())
}

/// A live session as an operator sees it.
pub struct ListedSession {
    pub email: String,
    pub role: Role,
    pub session: Session,
    /// The idle timeout of its role, in seconds.
    pub idle_seconds: i64,
    /// When it is over whatever happens.
    pub lifetime_expires_at: DateTime<Utc>,
}

/// The live sessions of one person or of everyone, most recently active first.
pub async fn list_live(
    conn: &mut PgConnection,
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
    let names = UserAgentParser::default();
    rows.into_iter()
        .map(|row| {
            Ok(ListedSession {
                email: row.email,
                role: row.role.parse().map_err(unreadable("role"))?,
                idle_seconds: row.idle_seconds,
                lifetime_expires_at: row.lifetime_expires_at,
                session: Session {
                    id: SessionId(row.id),
                    kind: row.kind.parse().map_err(unreadable("kind"))?,
                    device_name: row
                        .device_name
                        .unwrap_or_else(|| names.read(&row.user_agent).device_name),
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

/// A session about to begin.
pub struct NewSession<'a> {
    pub id: SessionId,
    pub user: UserId,
    pub organization: Option<OrganizationId>,
    pub kind: ClientKind,
    pub device: Option<DeviceId>,
    pub credential: HashedToken,
    /// When the access token stops; `None` for a cookie.
    pub credential_expires_at: Option<DateTime<Utc>>,
    /// The person's epoch, read before their password was looked at.
    pub epoch: i64,
    pub ip_address: IpAddr,
    pub user_agent: &'a str,
    pub browser: Option<&'a str>,
    pub os: Option<&'a str>,
    pub platform: Option<&'a str>,
}

/// Begins a session. The caller holds the person's row lock and has compared the epoch.
pub async fn insert(conn: &mut PgConnection, new: NewSession<'_>, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        INSERT INTO sessions (id, user_id, organization_id, kind, device, credential_hash, credential_expires_at, epoch,
            created_at, authenticated_at, last_active_at, last_seen_at, ip_address, user_agent, browser, os, platform)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $9, $9, $10::text::inet, $11, $12, $13, $14)
        ",
        new.id.0,
        new.user.0,
        new.organization.map(|id| id.0),
        new.kind.as_str(),
        new.device.map(|id| id.0),
        new.credential.as_bytes(),
        new.credential_expires_at,
        new.epoch,
        now,
        new.ip_address.to_string(),
        new.user_agent,
        new.browser,
        new.os,
        new.platform,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Which live sessions of one person to end. The same rows that [`list_live`] shows, narrowed.
#[derive(Clone, Copy, Debug)]
pub struct EndFilter {
    pub user: UserId,
    pub only: Option<SessionId>,
    pub except: Option<SessionId>,
}

/// Who ends sessions, why, and what they wrote.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    pub reason: EndReason,
    pub by: Option<UserId>,
    pub by_session: Option<SessionId>,
    pub note: Option<&'a str>,
}

/// A session that has just ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub session: SessionId,
    /// The given reason; for one whose time had run out unnoticed, that.
    pub reason: EndReason,
    /// It would have authenticated.
    pub was_live: bool,
}

/// Ends the sessions that the filter names: the live ones for the given reason, and those whose time has run out but
/// was not written down, so that no later change of limits brings them back. A session that has ended is never touched
/// again. Their devices are no longer active. Rows are locked in the order of their ids, as in [`touch`].
pub async fn end(
    conn: &mut PgConnection,
    filter: EndFilter,
    end: End<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Ended>> {
    let rows = sqlx::query!(
        r#"
        WITH target AS (
            SELECT id FROM sessions
            WHERE user_id = $1 AND ended_at IS NULL
                AND ($2::uuid IS NULL OR id = $2) AND ($3::uuid IS NULL OR id <> $3)
            ORDER BY id FOR UPDATE
        ), judged AS (
            SELECT s.id, s.live_until > $4 AS was_live,
                CASE WHEN s.live_until > $4 THEN $5 ELSE end_reason_at(s, $4) END AS reason
            FROM session_state s WHERE s.id IN (SELECT id FROM target)
        ), ended AS (
            UPDATE sessions s SET ended_at = $4, end_reason = j.reason, ended_by = $6, ended_by_session = $7,
                end_note = CASE WHEN j.was_live THEN $8 END
            FROM judged j WHERE s.id = j.id
            RETURNING s.id, s.device, j.reason, j.was_live
        ), inactive AS (
            UPDATE devices SET is_active = false WHERE id IN (SELECT device FROM ended)
        )
        SELECT id AS "id!", reason AS "reason!", was_live AS "was_live!" FROM ended
        "#,
        filter.user.0,
        filter.only.map(|id| id.0),
        filter.except.map(|id| id.0),
        now,
        end.reason.as_str(),
        end.by.map(|id| id.0),
        end.by_session.map(|id| id.0),
        end.note,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Ended {
                session: SessionId(row.id),
                reason: row.reason.parse().map_err(unreadable("reason"))?,
                was_live: row.was_live,
            })
        })
        .collect()
}

/// Ends what is still open of a device, whether or not it would authenticate: the device is signing in anew.
pub async fn end_of_device(
    conn: &mut PgConnection,
    device: DeviceId,
    by: UserId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Ended>> {
    let id = sqlx::query_scalar!(
        "
        UPDATE sessions SET ended_at = $2, end_reason = 'signed_out', ended_by = $3
        WHERE device = $1 AND ended_at IS NULL RETURNING id
        ",
        device.0,
        now,
        by.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(id.map(|id| Ended {
        session: SessionId(id),
        reason: EndReason::SignedOut,
        was_live: true,
    }))
}

/// The organization that the person looked at last, if they still belong to it; else the one they joined first.
pub async fn last_organization(
    conn: &mut PgConnection,
    user: UserId,
) -> sqlx::Result<Option<OrganizationId>> {
    let id = sqlx::query_scalar!(
        "
        SELECT m.organization_id FROM memberships m
        LEFT JOIN LATERAL (
            SELECT max(s.created_at) AS at FROM sessions s
            WHERE s.user_id = m.user_id AND s.organization_id = m.organization_id
        ) used ON true
        WHERE m.user_id = $1
        ORDER BY used.at DESC NULLS LAST, m.created_at, m.organization_id
        LIMIT 1
        ",
        user.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(id.map(OrganizationId))
}

/// Writes down when people and clients were last there; `seen` and `active` go together by index. Times only move
/// forward, and only in sessions that have not ended.
pub async fn touch(
    conn: &mut PgConnection,
    ids: &[Uuid],
    seen: &[DateTime<Utc>],
    active: &[Option<DateTime<Utc>>],
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "
        UPDATE sessions s
        SET last_seen_at = GREATEST(s.last_seen_at, t.seen),
            last_active_at = GREATEST(s.last_active_at, COALESCE(t.active, s.last_active_at))
        FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS t (id, seen, active)
        WHERE s.id = t.id AND s.id IN (
            SELECT id FROM sessions WHERE id = ANY ($1) AND ended_at IS NULL ORDER BY id FOR UPDATE
        )
        ",
        ids,
        seen,
        active as &[Option<DateTime<Utc>>],
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
