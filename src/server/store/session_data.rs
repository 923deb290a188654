//! Data of the web framework's session. It is stored in the session's own row, so that it ends with it.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::server::auth::token::HashedToken;
use crate::server::database::Connection;

/// The data of a live browser session and the end of its lifetime.
pub struct SessionData {
    pub data: Value,
    pub lifetime_expires_at: DateTime<Utc>,
}

/// Loads the data of a live session.
pub async fn find(
    conn: &mut Connection,
    credential: HashedToken,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<SessionData>> {
    sqlx::query_as!(
        SessionData,
        r#"
        SELECT data AS "data!", lifetime_expires_at AS "lifetime_expires_at!" FROM session_state
        WHERE credential_hash = $1 AND kind = 'browser' AND live_until > $2
        "#,
        credential.as_bytes(),
        now,
    )
    .fetch_optional(conn)
    .await
}

/// Updates the data of a session that has not ended, and returns whether there was one. Never inserts: a request in
/// progress must not revive a session that ends meanwhile.
pub async fn update(conn: &mut Connection, credential: HashedToken, data: &Value) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE sessions SET data = $2 WHERE credential_hash = $1 AND kind = 'browser' AND ended_at IS NULL",
        credential.as_bytes(),
        data,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}
