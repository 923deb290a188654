//! The role of the running server, for which the audit log is append-only.
//!
//! Roles belong to the whole database server, so several portals and nodes may create it at once.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::migrations::is_lock_conflict;

/// Name of the role, as in `server_role.sql`.
pub const SERVER_ROLE: &str = "broker_portal_server";

/// Lock timeout while rights are granted: a waiting statement blocks others.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '300ms'";

/// Delay before a retry after a concurrent change. It doubles up to the maximum.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(50);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Attempts before a retry is logged.
const UNLOGGED_ATTEMPTS: u32 = 5;

/// Creates the role if it is missing and grants its rights. Does nothing if the user may not do that. Existing rights
/// are not granted again, which avoids locks.
///
/// # Errors
/// A database error.
pub(super) async fn create(conn: &mut PgConnection) -> sqlx::Result<()> {
    conn.execute(LOCK_TIMEOUT).await?;
    let mut delay = MIN_RETRY_DELAY;
    let mut attempts = 0;
    loop {
        match sqlx::raw_sql(include_str!("server_role.sql"))
            .execute(&mut *conn)
            .await
        {
            Err(error) if is_concurrent_change(&error) => {
                attempts += 1;
                if attempts > UNLOGGED_ATTEMPTS {
                    tracing::warn!(%error, "rights of the server role not granted, retrying");
                }
                tokio::time::sleep(delay).await;
                delay = MAX_RETRY_DELAY.min(delay * 2);
            }
            Err(error) if is_refused(&error) => {
                tracing::debug!(%error, "server role not created");
                return Ok(());
            }
            provided => return provided.map(drop),
        }
    }
}

/// Takes the role for one transaction and returns whether it suffices for the server's work.
///
/// # Errors
/// A database error, for example if the role does not exist or may not be used.
pub(super) async fn can_use(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let mut transaction = conn.begin().await?;
    let statement = format!("SET LOCAL ROLE {SERVER_ROLE}");
    transaction.execute(AssertSqlSafe(statement)).await?;
    let is_active = is_active(&mut transaction).await?;
    transaction.rollback().await?;
    Ok(is_active)
}

/// Returns whether this connection has the role and the role suffices for the server's work.
///
/// # Errors
/// A database error.
async fn is_active(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "
        SELECT current_user = $1 AND current_schema() IS NOT NULL AND COALESCE(bool_and(
            has_table_privilege(c.oid, 'SELECT') AND (c.relname = '_sqlx_migrations' OR c.relname = 'audit_unsealed'
                OR has_table_privilege(c.oid, 'INSERT'))
        ), false)
        FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
            AND pg_has_role(session_user, c.relowner, 'USAGE')
        ",
    )
    .bind(SERVER_ROLE)
    .fetch_one(conn)
    .await
}

/// Returns whether another connection creates the role or changes the same rights now.
fn is_concurrent_change(error: &sqlx::Error) -> bool {
    if is_lock_conflict(error) {
        return true;
    }
    let Some(error) = error.as_database_error() else {
        return false;
    };
    match error.code().as_deref() {
        // The role or a membership was created meanwhile.
        Some("42710" | "23505") => true,
        // Postgres has no code for this error.
        Some("XX000") => error.message().starts_with("tuple concurrently"),
        _ => false,
    }
}

fn is_refused(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("42501"))
}
