//! The private Postgres cluster: a database server that the portal starts itself when `DATABASE_URL` is not set.
//!
//! It lives below the data directory, listens on a Unix socket only, and starts and stops with the process that
//! owns it. Other processes with the same data directory (commands that run beside the server) attach to it.

#![expect(
    clippy::disallowed_types,
    reason = "every use of a connection has a timeout here"
)]

mod account;
mod binaries;
mod client;
mod creation;
mod error;
mod layout;
mod log;
mod owner;
mod postmaster;
mod server;
mod supervisor;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

pub use self::error::ClusterError;
pub use self::owner::ServerLock;

use self::client::{PORT, SUPERUSER};
use self::layout::Layout;
use self::log::PostgresLog;
use self::owner::Ownership;
use self::server::Server;

/// Time limit for the start of Postgres, including crash recovery, and for the creation of the database.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Interval between checks of another process.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Options for the start of a private cluster.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The portal's data directory. Created if it does not exist.
    pub data_dir: PathBuf,
    /// More settings for Postgres as names and values, such as `("fsync", "off")` for tests. They apply only if this
    /// process becomes the owner. They cannot change the socket, the port and the log.
    pub settings: Vec<(String, String)>,
}

/// A running private Postgres cluster with the database `portal`.
///
/// The owner restarts Postgres after a crash, until [`stop`](Self::stop) is called or the value is dropped. Dropping
/// does not wait for the shutdown.
#[derive(Debug)]
pub struct Cluster {
    socket_dir: PathBuf,
    /// `Some` in the process that owns the cluster.
    supervisor: Option<SupervisorTask>,
}

/// The task that restarts Postgres after a crash.
#[derive(Debug)]
struct SupervisorTask {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ClusterError>>,
}

impl Cluster {
    /// Starts the cluster below the data directory and becomes its owner. Creates the cluster on first use, and cleans
    /// up after an owner that was killed. Returns when the database `portal` accepts connections.
    ///
    /// If another process owns the cluster, waits until it is ready and attaches to it.
    ///
    /// # Errors
    ///
    /// Postgres is not installed, the files cannot be created or belong to another user, or Postgres does not respond
    /// within a minute. Nothing is left running then.
    pub async fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        let data_dir = layout::create_data_dir(&options.data_dir)?;
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(ownership) = Ownership::claim(&data_dir)? {
                return Self::run(&data_dir, options.settings, ownership).await;
            }
            if let Some(cluster) = Self::attach_if_ready(&data_dir).await? {
                return Ok(cluster);
            }
            wait_for_owner(&data_dir, deadline).await?;
        }
    }

    /// Attaches to the cluster that another process owns. Creates nothing. `None`: no process owns it.
    ///
    /// # Errors
    ///
    /// The data directory cannot be read, or the owner's cluster does not accept connections within a minute.
    pub async fn attach(data_dir: &Path) -> Result<Option<Self>, ClusterError> {
        let data_dir = match fs::canonicalize(data_dir) {
            Ok(data_dir) => data_dir,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(ClusterError::io("open", data_dir)(cause)),
        };
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if !owner::is_owned(&data_dir)? {
                return Ok(None);
            }
            if let Some(cluster) = Self::attach_if_ready(&data_dir).await? {
                return Ok(Some(cluster));
            }
            wait_for_owner(&data_dir, deadline).await?;
        }
    }

    /// The absolute path of the directory with the socket.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The port, which is part of the socket's file name. Postgres does not listen on the network.
    pub fn port(&self) -> u16 {
        PORT
    }

    /// The user for connections: the cluster's superuser, without a password.
    pub fn user(&self) -> &str {
        SUPERUSER
    }

    /// A `postgres://` URL for one of the cluster's databases, such as `portal`. Its host is the percent-encoded path
    /// of the socket directory, which sqlx and libpq understand.
    pub fn url(&self, database: &str) -> String {
        client::build_url(&self.socket_dir, database)
    }

    /// Returns whether this process owns the cluster. The cluster stops when its owner ends.
    pub fn is_owner(&self) -> bool {
        self.supervisor.is_some()
    }

    /// Shuts Postgres down and waits for its exit, if this process is the owner. Open connections are closed. After 30
    /// seconds Postgres is stopped immediately and recovers at the next start.
    ///
    /// # Errors
    ///
    /// A Postgres process does not end after any signal.
    pub async fn stop(self) -> Result<(), ClusterError> {
        let Some(supervisor) = self.supervisor else {
            return Ok(());
        };
        // Dropping the sender is the signal.
        drop(supervisor.stop);
        supervisor.task.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "postgres supervisor task failed");
            Ok(())
        })
    }

    /// Runs Postgres in this process, which owns the cluster.
    async fn run(
        data_dir: &Path,
        settings: Vec<(String, String)>,
        ownership: Ownership,
    ) -> Result<Self, ClusterError> {
        let log = PostgresLog::open(data_dir)?;
        let layout = Layout::prepare(data_dir).await?;
        let data = layout.data();
        let version = creation::cluster_version(&data)?;
        let binaries = binaries::find(version.map(|major| (data.as_path(), major))).await?;
        if version.is_none() {
            tracing::info!(directory = %data.display(), version = binaries.major(), "creating cluster");
            let sync_to_disk = !settings
                .iter()
                .any(|(name, value)| name == "fsync" && value == "off");
            creation::create(&layout, &binaries, &log, sync_to_disk).await?;
        }
        let socket_dir = layout.socket_dir()?;
        let mut server = Server {
            layout,
            socket_dir: socket_dir.clone(),
            binaries,
            settings,
            log: log.clone(),
            process: None,
        };
        server.start().await?;
        let published = match client::create_database(&socket_dir, &log, START_TIMEOUT).await {
            Ok(()) => ownership.publish(&socket_dir),
            Err(error) => Err(error),
        };
        if let Err(error) = published {
            server.stop().await;
            return Err(error);
        }
        tracing::info!(socket_dir = %socket_dir.display(), log = %log.path().display(), "postgres started");

        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run_until_stopped(ownership, stopped));
        Ok(Self {
            socket_dir,
            supervisor: Some(SupervisorTask { stop, task }),
        })
    }

    /// Attaches to the cluster that another process has published, if it accepts connections.
    async fn attach_if_ready(data_dir: &Path) -> Result<Option<Self>, ClusterError> {
        match owner::read_published_socket_dir(data_dir)? {
            Some(socket_dir) if client::is_ready(&socket_dir).await => Ok(Some(Self {
                socket_dir,
                supervisor: None,
            })),
            Some(_) | None => Ok(None),
        }
    }
}

/// Returns whether the data directory has a cluster, running or not. Creates nothing.
///
/// # Errors
///
/// The data directory cannot be read.
pub fn has_cluster(data_dir: &Path) -> Result<bool, ClusterError> {
    let version = layout::locate_data(data_dir)?.join("PG_VERSION");
    version.try_exists().map_err(ClusterError::io("open", &version))
}

/// Waits briefly for the owner. Returns an error after the deadline.
async fn wait_for_owner(data_dir: &Path, deadline: Instant) -> Result<(), ClusterError> {
    if Instant::now() >= deadline {
        return Err(ClusterError::OwnerNotReady {
            directory: data_dir.to_path_buf(),
            seconds: START_TIMEOUT.as_secs(),
        });
    }
    sleep(POLL_INTERVAL).await;
    Ok(())
}
