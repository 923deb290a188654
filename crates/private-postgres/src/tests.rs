//! The whole cluster, with the Postgres that is installed.

use std::env;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Executor as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::account::Account;
use super::layout::{self, Layout};
use super::log::PostgresLog;
use super::postmaster::process;
use super::server::Server;
use super::{Cluster, ClusterError, ClusterOptions, binaries};

/// Makes `act_as_owner` run a cluster in the data directory it names.
const OWNER_OF: &str = "BROKER_PORTAL_TEST_OWNER_OF";

/// How long a condition may take to become true.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that is removed when dropped, with the cluster root keeps elsewhere for it.
pub(super) struct TempDir {
    path: PathBuf,
}

impl TempDir {
    pub(super) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("broker-portal-{name}-{}-{number}", std::process::id());
        let path = env::temp_dir().join(name);
        DirBuilder::new()
            .mode(0o755)
            .create(&path)
            .expect("create a temporary folder");
        Self {
            path: fs::canonicalize(path).expect("canonical path"),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Ok(Some(elsewhere)) = layout::read_path(&self.path.join("postgres.moved")) {
            drop(fs::remove_dir_all(elsewhere));
        }
        drop(fs::remove_dir_all(&self.path));
    }
}

async fn start(data_dir: &Path) -> Result<Cluster, ClusterError> {
    let fast = ["fsync", "synchronous_commit", "full_page_writes"];
    let settings = fast
        .iter()
        .map(|name| ((*name).to_owned(), "off".to_owned()))
        .collect();
    Cluster::start(ClusterOptions {
        data_dir: data_dir.to_path_buf(),
        settings,
    })
    .await
}

async fn connect(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(&cluster.url("portal"))
        .await
        .expect("connect")
}

/// Leaves data behind that `assert_note` finds.
async fn write_note(cluster: &Cluster) {
    let mut connection = connect(cluster).await;
    connection
        .execute("CREATE TABLE note AS SELECT 'from yesterday' AS text")
        .await
        .expect("write");
    connection.close().await.expect("close");
}

async fn assert_note(cluster: &Cluster) {
    let mut connection = connect(cluster).await;
    let note: String = sqlx::query_scalar("SELECT text FROM note")
        .fetch_one(&mut connection)
        .await
        .expect("read");
    assert_eq!(note, "from yesterday");
    connection.close().await.expect("close");
}

async fn setting(connection: &mut PgConnection, name: &str) -> String {
    let query = sqlx::query_scalar("SELECT current_setting($1)").bind(name);
    query.fetch_one(connection).await.expect("read a setting")
}

/// The postmaster of the cluster in `<root>/data`.
fn postmaster(root: &Path) -> Option<i32> {
    let content = fs::read_to_string(root.join("data/postmaster.pid")).ok()?;
    content.lines().next()?.parse().ok()
}

/// Processes that work in `<root>/data`, as all of Postgres' do. Only Linux tells.
fn processes_in(root: &Path) -> Vec<PathBuf> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let links = processes.flatten().map(|process| process.path().join("cwd"));
    links
        .filter(|link| fs::read_link(link).is_ok_and(|directory| directory.starts_with(root)))
        .collect()
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "it never became true that {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn all_gone(root: &Path, postmaster: i32) {
    eventually("no Postgres runs", async || {
        process(postmaster).await.is_none() && processes_in(root).is_empty()
    })
    .await;
}

/// Runs a cluster in another process.
fn other_owner(data_dir: &Path) -> Child {
    // Test names lack the crate's name, with which `module_path` begins.
    let (_, module) = module_path!().split_once("::").expect("a module of a crate");
    let mut command = Command::new(env::current_exe().expect("this test program"));
    command
        .args(["--exact", &format!("{module}::act_as_owner")])
        .env(OWNER_OF, data_dir);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command.spawn().expect("start another process")
}

/// Not a test: what `other_owner` runs.
#[tokio::test]
async fn act_as_owner() {
    let Some(data_dir) = env::var_os(OWNER_OF) else {
        return;
    };
    let cluster = start(Path::new(&data_dir)).await.expect("start");
    assert!(cluster.is_owner());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn second_start_finds_the_data() {
    let directory = TempDir::new("life");
    // The caller's data directory need not exist.
    let data_dir = directory.path().join("data dir");
    assert!(Cluster::attach(&data_dir).await.expect("attach").is_none());
    assert!(!data_dir.exists());

    let cluster = start(&data_dir).await.expect("start");
    assert!(cluster.is_owner());
    write_note(&cluster).await;
    let mut left_open = connect(&cluster).await;
    assert_eq!(setting(&mut left_open, "fsync").await, "off");
    assert_eq!(setting(&mut left_open, "listen_addresses").await, "");
    assert_eq!(setting(&mut left_open, "server_encoding").await, "UTF8");

    let root = data_dir.join("postgres");
    let pid = postmaster(&root).expect("a postmaster");
    let account = Account::choose(None).expect("an account");
    assert_ne!(account.uid(), 0);
    let (uid, _) = process(pid).await.expect("the postmaster");
    assert_eq!(uid, account.uid());
    let folder = fs::metadata(&root).expect("the cluster's folder");
    assert_eq!((folder.uid(), folder.mode() & 0o777), (account.uid(), 0o700));
    assert_eq!(
        fs::metadata(data_dir.join("postgres.log"))
            .expect("the log")
            .mode()
            & 0o777,
        0o600
    );

    let second = start(&data_dir).await.expect("start while it runs");
    assert!(!second.is_owner());
    assert_note(&second).await;
    second.stop().await.expect("stop what is not owned");
    let attached = Cluster::attach(&data_dir)
        .await
        .expect("attach")
        .expect("it runs");
    assert_note(&attached).await;

    cluster.stop().await.expect("stop with an open connection");
    assert!(process(pid).await.is_none());
    assert!(Cluster::attach(&data_dir).await.expect("attach").is_none());

    let cluster = start(&data_dir).await.expect("start again");
    assert!(cluster.is_owner());
    assert_note(&cluster).await;
    let pid = postmaster(&root).expect("a postmaster");
    drop(cluster);
    all_gone(&root, pid).await;
}

#[tokio::test]
async fn long_socket_path_works() {
    let directory = TempDir::new("long");
    let data_dir = directory
        .path()
        .join(format!("it's a, \"long\" ü {}", "x".repeat(150)));
    let cluster = start(&data_dir).await.expect("start");
    let socket_dir = cluster.socket_dir().to_path_buf();
    assert!(!socket_dir.starts_with(&data_dir));
    assert_eq!(
        fs::metadata(&socket_dir).expect("the socket's folder").mode() & 0o777,
        0o700
    );
    write_note(&cluster).await;
    let attached = Cluster::attach(&data_dir)
        .await
        .expect("attach")
        .expect("it runs");
    assert_note(&attached).await;
    cluster.stop().await.expect("stop");
    assert!(!socket_dir.exists());

    // Somebody else creates the folder first, or opens it to others.
    DirBuilder::new().mode(0o777).create(&socket_dir).expect("create");
    fs::set_permissions(&socket_dir, Permissions::from_mode(0o777)).expect("chmod");
    fs::write(socket_dir.join("trap"), "").expect("write");
    let refused = start(&data_dir).await;
    fs::remove_dir_all(&socket_dir).expect("remove");
    assert!(
        matches!(refused, Err(ClusterError::SocketDirectory { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn special_characters_in_a_short_path_work() {
    let directory = TempDir::new("chars");
    let data_dir = directory.path().join("a, \"b\"%2F ü");
    let cluster = start(&data_dir).await.expect("start");
    assert!(cluster.socket_dir().starts_with(&data_dir));
    write_note(&cluster).await;
    cluster.stop().await.expect("stop");
}

#[tokio::test]
async fn postgres_does_not_outlive_a_killed_owner() {
    let directory = TempDir::new("killed");
    let root = directory.path().join("postgres");
    let mut owner = other_owner(directory.path());
    eventually("the other process is ready", async || {
        Cluster::attach(directory.path()).await.expect("attach").is_some()
    })
    .await;
    let attached = Cluster::attach(directory.path())
        .await
        .expect("attach")
        .expect("it runs");
    assert!(!attached.is_owner());
    write_note(&attached).await;
    let pid = postmaster(&root).expect("a postmaster");
    owner.kill().await.expect("kill -9");
    all_gone(&root, pid).await;
    assert!(Cluster::attach(directory.path()).await.expect("attach").is_none());

    // And when the next start comes at once.
    let mut owner = other_owner(directory.path());
    eventually("the other process is ready", async || {
        Cluster::attach(directory.path()).await.expect("attach").is_some()
    })
    .await;
    owner.kill().await.expect("kill -9");
    let cluster = start(directory.path()).await.expect("start");
    assert!(cluster.is_owner());
    assert_note(&cluster).await;
    cluster.stop().await.expect("stop");
    assert!(processes_in(&root).is_empty());
}

#[tokio::test]
async fn owner_killed_during_creation_leaves_no_partial_cluster() {
    let directory = TempDir::new("half");
    let root = directory.path().join("postgres");
    let mut owner = other_owner(directory.path());
    eventually("initdb runs", async || {
        let Ok(mut entries) = fs::read_dir(&root) else {
            return false;
        };
        entries.any(|entry| entry.is_ok_and(|entry| entry.path().join("base").exists()))
    })
    .await;
    owner.kill().await.expect("kill -9");
    assert!(!root.join("data").exists());
    // And one of a machine that lost its power.
    let left = root.join("data.new-1");
    fs::create_dir(&left).expect("create");
    fs::write(left.join("PG_VERSION"), "15\n").expect("write");

    let cluster = start(directory.path()).await.expect("start");
    write_note(&cluster).await;
    cluster.stop().await.expect("stop");
    let names = fs::read_dir(&root)
        .expect("the cluster's folder")
        .flatten()
        .map(|entry| entry.file_name());
    assert!(names.into_iter().all(|name| name == "data" || name == "socket"));
}

#[tokio::test]
async fn one_of_two_simultaneous_starts_wins() {
    let directory = TempDir::new("race");
    let (left, right) = tokio::join!(start(directory.path()), start(directory.path()));
    let (left, right) = (left.expect("start"), right.expect("start"));
    assert_ne!(left.is_owner(), right.is_owner());
    assert_eq!(left.url("portal"), right.url("portal"));
    let (owner, other) = if left.is_owner() {
        (left, right)
    } else {
        (right, left)
    };
    assert_eq!((owner.port(), owner.user()), (other.port(), other.user()));
    write_note(&owner).await;
    assert_note(&other).await;
    owner.stop().await.expect("stop");
}

#[tokio::test]
async fn killed_postmaster_is_restarted() {
    let directory = TempDir::new("restart");
    let root = directory.path().join("postgres");
    let cluster = start(directory.path()).await.expect("start");
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect(&cluster.url("portal"))
        .await
        .expect("a pool");
    let one = async |pool: &PgPool| sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(pool).await;
    assert_eq!(one(&pool).await.expect("query"), 1);
    for _ in 0..2 {
        let killed = postmaster(&root).expect("a postmaster");
        kill(Pid::from_raw(killed), Signal::SIGKILL).expect("kill -9");
        eventually("another one answers", async || {
            one(&pool).await.is_ok() && postmaster(&root).is_some_and(|pid| pid != killed)
        })
        .await;
    }
    cluster.stop().await.expect("stop");
    assert!(processes_in(&root).is_empty());
}

#[tokio::test]
async fn stale_pid_file_is_ignored() {
    let directory = TempDir::new("stale");
    let root = directory.path().join("postgres");
    start(directory.path())
        .await
        .expect("start")
        .stop()
        .await
        .expect("stop");

    // After a power loss, the number in it may be that of any process of the same user.
    let account = Account::choose(None).expect("an account");
    let mut somebody = account
        .command("sleep")
        .arg("600")
        .kill_on_drop(true)
        .spawn()
        .expect("start sleep");
    let number = somebody.id().expect("it runs");
    let data = root.join("data");
    let socket = root.join("socket");
    for content in [
        format!("{number}\n{}\n0\n5432\n\n\n0 0\n", data.display()),
        String::new(),
        "\0".repeat(60),
    ] {
        for file in [data.join("postmaster.pid"), socket.join(".s.PGSQL.5432.lock")] {
            fs::write(&file, &content).expect("write");
            account.take(&file).expect("chown");
        }
        let cluster = start(directory.path()).await.expect("start");
        assert!(cluster.is_owner());
        cluster.stop().await.expect("stop");
    }
    assert!(
        somebody.try_wait().expect("look").is_none(),
        "the innocent process was left alone"
    );
    somebody.kill().await.expect("kill");
}

#[tokio::test]
async fn orphaned_postgres_is_replaced() {
    let directory = TempDir::new("orphan");
    let root = directory.path().join("postgres");
    let cluster = start(directory.path()).await.expect("start");
    write_note(&cluster).await;
    cluster.stop().await.expect("stop");

    let layout = Layout::prepare(directory.path()).await.expect("the layout");
    let socket_dir = layout.socket_dir().expect("the socket's folder");
    let binaries = binaries::find(None).await.expect("Postgres");
    let log = PostgresLog::open(directory.path()).expect("the log");
    let mut orphan = Server::new(layout, socket_dir, binaries, Vec::new(), log);
    orphan.start().await.expect("start without owning");
    let pid = postmaster(&root).expect("a postmaster");

    let cluster = start(directory.path()).await.expect("start");
    assert!(cluster.is_owner());
    assert!(postmaster(&root).is_some_and(|new| new != pid));
    assert!(process(pid).await.is_none());
    assert_note(&cluster).await;
    cluster.stop().await.expect("stop");
}

#[tokio::test]
async fn failures_include_the_postgres_message() {
    let directory = TempDir::new("failure");
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let options = ClusterOptions {
        data_dir: directory.path().to_path_buf(),
        settings,
    };
    let error = Cluster::start(options)
        .await
        .expect_err("a wrong setting")
        .to_string();
    assert!(error.contains("unrecognized configuration parameter"), "{error}");
    assert!(!error.contains('\n'), "{error}");

    let version = directory.path().join("postgres/data/PG_VERSION");
    fs::write(&version, "7\n").expect("write");
    let error = start(directory.path())
        .await
        .expect_err("another version")
        .to_string();
    assert!(
        error.contains("was created by Postgres 7, but installed is only Postgres "),
        "{error}"
    );
    fs::remove_file(&version).expect("remove");
    let error = start(directory.path()).await.expect_err("no cluster").to_string();
    assert!(
        error.contains("is not a Postgres cluster. Move it away"),
        "{error}"
    );
}

#[tokio::test]
async fn root_only_directories_move_the_cluster() {
    if !Uid::effective().is_root() {
        return;
    }
    let directory = TempDir::new("closed");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).expect("chmod");
    let data_dir = directory.path().join("portal");
    let cluster = start(&data_dir).await.expect("start");
    write_note(&cluster).await;
    let elsewhere = layout::read_path(&data_dir.join("postgres.moved"))
        .expect("read")
        .expect("it is elsewhere");
    assert!(!data_dir.join("postgres").exists());
    assert!(cluster.socket_dir().starts_with(&elsewhere));
    let attached = Cluster::attach(&data_dir)
        .await
        .expect("attach")
        .expect("it runs");
    assert_note(&attached).await;
    cluster.stop().await.expect("stop");

    let cluster = start(&data_dir).await.expect("start again");
    assert_note(&cluster).await;
    cluster.stop().await.expect("stop");

    let moved = directory.path().join("moved");
    fs::rename(&data_dir, &moved).expect("rename");
    let error = start(&moved).await.expect_err("its database is left behind");
    assert!(
        matches!(&error, ClusterError::Moved { found, .. } if *found == elsewhere),
        "{error}"
    );
    fs::remove_dir_all(&moved).expect("remove");

    // Whoever removes the data directory starts with an empty database, but has not lost the other.
    let cluster = start(&data_dir).await.expect("start with a new data directory");
    let missing = connect(&cluster).await.execute("SELECT FROM note").await;
    assert!(missing.is_err());
    cluster.stop().await.expect("stop");
    let aside = elsewhere.with_extension("old-1");
    assert!(aside.join("data/PG_VERSION").exists());
    fs::remove_dir_all(&aside).expect("remove");
    fs::remove_dir_all(&elsewhere).expect("remove");
}
