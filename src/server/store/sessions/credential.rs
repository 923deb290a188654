//! A session's credential, last password check, client and organization.

use chrono::{DateTime, Utc};

use crate::server::database::Connection;
use domain::ids::{OrganizationId, SessionId, UserId};

use crate::server::{
    auth::{current_session::ReplacedCookie, token::HashedToken},
    store::caller_transaction::CallerTransaction,
};

/// Replaces the credential. The old one is refused after the commit. `expires_at` is for an access token. A browser's
/// old cookie is remembered until the new one arrives. `false`: the session has ended.
pub async fn set_credential(
    conn: &mut Connection,
    session: SessionId,
    credential: HashedToken,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "
        WITH replaced AS (
            INSERT INTO replaced_cookies (session_id, credential_hash, replaced_at)
            SELECT id, credential_hash, $4 FROM sessions WHERE id = $1 AND kind = 'browser' AND ended_at IS NULL
            ON CONFLICT (session_id) DO UPDATE
                SET credential_hash = EXCLUDED.credential_hash, replaced_at = EXCLUDED.replaced_at
        )
        UPDATE sessions SET credential_hash = $2, credential_expires_at = $3, rotation_due = false
        WHERE id = $1 AND ended_at IS NULL
        ",
        session as _,
        credential.as_bytes(),
        expires_at,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Finds the live session of a replaced cookie whose successor has not been presented yet.
pub async fn find_replaced(
    conn: &mut Connection,
    credential: HashedToken,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<ReplacedCookie>> {
    let row = sqlx::query!(
        r#"
        SELECT r.session_id AS "session: SessionId", s.user_id AS "user!: UserId"
        FROM replaced_cookies r JOIN session_state s ON s.id = r.session_id
        WHERE r.credential_hash = $1 AND s.live_until > $2
        "#,
        credential.as_bytes(),
        now,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| ReplacedCookie {
        session: row.session,
        user: row.user,
        credential,
    }))
}

/// Forgets a replaced cookie when its browser signs in again. `false`: the successor was presented meanwhile, so the
/// session is in use.
pub async fn take_replaced(conn: &mut Connection, replaced: ReplacedCookie) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "DELETE FROM replaced_cookies WHERE session_id = $1 AND credential_hash = $2",
        replaced.session as _,
        replaced.credential.as_bytes(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets the replaced cookie: the new one was presented.
pub async fn confirm_cookie(conn: &mut Connection, credential: HashedToken) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM replaced_cookies r USING sessions s WHERE r.session_id = s.id AND s.credential_hash = $1",
        credential.as_bytes(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns when this credential expires. `None`: the session has another credential or has ended.
pub async fn find_credential_expiry(
    conn: &mut Connection,
    session: SessionId,
    credential: HashedToken,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    let found = sqlx::query_scalar!(
        "SELECT credential_expires_at FROM sessions WHERE id = $1 AND credential_hash = $2 AND ended_at IS NULL",
        session as _,
        credential.as_bytes(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.flatten())
}

/// Returns whether the session has this credential and waits for a rotation.
pub async fn is_due_for_rotation(
    conn: &mut Connection,
    session: SessionId,
    credential: HashedToken,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let due = sqlx::query_scalar!(
        r#"SELECT rotation_due AS "due!" FROM session_state WHERE id = $1 AND credential_hash = $2 AND live_until > $3"#,
        session as _,
        credential.as_bytes(),
        now,
    )
    .fetch_optional(conn)
    .await?;
    Ok(due.unwrap_or(false))
}

/// Records a password check of the caller.
pub async fn record_reauthentication(tx: &mut CallerTransaction) -> sqlx::Result<()> {
    let (session, now) = (tx.session(), tx.now());
    sqlx::query!(
        "UPDATE sessions SET authenticated_at = $2 WHERE id = $1 AND ended_at IS NULL",
        session as _,
        now,
    )
    .execute(&mut ***tx)
    .await?;
    Ok(())
}

/// Marks every session of a user for rotation: browsers with their next request, desktops by a refresh.
pub async fn mark_for_rotation(conn: &mut Connection, user: UserId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        UPDATE sessions SET rotation_due = (kind = 'browser'), 
            credential_expires_at = CASE kind WHEN 'desktop' THEN LEAST(credential_expires_at, $2) END
        WHERE id IN (SELECT id FROM sessions WHERE user_id = $1 AND ended_at IS NULL ORDER BY id FOR UPDATE)
        ",
        user as _,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Updates the client's description, for example after a browser update.
pub async fn set_client(
    conn: &mut Connection,
    session: SessionId,
    user_agent: &str,
    browser: Option<&str>,
    os: Option<&str>,
    platform: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE sessions SET user_agent = $2, browser = $3, os = $4, platform = $5 WHERE id = $1 AND ended_at IS NULL",
        session as _,
        user_agent,
        browser,
        os,
        platform,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Switches the caller's session to another organization. With `other_role`, the browser's cookie is rotated with its
/// next request.
pub async fn switch_organization(
    tx: &mut CallerTransaction,
    organization: OrganizationId,
    other_role: bool,
) -> sqlx::Result<()> {
    let session = tx.session();
    sqlx::query!(
        "
        UPDATE sessions SET organization_id = $2, rotation_due = rotation_due OR (kind = 'browser' AND $3)
        WHERE id = $1 AND ended_at IS NULL
        ",
        session as _,
        organization as _,
        other_role,
    )
    .execute(&mut ***tx)
    .await?;
    Ok(())
}
