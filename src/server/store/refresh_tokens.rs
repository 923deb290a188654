//! Refresh tokens: one current for each desktop session.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{domain::ids::SessionId, server::auth::token::HashedToken};

/// Writes down the first refresh token of a session.
pub async fn insert_first(
    conn: &mut PgConnection,
    session: SessionId,
    token: HashedToken,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO refresh_tokens (id, session_id, token_hash, created_at) VALUES ($1, $2, $3, $4)",
        Uuid::new_v4(),
        session.0,
        token.as_bytes(),
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}
