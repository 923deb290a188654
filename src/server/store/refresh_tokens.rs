//! Refresh tokens. Each desktop session has a chain of them, of which the last one is current.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::server::database::Connection;
use domain::ids::{SessionId, UserId};

use crate::server::auth::{client::Network, token::HashedToken};

/// Inserts the first refresh token of a session.
pub async fn insert_first(
    conn: &mut Connection,
    session: SessionId,
    token: HashedToken,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    insert(conn, session, None, token, now).await
}

async fn insert(
    conn: &mut Connection,
    session: SessionId,
    parent: Option<Uuid>,
    token: HashedToken,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO refresh_tokens (id, session_id, parent_id, token_hash, created_at) VALUES ($1, $2, $3, $4, $5)",
        Uuid::new_v4(),
        session as _,
        parent,
        token.as_bytes(),
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A stored token.
pub struct StoredToken {
    pub id: Uuid,
    pub session: SessionId,
    pub user: UserId,
}

/// Finds a token in any state.
pub async fn find(conn: &mut Connection, token: HashedToken) -> sqlx::Result<Option<StoredToken>> {
    sqlx::query_as!(
        StoredToken,
        r#"SELECT t.id, t.session_id AS "session: _", s.user_id AS "user: _"
        FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.token_hash = $1"#,
        token.as_bytes(),
    )
    .fetch_optional(conn)
    .await
}

/// The state of a token.
pub enum TokenState {
    /// The last token of its chain.
    Current,
    /// Exchanged at `at`. Its successor is unused and can be derived again with the salt.
    Exchanged { at: DateTime<Utc>, salt: [u8; 32] },
    /// Its successor was used, or can no longer be derived.
    Spent,
}

/// Loads the state of a token. The caller holds the session's row lock.
pub async fn load_state(conn: &mut Connection, token: Uuid) -> sqlx::Result<TokenState> {
    let row = sqlx::query!(
        r#"
        SELECT t.used_at, t.successor_salt, COALESCE(c.used_at IS NULL, false) AS "successor_unused!"
        FROM refresh_tokens t LEFT JOIN refresh_tokens c ON c.parent_id = t.id
        WHERE t.id = $1
        "#,
        token,
    )
    .fetch_one(conn)
    .await?;
    let salt = row.successor_salt.and_then(|salt| salt.try_into().ok());
    Ok(match (row.used_at, salt) {
        (None, _) => TokenState::Current,
        (Some(at), Some(salt)) if row.successor_unused => TokenState::Exchanged { at, salt },
        _ => TokenState::Spent,
    })
}

/// The circumstances of a token reuse.
pub struct TokenReuse {
    /// When the token was exchanged.
    pub exchanged_at: Option<DateTime<Utc>>,
    /// The token was presented from the network where it was exchanged.
    pub same_network: bool,
    /// One of the successor's tokens was used.
    pub successor_used: bool,
}

/// Loads the circumstances of an exchanged token that is presented again from `network`. The caller holds the session's
/// row lock.
pub async fn load_reuse(conn: &mut Connection, token: Uuid, network: Network) -> sqlx::Result<TokenReuse> {
    sqlx::query_as!(
        TokenReuse,
        r#"
        SELECT t.used_at AS exchanged_at, COALESCE(t.used_from <<= $2, false) AS "same_network!",
            c.used_at IS NOT NULL OR COALESCE(s.last_seen_at > t.used_at, false) AS "successor_used!"
        FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id LEFT JOIN refresh_tokens c ON c.parent_id = t.id
        WHERE t.id = $1
        "#,
        token,
        network as _,
    )
    .fetch_one(conn)
    .await
}

/// Exchanges the current token for `successor`. Erases the salt of this token's own exchange, since the token has
/// arrived. The caller holds the session's row lock.
pub async fn exchange(
    conn: &mut Connection,
    token: &StoredToken,
    successor: HashedToken,
    salt: &[u8; 32],
    from: IpAddr,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        WITH arrived AS (
            UPDATE refresh_tokens SET successor_salt = NULL
            WHERE id = (SELECT parent_id FROM refresh_tokens WHERE id = $1)
        )
        UPDATE refresh_tokens SET used_at = $2, successor_salt = $3, used_from = $4 WHERE id = $1
        ",
        token.id,
        now,
        &salt[..],
        from as _,
    )
    .execute(&mut *conn)
    .await?;
    insert(conn, token.session, Some(token.id), successor, now).await
}

/// Erases salts of exchanges before `then`, after which no retry is allowed.
pub async fn erase_salts_before(conn: &mut Connection, then: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "
        UPDATE refresh_tokens SET successor_salt = NULL WHERE id IN (
            SELECT id FROM refresh_tokens WHERE successor_salt IS NOT NULL AND used_at < $1
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
