//! The files of the cluster.
//!
//! ```text
//! <data dir>/server.lock       held by the server of the data directory
//! <data dir>/postgres.lock     held by the process that owns the cluster
//! <data dir>/postgres.state    socket directory of the running cluster
//! <data dir>/postgres.log      output of Postgres
//! <data dir>/postgres.moved    path of the cluster if it is outside the data directory
//! <data dir>/postgres/data     the cluster
//! <data dir>/postgres/socket   its socket, if that path is short enough
//! ```

use std::env;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use super::account::Account;
use super::error::ClusterError;

/// Parent directory of clusters that cannot be stored in the data directory because the Postgres user has no access to
/// it. Only used by root.
const FALLBACK_ROOT: &str = "/var/lib/broker-portal";

/// The file with the path of such a cluster.
const FALLBACK_FILE: &str = "postgres.moved";

/// Longest path of a socket directory, in bytes. macOS allows 103 bytes for the socket's path, Linux 107.
const MAX_SOCKET_DIR_BYTES: usize = 103 - "/.s.PGSQL.5432".len();

/// The directories of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Directory of all files of the cluster. Only `account` can access it.
    root: PathBuf,
    /// The owner of `root`, who runs Postgres.
    account: Account,
}

impl Layout {
    /// Finds or creates the cluster's directory for a canonical data directory. Only for the owner of the cluster.
    pub(super) async fn prepare(data_dir: &Path) -> Result<Self, ClusterError> {
        let fallback = Path::new(FALLBACK_ROOT).join(short_hash(data_dir));
        match read_fallback(data_dir)? {
            Some(recorded) => Self::reopen_fallback(data_dir, recorded, fallback).await,
            None => Self::create_default(data_dir, fallback).await,
        }
    }

    /// Opens the cluster outside the data directory. Its path differs from `recorded` if the data directory was moved.
    async fn reopen_fallback(
        data_dir: &Path,
        recorded: PathBuf,
        fallback: PathBuf,
    ) -> Result<Self, ClusterError> {
        if recorded != fallback {
            if !fallback.exists() {
                return Err(ClusterError::Moved {
                    found: recorded,
                    expected: fallback,
                });
            }
            write_fallback(data_dir, &fallback)?;
        }
        Self::create_fallback(fallback).await
    }

    /// Opens or creates the cluster's directory in the data directory, or outside it if the Postgres user has no access.
    async fn create_default(data_dir: &Path, fallback: PathBuf) -> Result<Self, ClusterError> {
        let layout = Self::create(data_dir.join("postgres"))?;
        if layout.data().exists() || layout.account.can_enter(&layout.root).await {
            return layout.check_access().await;
        }
        // The directory is empty. Use the fallback directory instead.
        fs::remove_dir_all(&layout.root).map_err(ClusterError::io("remove", &layout.root))?;
        rename_old_cluster(&fallback)?;
        write_fallback(data_dir, &fallback)?;
        let layout = Self::create_fallback(fallback).await?;
        tracing::info!(
            data_dir = %data_dir.display(),
            cluster = %layout.root.display(),
            user = layout.account.name(),
            "data directory not accessible for the postgres user, cluster stored outside it"
        );
        Ok(layout)
    }

    async fn create_fallback(root: PathBuf) -> Result<Self, ClusterError> {
        let parent = Path::new(FALLBACK_ROOT);
        if !parent.exists() {
            create_all(parent, 0o711)?;
            // Set the mode again: the umask may have removed the execute bit for others.
            set_mode(parent, 0o711)?;
        }
        Self::create(root)?.check_access().await
    }

    /// Creates or checks the root directory, and chooses the user that runs Postgres.
    fn create(root: PathBuf) -> Result<Self, ClusterError> {
        let owner = match fs::symlink_metadata(&root) {
            Ok(metadata) => Some(metadata.uid()),
            Err(cause) if cause.kind() == ErrorKind::NotFound => None,
            Err(cause) => return Err(ClusterError::io("read", &root)(cause)),
        };
        let account = Account::choose(owner)?;
        let is_shared = create_directory(&root, &account)?;
        if is_shared {
            set_mode(&root, 0o700)?;
        }
        Ok(Self { root, account })
    }

    /// Ensures that the Postgres user can reach the root directory.
    async fn check_access(self) -> Result<Self, ClusterError> {
        if self.account.can_enter(&self.root).await {
            return Ok(self);
        }
        Err(ClusterError::Unreachable {
            directory: self.root,
            user: self.account.name().to_owned(),
        })
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// The root directory of the cluster.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Postgres' data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Creates or checks the socket directory, which only the Postgres user can enter.
    pub(super) fn socket_dir(&self) -> Result<PathBuf, ClusterError> {
        let default = self.root.join("socket");
        if can_hold_socket(&default) {
            // Its permissions do not matter, because its parent directory is private.
            create_directory(&default, &self.account)?;
            return Ok(default);
        }
        let short = self.short_socket_dir();
        match create_directory(&short, &self.account) {
            Ok(false) => Ok(short),
            // Another user may have created it to intercept connections.
            Ok(true) | Err(ClusterError::WrongOwner { .. } | ClusterError::NotADirectory { .. }) => {
                Err(ClusterError::SocketDirectory {
                    directory: short,
                    user: self.account.name().to_owned(),
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Removes a socket directory outside `root`; otherwise it would stay until the next boot.
    pub(super) fn remove_socket_dir(&self, socket_dir: &Path) {
        if !socket_dir.starts_with(&self.root)
            && let Err(error) = fs::remove_dir(socket_dir)
        {
            tracing::debug!(directory = %socket_dir.display(), %error, "socket directory not removed");
        }
    }

    fn short_socket_dir(&self) -> PathBuf {
        let name = format!("broker-portal-{}", short_hash(&self.root));
        let runtime_dir = env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|directory| {
                // The runtime directory of root is not accessible for the Postgres user.
                !self.account.changes_user()
                    && directory.is_absolute()
                    && can_hold_socket(&directory.join(&name))
                    && fs::metadata(directory)
                        .is_ok_and(|found| found.is_dir() && found.uid() == self.account.uid())
            });
        // `temp_dir()` is too long on macOS.
        runtime_dir.unwrap_or_else(|| PathBuf::from("/tmp")).join(name)
    }
}

/// Creates the data directory if it is missing and returns its canonical path.
pub(super) fn create_data_dir(path: &Path) -> Result<PathBuf, ClusterError> {
    // The Postgres user of root must be able to traverse the directory, but not list it.
    let mode = if Uid::effective().is_root() { 0o711 } else { 0o700 };
    create_all(path, mode)?;
    fs::canonicalize(path).map_err(ClusterError::io("open", path))
}

/// Returns Postgres' data directory for a data directory of the portal, even if it does not exist.
pub(super) fn locate_data(data_dir: &Path) -> Result<PathBuf, ClusterError> {
    let root = read_fallback(data_dir)?.unwrap_or_else(|| data_dir.join("postgres"));
    Ok(root.join("data"))
}

/// Returns the path of the cluster that is stored outside the data directory. `None`: it is stored inside.
pub(super) fn read_fallback(data_dir: &Path) -> Result<Option<PathBuf>, ClusterError> {
    read_path(&data_dir.join(FALLBACK_FILE))
}

fn write_fallback(data_dir: &Path, fallback: &Path) -> Result<(), ClusterError> {
    write_path(&data_dir.join(FALLBACK_FILE), fallback)
}

fn create_all(path: &Path, mode: u32) -> Result<(), ClusterError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(ClusterError::io("create", path))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), ClusterError> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(ClusterError::io("change the permissions of", path))
}

/// Creates a directory with access only for `account`, or checks the owner of an existing one. Returns whether its
/// permissions include other users.
fn create_directory(path: &Path, account: &Account) -> Result<bool, ClusterError> {
    let create = || -> io::Result<Metadata> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let found = fs::symlink_metadata(path)?;
        let is_roots = account.changes_user() && found.is_dir() && found.uid() == 0;
        // Just created, or an earlier start was killed before it changed the owner.
        if is_roots && fs::read_dir(path)?.next().is_none() {
            account.take_ownership(path)?;
            return fs::symlink_metadata(path);
        }
        Ok(found)
    };
    let found = create().map_err(ClusterError::io("create", path))?;
    if !found.is_dir() {
        return Err(ClusterError::NotADirectory {
            path: path.to_path_buf(),
        });
    }
    if found.uid() != account.uid() {
        return Err(ClusterError::WrongOwner {
            directory: path.to_path_buf(),
            owner: found.uid(),
            user: account.name().to_owned(),
        });
    }
    Ok(found.mode() & 0o077 != 0)
}

/// Returns whether a socket can be bound in a directory. Its path is part of the connection URL, so it must be UTF-8.
fn can_hold_socket(directory: &Path) -> bool {
    directory
        .to_str()
        .is_some_and(|path| path.len() <= MAX_SOCKET_DIR_BYTES)
}

/// Renames a cluster that belongs to a removed data directory with the same path. A new data directory must start with
/// an empty database.
fn rename_old_cluster(fallback: &Path) -> Result<(), ClusterError> {
    if !fallback.exists() {
        return Ok(());
    }
    let mut number = 1;
    let renamed = loop {
        let candidate = fallback.with_extension(format!("old-{number}"));
        if !candidate.exists() {
            break candidate;
        }
        number += 1;
    };
    fs::rename(fallback, &renamed).map_err(ClusterError::io("rename", fallback))?;
    tracing::warn!(renamed_to = %renamed.display(), "cluster of a removed data directory renamed");
    Ok(())
}

/// Writes a path to a file atomically.
pub(super) fn write_path(file: &Path, path: &Path) -> Result<(), ClusterError> {
    let draft = file.with_extension("draft");
    let write = || {
        let mut out = private_file_options().truncate(true).open(&draft)?;
        out.write_all(path.as_os_str().as_bytes())?;
        out.sync_all()?;
        fs::rename(&draft, file)
    };
    write().map_err(ClusterError::io("write", file))
}

/// Reads a path written by `write_path`. `None`: the file does not exist.
pub(super) fn read_path(file: &Path) -> Result<Option<PathBuf>, ClusterError> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(ClusterError::io("read", file)(cause)),
    }
}

/// Options to create a file that only the owner can read.
pub(super) fn private_file_options() -> OpenOptions {
    let mut options = File::options();
    options.write(true).create(true).mode(0o600);
    options
}

/// Returns a 16-digit FNV-1a hash of a path. It must not change between versions, which `std`'s hasher does not
/// guarantee. It is not collision-resistant: callers verify what they find under the name.
fn short_hash(path: &Path) -> String {
    let hash = path
        .as_os_str()
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::tests::TempDir;
    use super::*;

    #[test]
    fn path_hash_is_stable() {
        assert_eq!(short_hash(Path::new("")), "cbf29ce484222325");
        assert_eq!(short_hash(Path::new("a")), "af63dc4c8601ec8c");
    }

    #[test]
    fn shared_or_foreign_directory_is_not_private() {
        let directory = TempDir::new();
        let account = Account::choose(None).expect("an account");
        let shared = directory.path().join("shared");
        assert!(!create_directory(&shared, &account).expect("create"));
        fs::set_permissions(&shared, Permissions::from_mode(0o755)).expect("chmod");
        assert!(create_directory(&shared, &account).expect("check"));

        // `/usr` belongs to root, and Postgres never runs as root.
        let foreign = create_directory(Path::new("/usr"), &account);
        assert!(
            matches!(foreign, Err(ClusterError::WrongOwner { owner: 0, .. })),
            "{foreign:?}"
        );
    }

    #[tokio::test]
    async fn symbolic_link_is_reported_as_such() {
        let directory = TempDir::new();
        symlink(directory.path(), directory.path().join("postgres")).expect("symlink");
        let error = Layout::prepare(directory.path()).await.expect_err("a link");
        assert!(
            error.to_string().contains("is a file or symbolic link"),
            "{error}"
        );
    }
}
