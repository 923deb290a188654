//! Browsers that have signed in to an account before.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::{domain::ids::UserId, server::auth::token::HashedToken};

/// Whether this browser has signed in to the account before.
pub async fn is_known(conn: &mut PgConnection, user: UserId, browser: HashedToken) -> sqlx::Result<bool> {
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM known_browsers WHERE user_id = $1 AND token_hash = $2) AS "known!""#,
        user.0,
        browser.as_bytes(),
    )
    .fetch_one(conn)
    .await?;
    Ok(known)
}

/// Remembers a browser by a new mark, for every account that knew it by the old one, and for this one.
pub async fn remember(
    conn: &mut PgConnection,
    user: UserId,
    old: Option<HashedToken>,
    new: HashedToken,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if let Some(old) = old {
        sqlx::query!(
            "UPDATE known_browsers SET token_hash = $2 WHERE token_hash = $1",
            old.as_bytes(),
            new.as_bytes(),
        )
        .execute(&mut *conn)
        .await?;
    }
    sqlx::query!(
        "
        INSERT INTO known_browsers (user_id, token_hash, created_at, last_used_at) VALUES ($1, $2, $3, $3)
        ON CONFLICT (user_id, token_hash) DO UPDATE SET last_used_at = $3
        ",
        user.0,
        new.as_bytes(),
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets browsers that nobody signed in with since then.
pub async fn forget_before(conn: &mut PgConnection, then: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
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
