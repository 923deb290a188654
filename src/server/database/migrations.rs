//! Applies migrations beside a running server.
//!
//! A statement that waits for a lock blocks everything behind it, even reads. Each migration therefore gives up after a
//! moment, rolls back and is retried, so that the server keeps working while another transaction, such as a backup, is
//! open.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, Executor as _, PgConnection,
    migrate::{Migrate, MigrateError, Migration, Migrator},
};

/// How long requests may wait behind a waiting migration. Shorter than Postgres's `deadlock_timeout` of 1 s.
const LOCK_TIMEOUT: Duration = Duration::from_millis(300);

/// Delay before the next attempt. It doubles up to the maximum.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Applies pending migrations in order. Waits for other transactions without limit, and logs that it waits.
///
/// # Errors
/// A migration failed for a reason other than a lock, or an applied one has changed.
pub(super) async fn apply(conn: &mut PgConnection, migrator: &Migrator) -> Result<(), MigrateError> {
    let table = &*migrator.table_name;
    // Waiting with a limit keeps this wait from blocking another server's concurrent index build.
    set_lock_timeout(conn, LOCK_TIMEOUT).await?;
    let mut delay = MIN_RETRY_DELAY;
    while let Err(error) = conn.lock().await {
        wait_before_retry(error, &mut delay, "another server's migration").await?;
    }
    let mut delay = MIN_RETRY_DELAY;
    while let Err(error) = conn.ensure_migrations_table(table).await {
        wait_before_retry(error, &mut delay, "other transactions").await?;
    }
    if let Some(version) = conn.dirty_version(table).await? {
        return Err(MigrateError::Dirty(version));
    }
    let applied = conn.list_applied_migrations(table).await?;
    for migration in migrator.iter() {
        if migration.migration_type.is_down_migration() {
            continue;
        }
        match applied
            .iter()
            .find(|applied| applied.version == migration.version)
        {
            Some(applied) if applied.checksum != migration.checksum => {
                return Err(MigrateError::VersionMismatch(migration.version));
            }
            Some(_) => {}
            None => apply_one(conn, table, migration).await?,
        }
    }
    conn.unlock().await
}

async fn apply_one(conn: &mut PgConnection, table: &str, migration: &Migration) -> Result<(), MigrateError> {
    let mut delay = MIN_RETRY_DELAY;
    if migration.no_tx {
        tracing::info!(
            migration = migration.version,
            "building an index, waiting for open transactions"
        );
    }
    loop {
        let attempt = async {
            if migration.no_tx {
                // A concurrent index build waits for transactions without blocking others.
                set_lock_timeout(conn, Duration::ZERO).await?;
                drop_invalid_index(conn, migration).await?;
            }
            let applied = conn.apply(table, migration).await;
            set_lock_timeout(conn, LOCK_TIMEOUT).await?;
            applied
        };
        let Err(error) = attempt.await else { return Ok(()) };
        let waits_for = format!("other transactions before migration {}", migration.version);
        wait_before_retry(error, &mut delay, &waits_for).await?;
        // Perhaps only the record of the duration failed.
        let applied = conn.list_applied_migrations(table).await?;
        if applied.iter().any(|applied| applied.version == migration.version) {
            return Ok(());
        }
    }
}

/// Waits before the next attempt. Returns the error if a retry would not help.
async fn wait_before_retry(
    error: MigrateError,
    delay: &mut Duration,
    waits_for: &str,
) -> Result<(), MigrateError> {
    let cause = match &error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
        _ => return Err(error),
    };
    if !is_lock_conflict(cause) {
        return Err(error);
    }
    tracing::warn!("waiting for {waits_for}, retrying");
    tokio::time::sleep(*delay).await;
    *delay = MAX_RETRY_DELAY.min(*delay * 2);
    Ok(())
}

/// Returns whether a lock timed out or a deadlock occurred: nothing was changed, and a retry is possible.
pub(super) fn is_lock_conflict(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| ["55P03", "40P01"].contains(&&*code))
}

async fn set_lock_timeout(conn: &mut PgConnection, timeout: Duration) -> sqlx::Result<()> {
    let statement = format!("SET lock_timeout = {}", timeout.as_millis());
    conn.execute(AssertSqlSafe(statement)).await.map(drop)
}

/// Drops an unfinished index, which would stay invalid: `IF NOT EXISTS` skips it.
async fn drop_invalid_index(conn: &mut PgConnection, migration: &Migration) -> sqlx::Result<()> {
    let Some(index) = concurrent_index(migration.sql.as_str()) else {
        return Ok(());
    };
    let is_invalid: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid)",
    )
    .bind(&index)
    .fetch_one(&mut *conn)
    .await?;
    if is_invalid {
        tracing::info!(index, "dropping an unfinished index");
        let statement = format!("DROP INDEX CONCURRENTLY IF EXISTS {index}");
        conn.execute(AssertSqlSafe(statement)).await?;
    }
    Ok(())
}

/// Returns the name in `CREATE [UNIQUE] INDEX CONCURRENTLY IF NOT EXISTS name ON ...`, the only statement of a
/// migration without a transaction.
fn concurrent_index(sql: &str) -> Option<String> {
    let statement: Vec<&str> = sql
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        .flat_map(str::split_whitespace)
        .collect();
    let at = statement
        .iter()
        .position(|word| word.eq_ignore_ascii_case("concurrently"))?;
    let (words, name) = (statement.get(at + 1..at + 4)?, statement.get(at + 4)?);
    let conditional = words
        .iter()
        .zip(["if", "not", "exists"])
        .all(|(word, expected)| word.eq_ignore_ascii_case(expected));
    conditional.then(|| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrent_index_name_is_found() {
        let sql = "-- no-transaction\n-- Why CONCURRENTLY.\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS\n  by_name ON users (name);";
        assert_eq!(concurrent_index(sql).as_deref(), Some("by_name"));
        assert_eq!(concurrent_index("CREATE INDEX by_name ON users (name)"), None);
        assert_eq!(
            concurrent_index("CREATE INDEX CONCURRENTLY by_name ON users (name)"),
            None
        );
    }
}
