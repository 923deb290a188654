//! Which process owns the cluster, and where the others find it.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::ClusterError;
use super::layout::{self, private_file, read_path, write_path};

const LOCK: &str = "postgres.lock";
const STATE: &str = "postgres.state";
const SERVER_LOCK: &str = "server.lock";

/// Held by the one process that runs the cluster. The kernel takes the lock back when that process dies,
/// however it dies.
#[derive(Debug)]
pub(super) struct Ownership {
    state: PathBuf,
    /// Never removed from disk: two processes could else lock two files of the same name.
    _lock: File,
}

impl Ownership {
    /// Becomes the owner, unless another process is.
    pub(super) fn claim(data_dir: &Path) -> Result<Option<Self>, ClusterError> {
        let Some(lock) = lock_file(&data_dir.join(LOCK))? else {
            return Ok(None);
        };
        let ownership = Self {
            state: data_dir.join(STATE),
            _lock: lock,
        };
        // An owner that was killed could not do this itself.
        ownership.withdraw();
        Ok(Some(ownership))
    }

    /// Tells other processes that the cluster is ready, and where.
    pub(super) fn publish(&self, socket_dir: &Path) -> Result<(), ClusterError> {
        write_path(&self.state, socket_dir)
    }

    fn withdraw(&self) {
        if let Err(error) = fs::remove_file(&self.state)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(file = %self.state.display(), %error, "The database's state file was not removed");
        }
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// Held by the one server of a data directory. Commands may own the cluster for a while, and a server waits for them; for
/// another server it does not wait.
#[derive(Debug)]
pub struct ServerLock {
    _lock: File,
}

impl ServerLock {
    /// Creates the data directory if it does not exist. `None`: another server uses it.
    ///
    /// # Errors
    /// When this user may not write there.
    pub fn claim(data_dir: &Path) -> Result<Option<Self>, ClusterError> {
        let data_dir = layout::data_dir(data_dir)?;
        let lock = lock_file(&data_dir.join(SERVER_LOCK))?;
        Ok(lock.map(|lock| Self { _lock: lock }))
    }
}

/// The file, locked; `None` when another process has locked it.
fn lock_file(path: &Path) -> Result<Option<File>, ClusterError> {
    let lock = private_file()
        .truncate(false)
        .open(path)
        .map_err(ClusterError::io("open", path))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(cause)) => Err(ClusterError::io("lock", path)(cause)),
    }
}

/// Whether a live process owns the cluster.
pub(super) fn is_owned(data_dir: &Path) -> Result<bool, ClusterError> {
    let path = data_dir.join(LOCK);
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(ClusterError::io("open", &path)(cause)),
    };
    // A shared lock, so that two who ask do not take each other for the owner. One who claims in this moment
    // tries again.
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(cause)) => Err(ClusterError::io("lock", &path)(cause)),
    }
}

/// The socket folder of a cluster that its owner has called ready.
pub(super) fn published(data_dir: &Path) -> Result<Option<PathBuf>, ClusterError> {
    read_path(&data_dir.join(STATE))
}
