//! Tests of the whole cluster with the installed Postgres.

use std::env;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::{Connection as _, Executor as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::account::Account;
use super::layout::{self, Layout};
use super::log::PostgresLog;
use super::postmaster::find_process;
use super::server::Server;
use super::{Cluster, ClusterError, ClusterOptions, binaries, has_cluster};

/// Makes `act_as_owner` run a cluster in this data directory.
const OWNER_OF: &str = "BROKER_PORTAL_TEST_OWNER_OF";

/// Time limit for a condition to become true.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A directory that is removed when dropped, with a cluster that root stores outside it.
pub(super) struct TempDir {
    path: PathBuf,
}

impl TempDir {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("private-postgres-{}-{number}", std::process::id()));
        DirBuilder::new().mode(0o755).create(&path).expect("create");
        Self {
            path: fs::canonicalize(path).expect("canonical path"),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The cluster's directory, if the data directory is this directory.
    fn root(&self) -> PathBuf {
        self.path.join("postgres")
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Ok(Some(fallback)) = layout::read_fallback(&self.path) {
            drop(fs::remove_dir_all(fallback));
        }
        drop(fs::remove_dir_all(&self.path));
    }
}

async fn try_start(data_dir: &Path) -> Result<Cluster, ClusterError> {
    start_with(data_dir, &["fsync", "synchronous_commit", "full_page_writes"]).await
}

/// Starts a cluster with these settings off.
async fn start_with(data_dir: &Path, off: &[&str]) -> Result<Cluster, ClusterError> {
    Cluster::start(ClusterOptions {
        data_dir: data_dir.to_path_buf(),
        settings: off
            .iter()
            .map(|&name| (name.to_owned(), "off".to_owned()))
            .collect(),
    })
    .await
}

/// Starts a cluster that this test owns.
async fn start(data_dir: &Path) -> Cluster {
    let cluster = try_start(data_dir).await.expect("start");
    assert!(cluster.is_owner());
    cluster
}

async fn stop(cluster: Cluster) {
    cluster.stop().await.expect("stop");
}

async fn attach(data_dir: &Path) -> Option<Cluster> {
    let cluster = Cluster::attach(data_dir).await.expect("attach");
    assert!(cluster.as_ref().is_none_or(|cluster| !cluster.is_owner()));
    cluster
}

async fn connect(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(&cluster.url("portal"))
        .await
        .expect("connect")
}

/// Writes data that `assert_note` reads.
async fn write_note(cluster: &Cluster) {
    let mut connection = connect(cluster).await;
    let statement = "CREATE TABLE note AS SELECT 'from yesterday' AS text";
    connection.execute(statement).await.expect("write");
    connection.close().await.expect("close");
}

async fn assert_note(cluster: &Cluster) {
    let mut connection = connect(cluster).await;
    let query = sqlx::query_scalar("SELECT text FROM note");
    let note: String = query.fetch_one(&mut connection).await.expect("read");
    assert_eq!(note, "from yesterday");
    connection.close().await.expect("close");
}

async fn setting(connection: &mut PgConnection, name: &str) -> String {
    let query = sqlx::query_scalar("SELECT current_setting($1)").bind(name);
    query.fetch_one(connection).await.expect("read a setting")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").mode() & 0o777
}

/// The postmaster of the cluster in `<root>/data`.
fn postmaster(root: &Path) -> Option<i32> {
    let content = fs::read_to_string(root.join("data/postmaster.pid")).ok()?;
    content.lines().next()?.parse().ok()
}

/// Returns whether a process has its working directory below `root`, like all of Postgres. Always false without /proc.
fn has_processes(root: &Path) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut directories = processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok());
    directories.any(|directory| directory.starts_with(root))
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition().await {
        assert!(Instant::now() < deadline, "timed out: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn wait_until_stopped(root: &Path, postmaster: i32) {
    eventually("no Postgres runs", async || {
        find_process(postmaster).await.is_none() && !has_processes(root)
    })
    .await;
}

/// Runs a cluster in another process.
fn spawn_owner(data_dir: &Path) -> Child {
    // Test names lack the crate's name, with which `module_path` begins.
    let (_, module) = module_path!().split_once("::").expect("a module of a crate");
    let mut command = Command::new(env::current_exe().expect("this test program"));
    command
        .args(["--exact", &format!("{module}::act_as_owner")])
        .env(OWNER_OF, data_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command.spawn().expect("start another process")
}

/// Runs a cluster in another process and attaches to it.
async fn attach_to_spawned_owner(data_dir: &Path) -> (Child, Cluster) {
    let owner = spawn_owner(data_dir);
    let mut cluster = None;
    eventually("the other process is ready", async || {
        cluster = attach(data_dir).await;
        cluster.is_some()
    })
    .await;
    (owner, cluster.expect("attached"))
}

/// Not a test: `spawn_owner` runs it.
#[tokio::test]
async fn act_as_owner() {
    let Some(data_dir) = env::var_os(OWNER_OF) else {
        return;
    };
    let _cluster = start(Path::new(&data_dir)).await;
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn second_start_finds_the_data() {
    let directory = TempDir::new();
    // The caller's data directory need not exist.
    let data_dir = directory.path().join("data dir");
    assert!(attach(&data_dir).await.is_none());
    assert!(!has_cluster(&data_dir).expect("has_cluster"));
    assert!(!data_dir.exists());

    let cluster = start(&data_dir).await;
    assert!(has_cluster(&data_dir).expect("has_cluster"));
    write_note(&cluster).await;
    let mut left_open = connect(&cluster).await;
    assert_eq!(setting(&mut left_open, "fsync").await, "off");
    assert_eq!(setting(&mut left_open, "listen_addresses").await, "");
    assert_eq!(setting(&mut left_open, "server_encoding").await, "UTF8");

    let root = data_dir.join("postgres");
    let pid = postmaster(&root).expect("a postmaster");
    let account = Account::choose(None).expect("an account");
    assert_ne!(account.uid(), 0);
    let (uid, _) = find_process(pid).await.expect("the postmaster");
    assert_eq!(uid, account.uid());
    assert_eq!(fs::metadata(&root).expect("metadata").uid(), account.uid());
    assert_eq!(mode(&root), 0o700);
    assert_eq!(mode(&data_dir.join("postgres.log")), 0o600);

    let second = try_start(&data_dir).await.expect("start while it runs");
    assert!(!second.is_owner());
    assert_note(&second).await;
    stop(second).await;
    assert_note(&attach(&data_dir).await.expect("it runs")).await;

    // One connection is still open.
    stop(cluster).await;
    assert!(find_process(pid).await.is_none());
    assert!(attach(&data_dir).await.is_none());

    let cluster = start(&data_dir).await;
    assert_note(&cluster).await;
    let pid = postmaster(&root).expect("a postmaster");
    drop(cluster);
    wait_until_stopped(&root, pid).await;
}

#[tokio::test]
async fn long_socket_path_works() {
    let directory = TempDir::new();
    let name = format!("it's a, \"long\" ü {}", "x".repeat(150));
    let data_dir = directory.path().join(name);
    let cluster = start(&data_dir).await;
    let socket_dir = cluster.socket_dir().to_path_buf();
    assert!(!socket_dir.starts_with(&data_dir));
    assert_eq!(mode(&socket_dir), 0o700);
    write_note(&cluster).await;
    assert_note(&attach(&data_dir).await.expect("it runs")).await;
    stop(cluster).await;
    assert!(!socket_dir.exists());

    // Another user may have created the directory, or has access to it.
    DirBuilder::new().create(&socket_dir).expect("create");
    fs::set_permissions(&socket_dir, Permissions::from_mode(0o777)).expect("chmod");
    fs::write(socket_dir.join("file"), "").expect("write");
    let refused = try_start(&data_dir).await;
    fs::remove_dir_all(&socket_dir).expect("remove");
    assert!(
        matches!(refused, Err(ClusterError::SocketDirectory { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn special_characters_in_a_short_path_work() {
    let directory = TempDir::new();
    let data_dir = directory.path().join("a, \"b\"%2F ü");
    let cluster = start(&data_dir).await;
    assert!(cluster.socket_dir().starts_with(&data_dir));
    write_note(&cluster).await;
    stop(cluster).await;
}

#[tokio::test]
async fn postgres_does_not_outlive_a_killed_owner() {
    let directory = TempDir::new();
    let (data_dir, root) = (directory.path(), directory.root());
    let (mut owner, attached) = attach_to_spawned_owner(data_dir).await;
    write_note(&attached).await;
    let pid = postmaster(&root).expect("a postmaster");
    owner.kill().await.expect("kill -9");
    wait_until_stopped(&root, pid).await;
    assert!(attach(data_dir).await.is_none());

    // The same with an immediate start afterwards.
    let (mut owner, _) = attach_to_spawned_owner(data_dir).await;
    owner.kill().await.expect("kill -9");
    let cluster = start(data_dir).await;
    assert_note(&cluster).await;
    stop(cluster).await;
    assert!(!has_processes(&root));
}

#[tokio::test]
async fn owner_killed_during_creation_leaves_no_partial_cluster() {
    let directory = TempDir::new();
    let root = directory.root();
    let mut owner = spawn_owner(directory.path());
    eventually("initdb runs", async || {
        let mut entries = fs::read_dir(&root).into_iter().flatten().flatten();
        entries.any(|entry| entry.path().join("base").exists())
    })
    .await;
    owner.kill().await.expect("kill -9");
    assert!(!root.join("data").exists());
    // Another one is left from a power loss.
    let unfinished = root.join("data.new-1");
    fs::create_dir(&unfinished).expect("create");
    fs::write(unfinished.join("PG_VERSION"), "15\n").expect("write");

    let cluster = start(directory.path()).await;
    write_note(&cluster).await;
    stop(cluster).await;
    let mut entries = fs::read_dir(&root).expect("the cluster's directory").flatten();
    assert!(entries.all(|entry| entry.file_name() == "data" || entry.file_name() == "socket"));
}

#[tokio::test]
async fn one_of_two_simultaneous_starts_becomes_owner() {
    let directory = TempDir::new();
    let (left, right) = tokio::join!(try_start(directory.path()), try_start(directory.path()));
    let (left, right) = (left.expect("start"), right.expect("start"));
    assert_ne!(left.is_owner(), right.is_owner());
    let (owner, other) = if left.is_owner() {
        (left, right)
    } else {
        (right, left)
    };
    assert_eq!(owner.url("portal"), other.url("portal"));
    assert_eq!((owner.port(), owner.user()), (other.port(), other.user()));
    write_note(&owner).await;
    assert_note(&other).await;
    stop(owner).await;
}

#[tokio::test]
async fn killed_postmaster_is_restarted() {
    let directory = TempDir::new();
    let root = directory.root();
    let cluster = start(directory.path()).await;
    let pool = PgPoolOptions::new().max_connections(2);
    let pool = pool.connect(&cluster.url("portal")).await.expect("a pool");
    for _ in 0..2 {
        let killed = postmaster(&root).expect("a postmaster");
        kill(Pid::from_raw(killed), Signal::SIGKILL).expect("kill -9");
        eventually("another postmaster responds", async || {
            pool.execute("SELECT 1").await.is_ok() && postmaster(&root).is_some_and(|pid| pid != killed)
        })
        .await;
    }
    stop(cluster).await;
    assert!(!has_processes(&root));
}

#[tokio::test]
async fn stale_pid_file_is_ignored() {
    let directory = TempDir::new();
    stop(start(directory.path()).await).await;

    // After a power loss, another process of the same user may have the process id in the file.
    let account = Account::choose(None).expect("an account");
    let mut unrelated_process = account
        .command("sleep")
        .arg("600")
        .kill_on_drop(true)
        .spawn()
        .expect("start sleep");
    let pid = unrelated_process.id().expect("it runs");
    let data = directory.root().join("data");
    let lock_files = [
        data.join("postmaster.pid"),
        directory.root().join("socket/.s.PGSQL.5432.lock"),
    ];
    for content in [
        format!("{pid}\n{}\n0\n5432\n\n\n0 0\n", data.display()),
        String::new(),
        "\0".repeat(60),
    ] {
        for file in &lock_files {
            fs::write(file, &content).expect("write");
            account.take_ownership(file).expect("chown");
        }
        stop(start(directory.path()).await).await;
    }
    let exited = unrelated_process.try_wait().expect("process state");
    assert!(exited.is_none(), "the unrelated process still runs");
    unrelated_process.kill().await.expect("kill");
}

#[tokio::test]
async fn orphaned_postgres_is_replaced() {
    let directory = TempDir::new();
    let (data_dir, root) = (directory.path(), directory.root());
    let cluster = start(data_dir).await;
    write_note(&cluster).await;
    stop(cluster).await;

    let layout = Layout::prepare(data_dir).await.expect("the layout");
    let mut orphan = Server {
        socket_dir: layout.socket_dir().expect("the socket directory"),
        layout,
        binaries: binaries::find(None).await.expect("Postgres"),
        settings: Vec::new(),
        log: PostgresLog::open(data_dir).expect("the log"),
        process: None,
    };
    orphan.start().await.expect("start without ownership");
    let pid = postmaster(&root).expect("a postmaster");

    let cluster = start(data_dir).await;
    assert!(postmaster(&root).is_some_and(|new| new != pid));
    assert!(find_process(pid).await.is_none());
    assert_note(&cluster).await;
    stop(cluster).await;
}

#[tokio::test]
async fn errors_include_cause_and_remedy() {
    let directory = TempDir::new();
    let assert_fails = async |settings: &[&str], message: &str| {
        let error = start_with(directory.path(), settings).await;
        let error = error.expect_err(message).to_string();
        assert!(error.contains(message) && !error.contains('\n'), "{error}");
    };
    assert_fails(&["no_such_setting"], "unrecognized configuration parameter").await;
    let version = directory.root().join("data/PG_VERSION");
    fs::write(&version, "7\n").expect("write");
    assert_fails(
        &[],
        "was created by Postgres 7, but this machine has only Postgres ",
    )
    .await;
    fs::remove_file(&version).expect("remove");
    assert_fails(&[], "is not a Postgres cluster. Move the directory away").await;
}

#[tokio::test]
async fn inaccessible_data_directory_moves_the_cluster() {
    if !Uid::effective().is_root() {
        return;
    }
    let directory = TempDir::new();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).expect("chmod");
    let data_dir = directory.path().join("portal");
    let cluster = start(&data_dir).await;
    write_note(&cluster).await;
    let fallback = layout::read_fallback(&data_dir).expect("read");
    let fallback = fallback.expect("a cluster outside the data directory");
    assert!(!data_dir.join("postgres").exists());
    assert!(cluster.socket_dir().starts_with(&fallback));
    assert_note(&attach(&data_dir).await.expect("it runs")).await;
    stop(cluster).await;

    let cluster = start(&data_dir).await;
    assert_note(&cluster).await;
    stop(cluster).await;

    let moved = directory.path().join("moved");
    fs::rename(&data_dir, &moved).expect("rename");
    let error = try_start(&moved).await.expect_err("its cluster was not moved");
    assert!(
        matches!(&error, ClusterError::Moved { found, .. } if *found == fallback),
        "{error}"
    );
    fs::remove_dir_all(&moved).expect("remove");

    // A new data directory starts with an empty database, but the old cluster is kept.
    let cluster = start(&data_dir).await;
    let missing = connect(&cluster).await.execute("SELECT FROM note").await;
    assert!(missing.is_err());
    stop(cluster).await;
    let renamed = fallback.with_extension("old-1");
    assert!(renamed.join("data/PG_VERSION").exists());
    fs::remove_dir_all(&renamed).expect("remove");
    fs::remove_dir_all(&fallback).expect("remove");
}
