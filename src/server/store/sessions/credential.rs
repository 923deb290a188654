//! What a session is held by and what it looks at: its credential, the last password check, the client that it was seen
//! on, the organization.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{
    domain::ids::{OrganizationId, SessionId, UserId},
    server::{auth::token::HashedToken, store::acting::ActingTransaction},
};

/// Puts a new credential in the place of the old one, which is refused from the commit on. `expires_at` for an access
/// token. False: the session has ended.
pub async fn set_credential(
    conn: &mut PgConnection,
    session: SessionId,
    credential: HashedToken,
    expires_at: Option<DateTime<Utc>>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "
        UPDATE sessions SET credential_hash = $2, credential_expires_at = $3, rotation_due = false
        WHERE id = $1 AND ended_at IS NULL
        ",
        session.0,
        credential.as_bytes(),
        expires_at,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// When the credential stops, if it is still this one. `None`: the session is held by another, or by none.
pub async fn credential_expiry(
    conn: &mut PgConnection,
    session: SessionId,
    credential: HashedToken,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    let found = sqlx::query_scalar!(
        "SELECT credential_expires_at FROM sessions WHERE id = $1 AND credential_hash = $2 AND ended_at IS NULL",
        session.0,
        credential.as_bytes(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.flatten())
}

/// Whether the session is held by this credential and waits for a new one.
pub async fn is_due_for_rotation(
    conn: &mut PgConnection,
    session: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let due = sqlx::query_scalar!(
        r#"SELECT rotation_due AS "due!" FROM session_state WHERE id = $1 AND live_until > $2"#,
        session.0,
        now,
    )
    .fetch_optional(conn)
    .await?;
    Ok(due.unwrap_or(false))
}

/// Records that the caller has shown their password just now.
pub async fn renew_check(tx: &mut ActingTransaction) -> sqlx::Result<()> {
    let (session, now) = (tx.session(), tx.now());
    sqlx::query!(
        "UPDATE sessions SET authenticated_at = $2 WHERE id = $1 AND ended_at IS NULL",
        session.0,
        now,
    )
    .execute(&mut ***tx)
    .await?;
    Ok(())
}

/// Has every session of a person change its credential: browsers with their next request, desktops by a refresh.
pub async fn mark_for_rotation(
    conn: &mut PgConnection,
    user: UserId,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        UPDATE sessions SET rotation_due = (kind = 'browser'), 
            credential_expires_at = CASE kind WHEN 'desktop' THEN LEAST(credential_expires_at, $2) END
        WHERE id IN (SELECT id FROM sessions WHERE user_id = $1 AND ended_at IS NULL ORDER BY id FOR UPDATE)
        ",
        user.0,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The client as it names itself now: a browser that was updated is shown with its new version.
pub async fn set_client(
    conn: &mut PgConnection,
    session: SessionId,
    user_agent: &str,
    browser: Option<&str>,
    os: Option<&str>,
    platform: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE sessions SET user_agent = $2, browser = $3, os = $4, platform = $5 WHERE id = $1 AND ended_at IS NULL",
        session.0,
        user_agent,
        browser,
        os,
        platform,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Switches the caller's session to another organization. `other_role`: the user has another role there, and the browser's
/// cookie is to be replaced with its next request.
pub async fn look_at_organization(
    tx: &mut ActingTransaction,
    organization: OrganizationId,
    other_role: bool,
) -> sqlx::Result<()> {
    let session = tx.session();
    sqlx::query!(
        "
        UPDATE sessions SET organization_id = $2, rotation_due = rotation_due OR (kind = 'browser' AND $3)
        WHERE id = $1 AND ended_at IS NULL
        ",
        session.0,
        organization.0,
        other_role,
    )
    .execute(&mut ***tx)
    .await?;
    Ok(())
}
