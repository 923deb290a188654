//! The role that the running server takes on: it does its work, and the audit log stays what it was.
//!
//! Roles belong to the whole database server, so that several portals, and several nodes of one, make it at once.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::migrations::is_lock_conflict;

/// The role's name, as `server_role.sql` says it too.
pub const SERVER_ROLE: &str = "broker_portal_server";

/// How long the rights wait for a lock: a statement that waits makes others wait behind it.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '300ms'";

/// The pause before the rights are given again, while others change the same ones. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Attempts after which it is logged that there were some.
const SILENT: u32 = 5;

/// Makes the role, unless it is there, and gives it what the server needs. A user who may not do that leaves everything
/// as it is. Rights that are there already are left alone, and then nothing is locked.
///
/// # Errors
/// The database's.
pub(super) async fn provide(conn: &mut PgConnection) -> sqlx::Result<()> {
    conn.execute(LOCK_TIMEOUT).await?;
    let mut pause = FIRST_PAUSE;
    let mut attempts = 0;
    loop {
        match sqlx::raw_sql(include_str!("server_role.sql"))
            .execute(&mut *conn)
            .await
        {
            Err(error) if is_someone_else_at_it(&error) => {
                attempts += 1;
                if attempts > SILENT {
                    tracing::warn!(%error, "waiting for other transactions before rights are granted, retrying");
                }
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
            Err(error) if is_refused(&error) => {
                tracing::debug!(%error, "the server's database role could not be provided");
                return Ok(());
            }
            provided => return provided.map(drop),
        }
    }
}

/// Takes the role on for one transaction, and tells whether it may do the server's work in this database.
///
/// # Errors
/// The database's: among others, there is no such role, or it is not for this user.
pub(super) async fn try_on(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let mut transaction = conn.begin().await?;
    let statement = format!("SET LOCAL ROLE {SERVER_ROLE}");
    transaction.execute(AssertSqlSafe(statement)).await?;
    let is_at_work = is_at_work(&mut transaction).await?;
    transaction.rollback().await?;
    Ok(is_at_work)
}

/// Whether this connection has taken the role on, and the role may do the server's work in this database.
///
/// # Errors
/// The database's.
async fn is_at_work(conn: &mut PgConnection) -> sqlx::Result<bool> {
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

/// Others make the role, or change the same rights, at this moment.
fn is_someone_else_at_it(error: &sqlx::Error) -> bool {
    if is_lock_conflict(error) {
        return true;
    }
    let Some(error) = error.as_database_error() else {
        return false;
    };
    match error.code().as_deref() {
        // The role, or a membership, has come into being meanwhile.
        Some("42710" | "23505") => true,
        // Postgres has no code of its own for this one.
        Some("XX000") => error.message().starts_with("tuple concurrently"),
        _ => false,
    }
}

fn is_refused(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("42501"))
}
