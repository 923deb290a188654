//! Rights on the audit log: the server appends, nobody changes it.

use broker_portal::server::database::{Database, SERVER_ROLE};
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, Postgres};

use crate::harness::*;

/// Every kind of change to the log.
const CHANGES: [&str; 7] = [
    "UPDATE audit_events SET reason = 'nothing happened'",
    "DELETE FROM audit_events",
    "TRUNCATE audit_events",
    "INSERT INTO audit_events (id, at, kind) OVERRIDING SYSTEM VALUE SELECT id, at, 'x' FROM audit_events
        ON CONFLICT (id) DO UPDATE SET kind = 'x'",
    "UPDATE audit_chain SET position = -position",
    "DELETE FROM audit_chain",
    "TRUNCATE audit_chain, audit_events",
];

/// Returns the error of a statement that needs missing rights.
async fn refusal(executor: impl Executor<'_, Database = Postgres>, statement: &str) -> String {
    let Err(error) = executor.execute(AssertSqlSafe(statement.to_owned())).await else {
        panic!("{statement} was not refused");
    };
    let error = error.into_database_error().expect("the database's");
    assert_eq!(error.code().as_deref(), Some("42501"), "{statement}: {error}");
    error.message().to_owned()
}

async fn current_user(database: &Database) -> String {
    let mut conn = database.connection().await.expect("a connection");
    sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(&mut *conn)
        .await
        .expect("a role")
}

#[tokio::test]
async fn server_role_cannot_change_or_remove_audit_rows() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    portal.browser(CHROME).signed_in(&maria).await;
    assert_eq!(portal.seal().await, 2);
    for node in [&portal.state, &portal.second_node().await.state] {
        assert_eq!(current_user(&node.database).await, SERVER_ROLE);
        let mut conn = node.database.connection().await.expect("a connection");
        let chain = [
            "INSERT INTO audit_unsealed VALUES (1)",
            "TRUNCATE audit_unsealed",
            "ALTER TABLE audit_events DISABLE TRIGGER ALL",
            "DELETE FROM _sqlx_migrations",
            "SET session_replication_role = replica",
            "CREATE TABLE mine (id int)",
        ];
        for statement in CHANGES.iter().chain(&chain) {
            let message = refusal(&mut *conn, statement).await;
            assert!(!message.contains("never changed"), "{statement}: {message}");
        }
        // As a pooler resets a connection.
        conn.execute("RESET ROLE; RESET ALL").await.expect("reset");
        refusal(&mut *conn, "DELETE FROM audit_events").await;
        let zone: String = sqlx::query_scalar("SELECT current_setting('timezone')")
            .fetch_one(&mut *conn)
            .await
            .expect("a setting");
        assert_eq!(zone, "UTC");
    }
    assert_eq!(portal.audit_problems().await, []);
}

#[tokio::test]
async fn table_owner_cannot_change_or_remove_audit_rows() {
    let portal = Portal::start().await;
    portal.broker("maria").await;
    portal.seal().await;
    for statement in CHANGES {
        let message = refusal(&portal.sql, statement).await;
        assert!(message.contains("never changed or removed"), "{message}");
    }
    assert_eq!(portal.rows("audit_events").await, 1);
    assert_eq!(portal.audit_problems().await, []);
}

#[tokio::test]
async fn temporary_table_cannot_intercept_the_sealing_queue() {
    let portal = Portal::start().await;
    let mut conn = portal.state.database.connection().await.expect("a connection");
    conn.execute("CREATE TEMP TABLE audit_unsealed (event_id bigint)")
        .await
        .expect("a table");
    conn.execute("INSERT INTO audit_events (at, kind) VALUES (now(), 'hidden')")
        .await
        .expect("a row");
    conn.execute("DROP TABLE pg_temp.audit_unsealed")
        .await
        .expect("dropped");
    drop(conn);
    assert_eq!(portal.rows("audit_unsealed").await, 1);
    assert_eq!(portal.seal().await, 1);
}

/// Creates a database whose owner is no superuser, with or without the right to create roles.
async fn database_of(superuser: &str, name: &str, rights: &str) -> String {
    let mut conn = PgConnection::connect(superuser).await.expect("a connection");
    for statement in [
        format!("CREATE ROLE {name} LOGIN {rights}"),
        format!("CREATE DATABASE {name} OWNER {name}"),
    ] {
        conn.execute(AssertSqlSafe(statement)).await.expect("created");
    }
    let (_, rest) = superuser.split_once('@').expect("a user");
    let (rest, options) = rest.split_once("/portal").expect("a database");
    format!("postgres://{name}@{rest}/{name}{options}")
}

async fn open(url: &str) -> Database {
    let database = Database::connect(url).await.expect("connected");
    database.migrate().await.expect("migrated");
    database.as_server().await.expect("opened")
}

#[tokio::test]
async fn triggers_protect_without_permission_to_create_roles() {
    let cluster = private_cluster("rights").await;
    let superuser = cluster.url("portal");

    // The role does not exist yet, and this user may not create it.
    let url = database_of(&superuser, "poor", "").await;
    let mut command = broker_portal();
    command.env("DATABASE_URL", &url).args(["sessions", "list"]);
    let output = tokio::task::spawn_blocking(move || command.output());
    let (succeeded, out, err) = read_output(&output.await.expect("ran").expect("started"));
    assert_eq!((succeeded, &*out), (true, "No one is signed in.\n"), "{err}");
    let warnings: Vec<_> = err.lines().filter(|line| line.contains("WARN")).collect();
    assert!(
        warnings.len() == 1 && warnings[0].contains("broker_portal_server not available"),
        "{err}"
    );
    let database = open(&url).await;
    assert_eq!(current_user(&database).await, "poor");
    let mut conn = database.connection().await.expect("a connection");
    for statement in CHANGES {
        refusal(&mut *conn, statement).await;
    }
    drop(conn);
    database.close().await;

    // This user may.
    let rich = open(&database_of(&superuser, "rich", "CREATEROLE").await).await;
    assert_eq!(current_user(&rich).await, SERVER_ROLE);
    rich.close().await;

    // The role exists, but not every user is a member.
    let database = open(&url).await;
    assert_eq!(current_user(&database).await, "poor");
    database.close().await;

    // An operator grants the role to the restricted user, whose next server then grants its rights.
    let mut conn = PgConnection::connect(&superuser).await.expect("a connection");
    conn.execute("GRANT broker_portal_server TO poor")
        .await
        .expect("granted");
    let database = open(&url).await;
    assert_eq!(current_user(&database).await, SERVER_ROLE);
    database.close().await;
    drop(conn);
    cluster.stop().await.expect("stopped");
}

#[tokio::test]
async fn parallel_nodes_create_the_role_once() {
    let cluster = private_cluster("crowd").await;
    let superuser = cluster.url("portal");
    for round in 0..5 {
        let mut urls = Vec::new();
        for number in 0..4 {
            let name = format!("portal_{round}_{number}");
            urls.push(database_of(&superuser, &name, "SUPERUSER").await);
        }
        // Two nodes each.
        let nodes: Vec<_> = urls
            .iter()
            .chain(&urls)
            .map(|url| {
                let url = url.clone();
                tokio::spawn(async move {
                    let database = open(&url).await;
                    let user = current_user(&database).await;
                    database.close().await;
                    user
                })
            })
            .collect();
        for node in nodes {
            assert_eq!(node.await.expect("opened"), SERVER_ROLE);
        }
        // Dropped, so that the next round creates it again.
        for url in &urls {
            let mut conn = PgConnection::connect(url).await.expect("a connection");
            conn.execute("DROP OWNED BY broker_portal_server")
                .await
                .expect("dropped");
        }
        let mut conn = PgConnection::connect(&superuser).await.expect("a connection");
        conn.execute("DROP ROLE broker_portal_server")
            .await
            .expect("dropped");
    }
    cluster.stop().await.expect("stopped");
}
