//! Migrations beside a running server: it responds while a migration waits for locks, and none locks a table for long.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use broker_portal::server::database::Database;
use sqlx::{
    PgPool, Row as _, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::{
    harness::*,
    older_server::{parts, statements},
};

/// Migrations up to this one are exempt: they were applied while tables were small.
const LAST_UNCHECKED: i64 = 9;

/// Undoes one migration that locks the table of sessions, so that the schema is outdated. Session checks do not need
/// it.
const UNDO: &str = "DROP INDEX security_notices_of_session;
    ALTER TABLE sessions DROP COLUMN known_browser;
    DELETE FROM _sqlx_migrations WHERE version = 7";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_answers_while_migration_waits_for_backup() {
    let postgres = Postgres::start("waiting-migration").await;
    let people = TestAccounts::of(&postgres).await;
    let server = Server::start(&postgres, &[]).await;
    let session = server.desktop(&people.broker("maria").await, "mac").await;
    people.close().await;
    sqlx::raw_sql(UNDO).execute(&postgres.sql).await.expect("undone");

    let mut backup = postgres.sql.begin().await.expect("begun");
    sqlx::raw_sql("LOCK TABLE sessions IN ACCESS SHARE MODE")
        .execute(&mut *backup)
        .await
        .expect("locked");
    let log = DIRECTORY.join("migrate.log");
    let mut migrate = Server::command(&postgres)
        .arg("migrate")
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).expect("a log"))
        .kill_on_drop(true)
        .spawn()
        .expect("broker-portal starts");
    let waits = || {
        let log = fs::read_to_string(&log).unwrap_or_default();
        log.matches("waiting for other transactions").count()
    };
    let mut checks = 0;
    wait_until("the migration has retried", async || {
        assert!(server.accepts(&session.credential).await, "check {checks}");
        checks += 1;
        assert_eq!(migrate.try_wait().expect("a status"), None);
        waits() >= 3
    })
    .await;
    backup.commit().await.expect("committed");
    assert!(migrate.wait().await.expect("a status").success());
    assert!(server.accepts(&session.credential).await);
    let applied: i64 =
        sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE version = 7 AND success")
            .fetch_one(&postgres.sql)
            .await
            .expect("migrations");
    assert_eq!(applied, 1);
    print_result(&format!(
        "a migration waited for a backup: {checks} session checks meanwhile, 0 refused"
    ));
}

/// A migration of a later version.
fn later(version: i64, sql: &'static str) -> Migration {
    let no_transaction = sql.starts_with("-- no-transaction");
    let sql = sql.into_sql_str();
    Migration::new(
        version,
        "later".into(),
        MigrationType::Simple,
        sql,
        no_transaction,
    )
}

const INDEX: &str = "-- no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS sessions_later ON sessions (kind);";

async fn is_valid(sql: &PgPool) -> Option<bool> {
    sqlx::query_scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('sessions_later')")
        .fetch_optional(sql)
        .await
        .expect("pg_index")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_concurrent_index_is_built_again() {
    let postgres = Postgres::start("unfinished-index").await;
    let people = TestAccounts::of(&postgres).await;
    let server = Server::start(&postgres, &[]).await;
    let email = people.broker("maria").await;
    let session = server.desktop(&email, "mac").await;
    server.desktop(&email, "pc").await;
    people.close().await;
    let failed = sqlx::raw_sql("CREATE UNIQUE INDEX CONCURRENTLY sessions_later ON sessions (kind)")
        .execute(&postgres.sql)
        .await;
    assert!(failed.is_err());
    assert_eq!(is_valid(&postgres.sql).await, Some(false));

    let mut reader = postgres.sql.begin().await.expect("begun");
    sqlx::raw_sql("SELECT count(*) FROM sessions")
        .execute(&mut *reader)
        .await
        .expect("read");
    // Start two servers of the later version at once.
    let starting: Vec<_> = (0..2)
        .map(|_| {
            let url = postgres.url.clone();
            tokio::spawn(async move {
                let database = Database::connect(&url).await.expect("connected");
                let migrator = Migrator::with_migrations(vec![later(999_998, INDEX)]);
                database.apply(&migrator).await.expect("migrated");
                database.close().await;
            })
        })
        .collect();
    wait_until("the index waits for the reader", async || {
        assert!(server.accepts(&session.credential).await);
        let waiting: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~* 'INDEX CONCURRENTLY')",
        )
        .fetch_one(&postgres.sql)
        .await
        .expect("pg_stat_activity");
        waiting
    })
    .await;
    server.desktop(&email, "third").await;
    reader.commit().await.expect("committed");
    for node in starting {
        node.await.expect("started");
    }
    assert_eq!(is_valid(&postgres.sql).await, Some(true));
}

/// Returns statements that lock an existing table for a time that depends on its size, or that are not known to be
/// quick.
fn slow_statements(sql: &str) -> Vec<String> {
    let mut new_tables = BTreeSet::new();
    let mut slow = Vec::new();
    let all = statements(sql);
    // Without a transaction there must be one statement, so that no migration is half applied.
    let may_be_concurrent = sql.starts_with("-- no-transaction") && all.len() == 1;
    for statement in &all {
        let words: Vec<&str> = statement
            .split([' ', '('])
            .filter(|word| !word.is_empty())
            .collect();
        let is_quick = match words[..] {
            ["create", "table", table, ..] => new_tables.insert(table.to_owned()),
            ["create", "index", "concurrently", "if", "not", "exists", ..]
            | [
                "create",
                "unique",
                "index",
                "concurrently",
                "if",
                "not",
                "exists",
                ..,
            ] => may_be_concurrent,
            ["create", "index", _, "on", table, ..] | ["create", "unique", "index", _, "on", table, ..] => {
                new_tables.contains(table)
            }
            ["create", "function" | "view" | "trigger" | "sequence", ..]
            | ["create", "or", "replace", "view" | "function", ..]
            | ["comment", "on", ..] => true,
            ["insert", "into", ..] => !words.contains(&"select"),
            ["update", table, ..] | ["delete", "from", table, ..] => new_tables.contains(table),
            ["do", ..] => ![
                "update", "delete", "insert", "index", "table", "lock", "cluster", "reindex",
            ]
            .iter()
            .any(|word| words.contains(word)),
            ["alter", "table", table, ..] => {
                let (_, actions) = statement.split_once(&format!(" {table} ")).unwrap_or_default();
                new_tables.contains(table)
                    || parts(actions)
                        .iter()
                        .all(|action| is_quick_change(action, all.len() == 1))
            }
            _ => false,
        };
        if !is_quick {
            slow.push(statement.clone());
        }
    }
    slow
}

/// Returns whether a change to an existing table reads none of its rows.
fn is_quick_change(action: &str, is_alone: bool) -> bool {
    if let Some(column) = action.strip_prefix("add column ") {
        // A check reads every row; a computed default writes every row.
        let slow = [
            " check",
            " references ",
            " unique",
            " primary key",
            " generated ",
            "serial",
        ];
        let default = column.split_once(" default ").map_or("", |(_, default)| default);
        return !slow.iter().any(|part| column.contains(part)) && !default.contains('(');
    }
    // Validate the check in a separate migration, which blocks neither reads nor writes.
    (action.starts_with("add constraint ") && action.ends_with(" not valid"))
        || (action.starts_with("validate constraint ") && is_alone)
}

fn migrations_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")
}

#[test]
fn new_migrations_lock_no_table_for_long() {
    let mut slow = Vec::new();
    for entry in fs::read_dir(migrations_folder()).expect("migrations") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let version: i64 = name
            .split('_')
            .next()
            .expect("a number")
            .parse()
            .expect("a number");
        if version <= LAST_UNCHECKED {
            continue;
        }
        let sql = fs::read_to_string(&path).expect("a migration");
        slow.extend(
            slow_statements(&sql)
                .into_iter()
                .map(|statement| (name.clone(), statement)),
        );
    }
    assert_eq!(slow, []);
}

#[test]
fn slow_migrations_are_found() {
    for slow in [
        "CREATE INDEX by_name ON users (display_name)",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS by_name ON users (display_name)",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY by_name ON users (display_name)",
        "ALTER TABLE sessions ADD COLUMN place text CHECK (place <> '')",
        "ALTER TABLE sessions ADD COLUMN number uuid DEFAULT gen_random_uuid()",
        "ALTER TABLE sessions ADD COLUMN number bigserial",
        "ALTER TABLE sessions ADD COLUMN device uuid REFERENCES devices (id)",
        "ALTER TABLE sessions ADD CONSTRAINT short CHECK (char_length(browser) < 10)",
        "ALTER TABLE sessions ALTER COLUMN data TYPE text",
        "ALTER TABLE sessions SET UNLOGGED",
        "UPDATE sessions SET browser = NULL",
        "INSERT INTO audit_unsealed SELECT id FROM audit_events",
        "DO $$ BEGIN UPDATE sessions SET browser = NULL; END $$",
        "CLUSTER sessions USING sessions_of_user",
        "LOCK TABLE sessions",
    ] {
        assert_eq!(slow_statements(slow).len(), 1, "{slow}");
    }
    let two = "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a ON users (id); SELECT 1";
    assert_eq!(slow_statements(two).len(), 2);
    for quick in [
        INDEX,
        "CREATE TABLE notes (id uuid CHECK (id IS NOT NULL), n int); CREATE INDEX one ON notes (id);
            UPDATE notes SET n = 1; ALTER TABLE notes ADD CONSTRAINT few CHECK (n < 10)",
        "ALTER TABLE users ADD COLUMN must boolean NOT NULL DEFAULT false, ADD COLUMN a text",
        "ALTER TABLE users ADD CONSTRAINT short CHECK (char_length(email) < 400) NOT VALID",
        "ALTER TABLE users VALIDATE CONSTRAINT short",
    ] {
        assert_eq!(slow_statements(quick), Vec::<String>::new(), "{quick}");
    }
}

/// Returns the files of the tables' rows. A rewritten table gets another file.
async fn files(sql: &PgPool) -> Vec<(String, u32)> {
    let rows = sqlx::query(
        "SELECT relname::text, relfilenode FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' ORDER BY relname",
    )
    .fetch_all(sql)
    .await
    .expect("pg_class");
    rows.iter()
        .map(|row| {
            let file: sqlx::postgres::types::Oid = row.get(1);
            (row.get(0), file.0)
        })
        .collect()
}

/// Returns existing tables that a migration rewrites.
async fn rewritten(postgres: &Postgres, database: &Database, migration: Migration) -> Vec<String> {
    let before = files(&postgres.sql).await;
    let migrator = Migrator::with_migrations(vec![migration]);
    database.apply(&migrator).await.expect("migrated");
    let after = files(&postgres.sql).await;
    before
        .into_iter()
        .filter(|table| !after.contains(table))
        .map(|(name, _)| name)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_migrations_rewrite_no_table() {
    let postgres = Postgres::start("rewritten").await;
    let all = Migrator::new(migrations_folder()).await.expect("migrations");
    let (unchecked, checked): (Vec<Migration>, Vec<Migration>) = all
        .iter()
        .cloned()
        .partition(|migration| migration.version <= LAST_UNCHECKED);
    let database = Database::connect(&postgres.url).await.expect("connected");
    database
        .apply(&Migrator::with_migrations(unchecked))
        .await
        .expect("migrated");
    for migration in checked {
        let version = migration.version;
        assert_eq!(
            rewritten(&postgres, &database, migration).await,
            [""; 0],
            "{version}"
        );
    }
    let rewriting = later(
        999_999,
        "ALTER TABLE users ADD COLUMN number uuid DEFAULT gen_random_uuid()",
    );
    assert_eq!(rewritten(&postgres, &database, rewriting).await, ["users"]);
    database.close().await;
}
