//! A failed startup names the setting and the cause in one line, and never prints a password.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    net::{TcpListener, TcpStream},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use broker_portal::server::config::settings::{self, ValueKind};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::harness::*;

/// No message contains it, or parts of it from a misread URL.
const PASSWORD: &str = "hunter2";

/// Longer than a failing start takes on a busy machine.
const LONGEST_START: Duration = Duration::from_secs(60);

/// Creates a working directory.
fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("../startup-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = site().join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn free_address() -> String {
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    free.local_addr().expect("an address").to_string()
}

/// Prepares `broker-portal serve` in this directory.
fn serve_in(folder: &PathBuf) -> Command {
    let mut command = broker_portal();
    command
        .arg("serve")
        .current_dir(folder)
        .env("LEPTOS_SITE_ROOT", site())
        .env("LEPTOS_SITE_ADDR", free_address())
        .stdin(Stdio::null());
    command
}

/// Returns the one line of a failed startup.
async fn failure(command: Command) -> String {
    let mut command = tokio::process::Command::from(command);
    let output = tokio::time::timeout(LONGEST_START, command.kill_on_drop(true).output()).await;
    let (succeeded, out, err) = read_output(&output.expect("the start fails").expect("started"));
    assert!(!succeeded, "it has started: {out}");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(!err.contains(PASSWORD) && !err.contains("ter2"), "{err}");
    err
}

/// Returns the line of a startup with these settings.
async fn failure_with(settings: &[(&str, &str)]) -> String {
    let mut command = serve_in(&folder());
    command.envs(settings.iter().copied());
    failure(command).await
}

fn assert_says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is missing in: {line}");
    }
}

#[tokio::test]
async fn wrong_database_address_is_explained() {
    for (url, parts) in [
        ("mysql://h/d", &["mysql", "postgres://"][..]),
        ("h/d", &["postgres://"]),
        ("\"postgres://h/d\"", &["quotation marks"]),
        ("", &["empty", "unset", "private cluster"]),
        ("  ", &["empty"]),
        ("postgres://127.0.0.1:1/x", &["127.0.0.1:1", "connection refused"]),
        ("postgres://portal:hun#ter2@127.0.0.1/x", &["percent-encoded"]),
        ("postgres://portal:hun/ter2@127.0.0.1/x", &["percent-encoded"]),
        ("postgres://portal:hun?ter2@127.0.0.1/x", &["percent-encoded"]),
        ("postgres://portal:hunter2/x", &["port"]),
        ("postgres://portal:hunter2@127.0.0.1:five/x", &["port"]),
        ("postgres://portal:hunter2@::1/x", &["IPv6", "brackets"]),
        ("postgres://fe80::1:5432/x", &["IPv6", "brackets"]),
        ("postgres://portal:hunter2@[::1]:1/x", &["[::1]:1"]),
        ("postgres://db.invalid/x", &["db.invalid", "host name"]),
        (
            "postgres://127.0.0.1:1/x?sslmode=perhaps",
            &["ssl_mode", "perhaps"],
        ),
        ("postgres:///x?host=/nowhere", &["/nowhere", "socket"]),
    ] {
        let line = failure_with(&[("DATABASE_URL", url)]).await;
        assert_says(&line, &["DATABASE_URL"]);
        assert_says(&line, parts);
    }
}

#[tokio::test]
async fn refused_database_sign_in_is_explained() {
    let cluster = private_cluster("startup").await;
    let url = cluster.url("portal");
    let mut conn = PgConnection::connect(&url).await.expect("connected");
    conn.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
        .await
        .expect("created");
    let rules: String = sqlx::query_scalar("SELECT current_setting('hba_file')")
        .fetch_one(&mut conn)
        .await
        .expect("a file");
    let others = fs::read_to_string(&rules).expect("rules");
    fs::write(&rules, format!("local all locked scram-sha-256\n{others}")).expect("rules");
    conn.execute("SELECT pg_reload_conf()").await.expect("reloaded");
    let (_, place) = url.split_once('@').expect("an address");
    let wrong = format!("postgres://locked:{PASSWORD}@{place}");
    // Postgres rereads its rules a moment later.
    let deadline = Instant::now() + Duration::from_secs(30);
    while PgConnection::connect(&wrong).await.is_ok() {
        assert!(Instant::now() < deadline, "the rules are not read");
    }
    for (url, parts) in [
        (wrong, &["password", "locked", "percent-encoded"][..]),
        (
            format!("postgres://nobody@{place}"),
            &["nobody", "does not exist"],
        ),
        (cluster.url("elsewhere"), &["elsewhere", "does not exist"]),
    ] {
        let line = failure_with(&[("DATABASE_URL", &url)]).await;
        assert_says(&line, &["DATABASE_URL"]);
        assert_says(&line, parts);
    }
    conn.close().await.expect("closed");
    cluster.stop().await.expect("stopped");
}

#[tokio::test]
async fn server_other_than_postgres_is_explained() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            drop(client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    let url = format!("postgres://portal:{PASSWORD}@{address}/portal");
    let line = failure_with(&[("DATABASE_URL", &url)]).await;
    assert_says(&line, &["DATABASE_URL", &address.to_string(), "Postgres"]);
}

#[tokio::test]
async fn refused_listen_address_is_explained() {
    let holder = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let taken = holder.local_addr().expect("an address").to_string();
    // An address for documentation, which no machine has.
    for (address, part) in [
        (&*taken, "in use"),
        ("192.0.2.1:3000", "no such address"),
        ("localhost:3000", "127.0.0.1:3000"),
    ] {
        let line = failure_with(&[("LEPTOS_SITE_ADDR", address)]).await;
        assert_says(&line, &["LEPTOS_SITE_ADDR", address, part]);
    }
    drop(holder);
}

#[tokio::test]
async fn errors_in_portal_toml_name_the_line() {
    for (text, parts) in [
        (
            "PORTAL_RETENTION_DAYS = 7\n\nPORTAL_DEMO = = 1\n",
            &["line 3"][..],
        ),
        (
            "# ours\nPORTAL_SESION_TIMEOUT_BROKER = 60\n",
            &["line 2", "PORTAL_SESION_TIMEOUT_BROKER"],
        ),
        (
            "\nPORTAL_TRUSTED_PROXIES = [\"10.0.0.1\"]\n",
            &["line 2", "PORTAL_TRUSTED_PROXIES"],
        ),
        (
            "\n\n\nPORTAL_DEMO = \"perhaps\"\n",
            &["line 4", "PORTAL_DEMO", "on or off"],
        ),
        ("\nRUST_LOG = \"debug\"", &["line 2", "RUST_LOG", "environment"]),
        ("\nDATABASE_URL = \"\"", &["line 2", "DATABASE_URL", "empty"]),
        (
            "\nDATABASE_URL = \"mysql://portal:hunter2@h/d\"",
            &["line 2", "DATABASE_URL", "mysql"],
        ),
        ("PORTAL_DEMO = \"off\"\nPORTAL_DEMO = \"on\"", &["line 2"]),
        ("DATABASE_URL = \"postgres://u:hunter2@h/d\n", &["line 1"]),
    ] {
        let folder = folder();
        fs::write(folder.join("portal.toml"), text).expect("a file");
        let line = failure(serve_in(&folder)).await;
        assert_says(&line, &["portal.toml"]);
        assert_says(&line, parts);
    }
}

#[tokio::test]
async fn every_invalid_setting_is_named() {
    let mut refused = 0;
    for setting in settings::all() {
        for name in setting.roles().map(|role| setting.name_for(role)) {
            let is_free = [
                "PORTAL_DATA_DIR",
                "LEPTOS_SITE_ROOT",
                "PORTAL_POSTGRES_BIN",
                "OTEL_SERVICE_NAME",
            ]
            .contains(&&*name);
            // A value that is not UTF-8.
            let mut command = serve_in(&folder());
            command.env(&name, OsStr::from_bytes(b"\xff"));
            assert_says(&failure(command).await, &[&name]);
            if is_free {
                continue;
            }
            let value = match setting.kind {
                ValueKind::Number { .. } => "-1",
                ValueKind::Switch => "perhaps",
                ValueKind::Text(_) => "a=b=c",
            };
            let line = failure_with(&[(&name, value)]).await;
            assert_says(&line, &[&name]);
            assert!(!setting.secret || !line.contains("a=b=c"), "{line}");
            refused += 1;
        }
    }
    assert!(refused > 30, "{refused}");
    for (name, value) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://portal:hunter2@collector:4318",
        ),
        ("PORTAL_PUBLIC_URL", "https://portal:hunter2@portal.example"),
        ("LEPTOS_SITE_ROOT", "/nowhere"),
        ("PORTAL_POSTGRES_BIN", "/nowhere"),
        ("PORTAL_DATA_DIR", "/dev/null/data"),
    ] {
        assert_says(&failure_with(&[(name, value)]).await, &[name]);
    }
}

/// A server that ends when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let id = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        if nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).is_err() {
            drop(self.0.kill());
        }
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn data_directory_in_use_is_refused_at_once() {
    let folder = folder();
    let address = free_address();
    let mut command = serve_in(&folder);
    command
        .env("LEPTOS_SITE_ADDR", &address)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let server = Running(command.spawn().expect("started"));
    // The address is bound first, then the data directory is locked.
    let deadline = Instant::now() + Duration::from_secs(120);
    while TcpStream::connect(&address).is_err() || !folder.join(".data/postgres.state").exists() {
        assert!(Instant::now() < deadline, "the first server does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let started = Instant::now();
    let line = failure(serve_in(&folder)).await;
    assert_says(&line, &["PORTAL_DATA_DIR", ".data", "in use"]);
    // A startup that waits for the other server takes ten seconds.
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    drop(server);
}
