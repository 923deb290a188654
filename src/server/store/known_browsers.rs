//! Browsers that have signed in to an account before.

use chrono::{DateTime, Utc};

use super::security_notices::UNCONFIRMED_PERIOD;
use crate::server::database::Connection;
use domain::ids::UserId;

use crate::server::auth::token::HashedToken;

/// Returns whether this browser has signed in to the account before.
pub async fn is_known(conn: &mut Connection, user: UserId, browser: HashedToken) -> sqlx::Result<bool> {
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM known_browsers WHERE user_id = $1 AND token_hash = $2) AS "known!""#,
        user as _,
        browser.as_bytes(),
    )
    .fetch_one(conn)
    .await?;
    Ok(known)
}

/// Returns whether we issued this browser cookie. A browser keeps it for all its users.
pub async fn exists(conn: &mut Connection, browser: HashedToken) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM known_browsers WHERE token_hash = $1) AS "exists!""#,
        browser.as_bytes(),
    )
    .fetch_one(conn)
    .await
}

/// Returns whether a session of this browser is still unconfirmed by its user.
pub async fn is_in_question(
    conn: &mut Connection,
    user: UserId,
    browser: HashedToken,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        SELECT EXISTS (
            SELECT 1 FROM sessions s JOIN security_notices n ON n.session_id = s.id
            WHERE s.user_id = $1 AND s.known_browser = $2 AND n.dismissed_at IS NULL AND n.at > $3
                AND 'new_device' = ANY (n.rules)
        ) AS "in_question!"
        "#,
        user as _,
        browser.as_bytes(),
        now - UNCONFIRMED_PERIOD,
    )
    .fetch_one(conn)
    .await
}

/// Records that a user signed in with this browser.
pub async fn record(
    conn: &mut Connection,
    user: UserId,
    browser: HashedToken,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        INSERT INTO known_browsers (user_id, token_hash, created_at, last_used_at) VALUES ($1, $2, $3, $3)
        ON CONFLICT (user_id, token_hash) DO UPDATE SET last_used_at = $3
        ",
        user as _,
        browser.as_bytes(),
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes browsers without a sign-in since `then`.
pub async fn delete_unused_before(
    conn: &mut Connection,
    then: DateTime<Utc>,
    most: i64,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "
        DELETE FROM known_browsers WHERE (user_id, token_hash) IN (
            SELECT user_id, token_hash FROM known_browsers WHERE last_used_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        ",
        then,
        most,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
