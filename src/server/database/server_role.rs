//! The role that the running server takes on: it does its work, and the audit log stays what it was.
//!
//! Roles belong to the whole database server, so that several portals, and several nodes of one, make it at once.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};

/// The role's name, as `server_role.sql` says it too.
pub const SERVER_ROLE: &str = "broker_portal_server";

/// How often, and how far apart, the rights are tried to be given while others do the same.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Makes the role, unless it is there, and gives it what the server needs. A user who may not do that leaves everything
/// as it is.
///
/// # Errors
/// The database's.
pub(super) async fn provide(pool: &PgPool) -> sqlx::Result<()> {
    let mut tries = 0;
    loop {
        match sqlx::raw_sql(include_str!("server_role.sql")).execute(pool).await {
            Err(error) if is_someone_else_at_it(&error) && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) if is_refused(&error) => {
                tracing::debug!(%error, "the server's database role could not be provided");
                return Ok(());
            }
            provided => return provided.map(drop),
        }
    }
}

/// Whether this connection has taken the role on, and the role may do the server's work in this database.
///
/// # Errors
/// The database's.
pub(super) async fn is_at_work(conn: &mut PgConnection) -> sqlx::Result<bool> {
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
    let Some(error) = error.as_database_error() else {
        return false;
    };
    match error.code().as_deref() {
        // The role, or a membership, has come into being meanwhile; a deadlock; a lock that did not come in time.
        Some("42710" | "23505" | "40P01" | "55P03") => true,
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
