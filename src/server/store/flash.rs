//! Flash messages of a session, the last one for each page.

use crate::server::database::Connection;
use domain::{flash::Flash, ids::SessionId};

/// Stores a message for the page at `path`. An ended session stores none.
pub async fn put(conn: &mut Connection, session: SessionId, path: &str, flash: Flash) -> sqlx::Result<()> {
    sqlx::query!(
        "
        UPDATE sessions SET flash = COALESCE(flash, '{}') || jsonb_build_object($2::text, $3::text)
        WHERE id = $1 AND ended_at IS NULL
        ",
        session as _,
        path,
        flash.to_string(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes and returns the message for the page at `path`, so that it is shown once.
pub async fn take(conn: &mut Connection, session: SessionId, path: &str) -> sqlx::Result<Option<Flash>> {
    let taken = sqlx::query_scalar!(
        r#"
        UPDATE sessions s SET flash = NULLIF(s.flash - $2::text, '{}')
        FROM (
            SELECT id, flash ->> $2 AS message FROM sessions
            WHERE id = $1 AND ended_at IS NULL AND flash ? $2 FOR UPDATE
        ) before
        WHERE s.id = before.id
        RETURNING before.message AS "message!"
        "#,
        session as _,
        path,
    )
    .fetch_optional(conn)
    .await?;
    Ok(taken.and_then(|message| message.parse().ok()))
}
