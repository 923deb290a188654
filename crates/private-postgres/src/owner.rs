//! Ownership of the cluster (a lock file) and its published socket directory (a state file).

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::ClusterError;
use super::layout::{create_data_dir, private_file_options, read_path, write_path};

const LOCK: &str = "postgres.lock";
const STATE: &str = "postgres.state";
const SERVER_LOCK: &str = "server.lock";

/// Lock of the process that runs the cluster. The kernel releases it when the process ends, also after a crash.
#[derive(Debug)]
pub(super) struct Ownership {
    state: PathBuf,
    /// The file is never deleted: otherwise two processes could lock two files of the same name.
    _lock: File,
}

impl Ownership {
    /// Takes ownership. `None`: another process is the owner.
    pub(super) fn claim(data_dir: &Path) -> Result<Option<Self>, ClusterError> {
        let Some(lock) = try_lock_file(&data_dir.join(LOCK))? else {
            return Ok(None);
        };
        let ownership = Self {
            state: data_dir.join(STATE),
            _lock: lock,
        };
        // Remove the state file of a killed owner.
        ownership.remove_state_file();
        Ok(Some(ownership))
    }

    /// Writes the socket directory to the state file, so that other processes can attach.
    pub(super) fn publish(&self, socket_dir: &Path) -> Result<(), ClusterError> {
        write_path(&self.state, socket_dir)
    }

    fn remove_state_file(&self) {
        if let Err(error) = fs::remove_file(&self.state)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(file = %self.state.display(), %error, "cluster state file not removed");
        }
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.remove_state_file();
    }
}

/// Lock of the server of a data directory. A starting server waits for a command that owns the cluster, but fails if
/// another server holds this lock.
#[derive(Debug)]
pub struct ServerLock {
    _lock: File,
}

impl ServerLock {
    /// Locks the data directory, and creates it if it does not exist. `None`: another server holds the lock.
    ///
    /// # Errors
    /// The data directory is not writable.
    pub fn claim(data_dir: &Path) -> Result<Option<Self>, ClusterError> {
        let lock = try_lock_file(&create_data_dir(data_dir)?.join(SERVER_LOCK))?;
        Ok(lock.map(|lock| Self { _lock: lock }))
    }
}

/// Opens and locks a file. `None`: another process holds the lock.
fn try_lock_file(path: &Path) -> Result<Option<File>, ClusterError> {
    let lock = private_file_options()
        .truncate(false)
        .open(path)
        .map_err(ClusterError::io("open", path))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(cause)) => Err(ClusterError::io("lock", path)(cause)),
    }
}

/// Returns whether a live process owns the cluster.
pub(super) fn is_owned(data_dir: &Path) -> Result<bool, ClusterError> {
    let path = data_dir.join(LOCK);
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(ClusterError::io("open", &path)(cause)),
    };
    // Use a shared lock, so that two concurrent checks do not block each other. A process that claims ownership at the
    // same time retries.
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(cause)) => Err(ClusterError::io("lock", &path)(cause)),
    }
}

/// Returns the socket directory that the owner has published. `None`: the cluster is not ready.
pub(super) fn read_published_socket_dir(data_dir: &Path) -> Result<Option<PathBuf>, ClusterError> {
    read_path(&data_dir.join(STATE))
}
