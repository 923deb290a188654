//! PgBouncer between server and Postgres: in session mode, time limits and role apply; transaction mode is refused.

use broker_portal::server::database::{Database, DatabaseError, SERVER_ROLE};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
};

use crate::harness::*;

const SKIPPED: &str = "SKIPPED: PgBouncer is not installed (Debian: apt install pgbouncer)";

/// Verifies the settings on several connections at once.
async fn verify_settings(url: &str) {
    let database = Database::connect(url).await.expect("connected");
    let database = database.as_server().await.expect("the server's role");
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(database.connection().await.expect("a connection"));
    }
    for conn in &mut connections {
        let in_force: Vec<String> = sqlx::query_scalar(
            "SELECT unnest(ARRAY[current_user::text, current_setting('TimeZone'), current_setting('statement_timeout'),
                current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')])",
        )
        .fetch_all(&mut **conn)
        .await
        .expect("settings");
        assert_eq!(in_force, [SERVER_ROLE, "UTC", "10s", "5s", "15s"]);
    }
    drop(connections);
    let mut owner = database.connect_without_limits().await.expect("connected");
    let (user, timeout): (String, String) =
        sqlx::query_as("SELECT current_user::text, current_setting('statement_timeout')")
            .fetch_one(&mut owner)
            .await
            .expect("settings");
    assert_eq!((&*user, &*timeout), ("portal", "0"));
    database.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_pooling_keeps_time_limits_and_role() {
    let postgres = Postgres::start("session-pooling").await;
    let defaults: &[(&str, &str)] = &[("pool_mode", "session")];
    let ignoring: &[(&str, &str)] = &[
        ("pool_mode", "session"),
        ("ignore_startup_parameters", "options,extra_float_digits"),
    ];
    for (name, settings) in [("defaults", defaults), ("ignoring", ignoring)] {
        let Some(bouncer) = PgBouncer::start(&postgres, name, settings).await else {
            print_result(SKIPPED);
            return;
        };
        let mut command = Server::command(&postgres);
        command.env("DATABASE_URL", bouncer.url());
        let mut server = Server::run(command).await;
        let people = TestAccounts::of(&postgres).await;
        let session = server.desktop(&people.broker(name).await, "pc").await;
        people.close().await;
        assert!(server.accepts(&session.credential).await);
        verify_settings(&bouncer.url()).await;
        // The pooler resets a connection before the next client gets it.
        verify_settings(&format!("{}?options=-c%20geqo%3Doff", bouncer.url())).await;
        server.terminate();
        assert!(server.exited().await.success());
    }
    verify_settings(&postgres.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transaction_pooling_is_refused_by_name() {
    let postgres = Postgres::start("transaction-pooling").await;
    let modes = [
        ("transaction", "", "20"),
        ("transaction", "options,extra_float_digits", "20"),
        ("transaction", "options,extra_float_digits", "1"),
        ("statement", "", "20"),
    ];
    for (index, (mode, ignored, size)) in modes.into_iter().enumerate() {
        let mut settings = vec![("pool_mode", mode), ("default_pool_size", size)];
        if !ignored.is_empty() {
            settings.push(("ignore_startup_parameters", ignored));
        }
        let Some(bouncer) = PgBouncer::start(&postgres, &format!("mode-{index}"), &settings).await else {
            print_result(SKIPPED);
            return;
        };
        let refused = Database::connect(&bouncer.url()).await;
        assert!(
            matches!(refused, Err(DatabaseError::TransactionPooling)),
            "{mode} {ignored}: {refused:?}"
        );
        let output = Server::command(&postgres)
            .env("DATABASE_URL", bouncer.url())
            .arg("migrate")
            .output()
            .await
            .expect("broker-portal starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(
            said.starts_with("broker-portal: DATABASE_URL: ") && said.contains("pool_mode"),
            "{said}"
        );
    }
}

/// Forwards connections and changes the statement timeout in everything sent.
async fn change_settings(listener: TcpListener, socket: String) {
    while let Ok((client, _)) = listener.accept().await {
        let socket = socket.clone();
        tokio::spawn(async move { forward(client, &socket).await });
    }
}

async fn forward(mut client: TcpStream, socket: &str) -> std::io::Result<()> {
    let mut postgres = UnixStream::connect(socket).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_postgres, mut to_postgres) = postgres.split();
    let changing = async {
        let mut buffer = vec![0; 64 * 1024];
        while let count @ 1.. = from_client.read(&mut buffer).await? {
            let sent = &mut buffer[..count];
            for at in 0..sent.len().saturating_sub(2) {
                if sent[at..].starts_with(b"10s") {
                    sent[at] = b'9';
                }
            }
            to_postgres.write_all(sent).await?;
        }
        Ok(())
    };
    tokio::select! {
        changed = changing => changed,
        copied = tokio::io::copy(&mut from_postgres, &mut to_client) => copied.map(drop),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_not_in_force_stop_the_start() {
    let postgres = Postgres::start("lost-settings").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let socket = postgres.socket().display().to_string();
    let pooler = tokio::spawn(change_settings(listener, socket));
    let output = Server::command(&postgres)
        .env(
            "DATABASE_URL",
            format!("postgres://portal@{address}/portal?sslmode=disable"),
        )
        .arg("migrate")
        .output()
        .await
        .expect("broker-portal starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("statement_timeout is 90s instead of 10s") && said.lines().count() == 1,
        "{said}"
    );
    pooler.abort();
}
