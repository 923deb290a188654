//! The private Postgres cluster: a database server that the portal brings along when `DATABASE_URL` is not set.
//!
//! It lives below the data directory, listens on a Unix socket only, and is started and stopped with the
//! process that owns it. Other processes on the same data directory (commands run while the server serves)
//! attach to it.

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

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

pub use self::error::ClusterError;
pub use self::owner::ServerLock;

use self::client::{PORT, USER};
use self::layout::Layout;
use self::log::PostgresLog;
use self::owner::Ownership;
use self::server::{POLL, READY, Server};

/// What the caller wants from a private cluster.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The portal's data directory. Created if it does not exist.
    pub data_dir: PathBuf,
    /// Further settings for Postgres as names and values, such as `("fsync", "off")` for tests. They apply
    /// only if this process becomes the owner. The socket, the port and the log cannot be changed by them.
    pub settings: Vec<(String, String)>,
}

/// A private Postgres cluster that runs, with a database `portal` in it.
///
/// If this process owns the cluster, Postgres is kept running until [`stop`](Self::stop): when it dies, it is
/// started again. Dropping the value instead also shuts it down, without waiting for that.
#[derive(Debug)]
pub struct Cluster {
    socket_dir: PathBuf,
    /// Only in the owner.
    keeper: Option<Keeper>,
}

/// The task that keeps Postgres running.
#[derive(Debug)]
struct Keeper {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ClusterError>>,
}

impl Cluster {
    /// Starts the cluster below the data directory and becomes its owner. Creates the cluster on first use,
    /// and cleans up after an owner that was killed. Returns when the database `portal` accepts connections.
    ///
    /// If another live process owns the cluster, waits until it is ready there and attaches to it.
    ///
    /// # Errors
    ///
    /// When Postgres is not installed, the files cannot be created or belong to somebody else, or Postgres
    /// does not respond within a minute. Nothing is left running then.
    pub async fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        let data_dir = layout::data_dir(&options.data_dir)?;
        let deadline = Instant::now() + READY;
        loop {
            if let Some(ownership) = Ownership::claim(&data_dir)? {
                return Self::run(&data_dir, options.settings, ownership).await;
            }
            if let Some(cluster) = Self::published(&data_dir).await? {
                return Ok(cluster);
            }
            wait_for_owner(&data_dir, deadline).await?;
        }
    }

    /// Attaches to the cluster that a running portal owns; `None` when none runs. Creates nothing.
    ///
    /// # Errors
    ///
    /// When a portal runs, but its cluster does not accept connections within a minute; or when this user may
    /// not look into the data directory.
    pub async fn attach(data_dir: &Path) -> Result<Option<Self>, ClusterError> {
        let data_dir = match fs::canonicalize(data_dir) {
            Ok(data_dir) => data_dir,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(ClusterError::io("open", data_dir)(cause)),
        };
        let deadline = Instant::now() + READY;
        loop {
            if !owner::is_owned(&data_dir)? {
                return Ok(None);
            }
            if let Some(cluster) = Self::published(&data_dir).await? {
                return Ok(Some(cluster));
            }
            wait_for_owner(&data_dir, deadline).await?;
        }
    }

    /// Whether there is a cluster below the data directory, running or not. Creates nothing.
    ///
    /// # Errors
    ///
    /// When this user may not look.
    pub fn exists(data_dir: &Path) -> Result<bool, ClusterError> {
        let version = layout::found_data(data_dir)?.join("PG_VERSION");
        version.try_exists().map_err(ClusterError::io("open", &version))
    }

    /// The folder of the socket, an absolute path.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The port, which is part of the socket's name. Postgres does not listen on the network.
    pub fn port(&self) -> u16 {
        PORT
    }

    /// The user to connect as: the cluster's superuser, without a password.
    pub fn user(&self) -> &str {
        USER
    }

    /// A `postgres://` URL for one of the cluster's databases, such as `portal`. Its host is the
    /// percent-encoded path of the socket's folder, as sqlx and libpq understand it.
    pub fn url(&self, database: &str) -> String {
        client::url(&self.socket_dir, database)
    }

    /// Whether this process runs the cluster, so that it ends with it.
    pub fn is_owner(&self) -> bool {
        self.keeper.is_some()
    }

    /// Shuts Postgres down and waits until it has ended; open connections are closed. A shutdown that takes
    /// longer than 30 seconds is cut short, after which the next start has to recover. Does nothing unless
    /// this process is the owner.
    ///
    /// # Errors
    ///
    /// When a process of Postgres survives every signal.
    pub async fn stop(self) -> Result<(), ClusterError> {
        let Some(keeper) = self.keeper else {
            return Ok(());
        };
        // Dropping the sender is the signal.
        drop(keeper.stop);
        keeper.task.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "The task that keeps Postgres running had ended before");
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
            tracing::info!(directory = %data.display(), version = binaries.major(), "Creating the database");
            let durable = !settings
                .iter()
                .any(|(name, value)| name == "fsync" && value == "off");
            creation::create(&layout, &binaries, &log, durable).await?;
        }
        let socket_dir = layout.socket_dir()?;
        let mut server = Server::new(layout, socket_dir.clone(), binaries, settings, log.clone());
        server.start().await?;
        let finished = match client::create_database(&socket_dir, &log, READY).await {
            Ok(()) => ownership.publish(&socket_dir),
            Err(error) => Err(error),
        };
        if let Err(error) = finished {
            server.stop().await;
            return Err(error);
        }
        tracing::info!(socket_dir = %socket_dir.display(), log = %log.path().display(), "Postgres is running");

        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.keep(ownership, stopped));
        Ok(Self {
            socket_dir,
            keeper: Some(Keeper { stop, task }),
        })
    }

    /// The cluster another process has called ready, if it answers.
    async fn published(data_dir: &Path) -> Result<Option<Self>, ClusterError> {
        match owner::published(data_dir)? {
            Some(socket_dir) if client::is_ready(&socket_dir).await => Ok(Some(Self {
                socket_dir,
                keeper: None,
            })),
            Some(_) | None => Ok(None),
        }
    }
}

/// Gives the owner a little time, or gives up on it.
async fn wait_for_owner(data_dir: &Path, deadline: Instant) -> Result<(), ClusterError> {
    if Instant::now() >= deadline {
        return Err(ClusterError::OwnerNotReady {
            directory: data_dir.to_path_buf(),
            seconds: READY.as_secs(),
        });
    }
    sleep(POLL).await;
    Ok(())
}
