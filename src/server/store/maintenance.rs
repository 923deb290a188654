//! Facts about the database: sizes, rows to clean up, open transactions. The service evaluates them.
//!
//! Needs the owner's connection: other roles do not see everything and may not vacuum.

#![expect(
    clippy::disallowed_types,
    reason = "a command's work takes as long as it takes, and its operator can stop it"
)]

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

/// The database as a whole.
#[derive(Clone, Debug, Serialize)]
pub struct DatabaseOverview {
    pub name: String,
    pub bytes: i64,
    /// Transactions since the oldest row that is not frozen. Ids run out at two billion.
    pub transaction_age: i64,
    /// Age at which Postgres freezes by itself.
    pub freeze_at: i64,
    pub autovacuum: bool,
    /// Connections whose state this role may not see.
    pub hidden_connections: i64,
}

#[derive(Clone, Debug, Serialize)]
pub struct TableStats {
    pub name: String,
    /// Including TOAST and maps, without indexes.
    pub table_bytes: i64,
    pub index_bytes: i64,
    /// From the statistics, which lag by some seconds.
    pub live_rows: i64,
    /// Deleted or replaced rows that are not vacuumed yet.
    pub dead_rows: i64,
    /// Rows changed since the last ANALYZE.
    pub changed_rows: i64,
    /// Manual or by autovacuum.
    pub last_vacuum: Option<DateTime<Utc>>,
    pub last_analyze: Option<DateTime<Utc>>,
    pub transaction_age: i64,
}

#[derive(Clone, Debug, Serialize)]
pub struct IndexStats {
    pub name: String,
    pub table: String,
    pub bytes: i64,
    /// Expected size of a new index with as many entries. `None`: unknown, because the table was never analyzed.
    pub expected_bytes: Option<i64>,
    /// Uses since the statistics were reset.
    pub scans: i64,
    /// A unique index is needed even if no query uses it.
    pub is_unique: bool,
    /// `false`: its build was interrupted. It is maintained but never used.
    pub is_valid: bool,
}

/// A transaction that another connection has open.
#[derive(Clone, Debug, Serialize)]
pub struct OpenTransaction {
    pub pid: i32,
    pub user: String,
    pub application: String,
    /// `None`: a Unix socket.
    pub address: Option<String>,
    /// Such as `active` or `idle in transaction`.
    pub state: String,
    pub since: DateTime<Utc>,
    /// When the connection entered that state.
    pub state_since: DateTime<Utc>,
}

/// Rows past their retention, and rows that wait to be sealed.
#[derive(Clone, Debug, Serialize)]
pub struct PendingCleanup {
    pub cleanup_started: Option<DateTime<Utc>>,
    /// `None` while clean-up runs, and after an interrupted run.
    pub cleanup_finished: Option<DateTime<Utc>>,
    pub sessions_past_retention: i64,
    pub events_past_keeping: i64,
    pub unsealed: i64,
    pub oldest_unsealed: Option<DateTime<Utc>>,
}

pub async fn load_overview(conn: &mut PgConnection) -> sqlx::Result<DatabaseOverview> {
    sqlx::query_as!(
        DatabaseOverview,
        r#"
        SELECT d.datname::text AS "name!", pg_database_size(d.oid) AS "bytes!",
            age(d.datfrozenxid)::bigint AS "transaction_age!",
            current_setting('autovacuum_freeze_max_age')::bigint AS "freeze_at!",
            current_setting('autovacuum')::boolean AS "autovacuum!",
            (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid AND a.query = '<insufficient privilege>')
                AS "hidden_connections!"
        FROM pg_database d WHERE d.datname = current_database()
        "#,
    )
    .fetch_one(conn)
    .await
}

/// Returns the portal's tables, largest first.
pub async fn list_tables(conn: &mut PgConnection) -> sqlx::Result<Vec<TableStats>> {
    sqlx::query_as!(
        TableStats,
        r#"
        SELECT c.relname::text AS "name!", pg_table_size(c.oid) AS "table_bytes!", pg_indexes_size(c.oid) AS "index_bytes!",
            s.n_live_tup AS "live_rows!", s.n_dead_tup AS "dead_rows!", s.n_mod_since_analyze AS "changed_rows!",
            GREATEST(s.last_vacuum, s.last_autovacuum) AS last_vacuum,
            GREATEST(s.last_analyze, s.last_autoanalyze) AS last_analyze,
            age(c.relfrozenxid)::bigint AS "transaction_age!"
        FROM pg_class c JOIN pg_stat_user_tables s ON s.relid = c.oid
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
        ORDER BY pg_total_relation_size(c.oid) DESC, c.relname
        "#,
    )
    .fetch_all(conn)
    .await
}

/// Returns the indexes of these tables, largest first, without those that are being built.
pub async fn list_indexes(conn: &mut PgConnection) -> sqlx::Result<Vec<IndexStats>> {
    sqlx::query_as!(
        IndexStats,
        r#"
        SELECT ic.relname::text AS "name!", tc.relname::text AS "table!", pg_relation_size(ic.oid) AS "bytes!",
            -- An entry is a line pointer of 4 bytes, a head of 8 and the keys, in steps of 8. Pages that are filled in no
            -- order settle at seven tenths; one page more tells about the index, one is its root.
            CASE WHEN ic.reltuples >= 0
                THEN (16384 + ic.reltuples * (4 + 8 * ceil((8 + keys.width) / 8.0)) / 0.7)::bigint END AS expected_bytes,
            COALESCE(s.idx_scan, 0) AS "scans!", i.indisunique AS "is_unique!", i.indisvalid AS "is_valid!"
        FROM pg_index i
        JOIN pg_class ic ON ic.oid = i.indexrelid
        JOIN pg_class tc ON tc.oid = i.indrelid
        LEFT JOIN pg_stat_user_indexes s ON s.indexrelid = i.indexrelid
        CROSS JOIN LATERAL (
            SELECT CASE WHEN count(*) = count(st.avg_width) THEN sum(st.avg_width) END AS width
            FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
            -- A key that is an expression has figures of its own, under the index's name.
            JOIN pg_attribute a ON a.attrelid = CASE WHEN k.attnum > 0 THEN i.indrelid ELSE i.indexrelid END
                AND a.attnum = CASE WHEN k.attnum > 0 THEN k.attnum ELSE k.place END
            LEFT JOIN pg_stats st ON st.schemaname = current_schema() AND st.attname = a.attname
                AND st.tablename = CASE WHEN k.attnum > 0 THEN tc.relname ELSE ic.relname END
        ) keys
        WHERE tc.relnamespace = current_schema()::regnamespace AND tc.relkind = 'r'
            AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
        ORDER BY pg_relation_size(ic.oid) DESC, ic.relname
        "#,
    )
    .fetch_all(conn)
    .await
}

/// Returns the transactions that other connections have open in this database, oldest first.
pub async fn list_open_transactions(conn: &mut PgConnection) -> sqlx::Result<Vec<OpenTransaction>> {
    sqlx::query_as!(
        OpenTransaction,
        r#"
        SELECT pid AS "pid!", COALESCE(usename::text, '') AS "user!", COALESCE(application_name, '') AS "application!",
            host(client_addr) AS address, COALESCE(state, '') AS "state!", xact_start AS "since!",
            COALESCE(state_change, xact_start) AS "state_since!"
        FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
            AND xact_start IS NOT NULL
        ORDER BY xact_start, pid
        "#,
    )
    .fetch_all(conn)
    .await
}

pub async fn load_pending_cleanup(
    conn: &mut PgConnection,
    cleanup: &str,
    retention: TimeDelta,
    keep_events: TimeDelta,
    now: DateTime<Utc>,
) -> sqlx::Result<PendingCleanup> {
    sqlx::query_as!(
        PendingCleanup,
        r#"
        SELECT (SELECT started_at FROM job_runs WHERE job = $1) AS cleanup_started,
            (SELECT finished_at FROM job_runs WHERE job = $1) AS cleanup_finished,
            (SELECT count(*) FROM sessions WHERE ended_at < $2) AS "sessions_past_retention!",
            (SELECT count(*) FROM session_events WHERE at < $3) AS "events_past_keeping!",
            (SELECT count(*) FROM audit_unsealed) AS "unsealed!",
            (SELECT e.at FROM audit_unsealed q JOIN audit_events e ON e.id = q.event_id ORDER BY q.event_id LIMIT 1)
                AS oldest_unsealed
        "#,
        cleanup,
        now - retention,
        now - keep_events,
    )
    .fetch_one(conn)
    .await
}

/// Limits how long each maintenance statement waits for a lock. Behind an idle open transaction it would wait forever.
pub async fn set_lock_timeout(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SET lock_timeout = '60s'").execute(conn).await?;
    Ok(())
}

/// Vacuums and analyzes a table. `freeze` also freezes every row.
pub async fn vacuum(conn: &mut PgConnection, table: &str, freeze: bool) -> sqlx::Result<()> {
    let freeze = if freeze { "FREEZE, " } else { "" };
    execute(
        conn,
        &format!("VACUUM ({freeze}ANALYZE) {}", quote_identifier(table)),
    )
    .await
}

/// Rebuilds an index without blocking others.
pub async fn reindex(conn: &mut PgConnection, index: &str) -> sqlx::Result<()> {
    execute(
        conn,
        &format!("REINDEX INDEX CONCURRENTLY {}", quote_identifier(index)),
    )
    .await
}

/// Drops an index whose build was interrupted.
pub async fn drop_index(conn: &mut PgConnection, index: &str) -> sqlx::Result<()> {
    execute(
        conn,
        &format!("DROP INDEX CONCURRENTLY {}", quote_identifier(index)),
    )
    .await
}

/// Executes a statement that cannot run in a transaction and whose names cannot be parameters.
async fn execute(conn: &mut PgConnection, statement: &str) -> sqlx::Result<()> {
    conn.execute(sqlx::raw_sql(AssertSqlSafe(statement.to_owned())))
        .await?;
    Ok(())
}

fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    #[test]
    fn identifier_cannot_leave_its_quotes() {
        assert_eq!(super::quote_identifier("sessions"), r#""sessions""#);
        assert_eq!(
            super::quote_identifier(r#"a"; DROP TABLE b"#),
            r#""a""; DROP TABLE b""#
        );
    }
}
