//! Where the files of the cluster are.
//!
//! ```text
//! <data dir>/server.lock       held by the server of the data directory
//! <data dir>/postgres.lock     held by the process that owns the cluster
//! <data dir>/postgres.state    where the running cluster can be reached
//! <data dir>/postgres.log      what Postgres says
//! <data dir>/postgres.moved    where the cluster is, if it cannot be here
//! <data dir>/postgres/data     the cluster
//! <data dir>/postgres/socket   its socket, if that path is short enough
//! ```

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use super::account::Account;
use super::error::ClusterError;

/// Where root keeps clusters whose data directory the user that runs Postgres cannot reach.
const ELSEWHERE: &str = "/var/lib/broker-portal";

/// The longest folder, in bytes, in which a socket can be bound: macOS allows 103 bytes for the whole path, Linux 107.
const LONGEST_SOCKET_DIR: usize = 103 - "/.s.PGSQL.5432".len();

/// The folders of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Everything of the cluster; private to `account`.
    root: PathBuf,
    /// The user that owns it.
    account: Account,
}

impl Layout {
    /// Finds or creates the folder for the cluster of `data_dir` (which is canonical). Only for the cluster's owner.
    pub(super) async fn prepare(data_dir: &Path) -> Result<Self, ClusterError> {
        let here = data_dir.join("postgres");
        let marker = data_dir.join("postgres.moved");
        let elsewhere = Path::new(ELSEWHERE).join(short_hash(data_dir));

        if let Some(recorded) = read_path(&marker)? {
            if recorded != elsewhere {
                if !elsewhere.exists() {
                    return Err(ClusterError::Moved {
                        found: recorded,
                        expected: elsewhere,
                    });
                }
                write_path(&marker, &elsewhere)?;
            }
            return Self::create_elsewhere(elsewhere, data_dir).await;
        }

        let layout = Self::create(here.clone())?;
        if layout.account.can_enter(&here).await {
            return Ok(layout);
        }
        if layout.data().exists() {
            return Err(ClusterError::Unreachable {
                directory: here,
                user: layout.account.name().to_owned(),
            });
        }
        // Nothing is in it yet; the cluster's folder elsewhere takes its place.
        fs::remove_dir_all(&here).map_err(ClusterError::io("remove", &here))?;
        set_aside(&elsewhere)?;
        write_path(&marker, &elsewhere)?;
        Self::create_elsewhere(elsewhere, data_dir).await
    }

    async fn create_elsewhere(root: PathBuf, data_dir: &Path) -> Result<Self, ClusterError> {
        let parent = Path::new(ELSEWHERE);
        if !parent.exists() {
            create_all(parent, 0o711)?;
            // Once more, as the umask may have taken away what the user that runs Postgres needs to pass.
            fs::set_permissions(parent, Permissions::from_mode(0o711))
                .map_err(ClusterError::io("change the permissions of", parent))?;
        }
        let layout = Self::create(root)?;
        if !layout.account.can_enter(&layout.root).await {
            return Err(ClusterError::Unreachable {
                directory: layout.root,
                user: layout.account.name().to_owned(),
            });
        }
        tracing::info!(
            data_dir = %data_dir.display(),
            cluster = %layout.root.display(),
            user = layout.account.name(),
            "The user that runs Postgres cannot reach the data directory, so the database is kept elsewhere"
        );
        Ok(layout)
    }

    /// Makes sure that `root` exists and belongs to the user that runs Postgres.
    fn create(root: PathBuf) -> Result<Self, ClusterError> {
        let owner = match fs::symlink_metadata(&root) {
            Ok(metadata) => Some(metadata.uid()),
            Err(cause) if cause.kind() == ErrorKind::NotFound => None,
            Err(cause) => return Err(ClusterError::io("read", &root)(cause)),
        };
        let account = Account::choose(owner)?;
        match private_directory(&root, &account).map_err(ClusterError::io("create", &root))? {
            Private::Yes => {}
            Private::Open => fs::set_permissions(&root, Permissions::from_mode(0o700))
                .map_err(ClusterError::io("change the permissions of", &root))?,
            Private::NotADirectory => return Err(ClusterError::NotADirectory { path: root }),
            Private::No { owner } => {
                return Err(ClusterError::WrongOwner {
                    directory: root,
                    owner,
                    user: account.name().to_owned(),
                });
            }
        }
        Ok(Self { root, account })
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// The folder everything else is in.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Postgres' data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Makes sure that the folder for the socket exists and that only the cluster's user can enter it.
    pub(super) fn socket_dir(&self) -> Result<PathBuf, ClusterError> {
        let beside = self.root.join("socket");
        // sqlx takes the folder as a URL, and so as UTF-8.
        if beside.to_str().is_some() && fits_socket(&beside) {
            // Its permissions do not matter: nobody else can enter the folder it is in.
            return match private_directory(&beside, &self.account)
                .map_err(ClusterError::io("create", &beside))?
            {
                Private::Yes | Private::Open => Ok(beside),
                Private::NotADirectory => Err(ClusterError::NotADirectory { path: beside }),
                Private::No { owner } => Err(ClusterError::WrongOwner {
                    directory: beside,
                    owner,
                    user: self.account.name().to_owned(),
                }),
            };
        }
        let short = self
            .runtime_dir()
            .join(format!("broker-portal-{}", short_hash(&self.root)));
        match private_directory(&short, &self.account).map_err(ClusterError::io("create", &short))? {
            Private::Yes => Ok(short),
            // Somebody else may have been there first, to read or answer what goes through the socket.
            Private::Open | Private::NotADirectory | Private::No { .. } => {
                Err(ClusterError::SocketDirectory {
                    directory: short,
                    user: self.account.name().to_owned(),
                })
            }
        }
    }

    /// Removes a folder for the socket outside of the cluster's own, where it would lie about until the next boot.
    pub(super) fn remove_socket_dir(&self, socket_dir: &Path) {
        if !socket_dir.starts_with(&self.root)
            && let Err(error) = fs::remove_dir(socket_dir)
        {
            tracing::debug!(directory = %socket_dir.display(), %error, "The folder for the database socket was not removed");
        }
    }

    /// A folder with a short path for temporary things.
    fn runtime_dir(&self) -> PathBuf {
        let own = env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|directory| {
                // Room for the slash, the name and the 16 digits of the hash.
                let usable = directory.is_absolute()
                    && directory.to_str().is_some()
                    && fits_socket(&directory.join(format!("broker-portal-{:016x}", 0)));
                // Root's own is closed to the user that runs Postgres.
                usable
                    && !self.account.is_switch()
                    && fs::metadata(directory)
                        .is_ok_and(|found| found.is_dir() && found.uid() == self.account.uid())
            });
        // Not `temp_dir()`: on macOS that is too long already.
        own.unwrap_or_else(|| PathBuf::from("/tmp"))
    }
}

/// Creates the data directory if it is missing and returns its one true path.
pub(super) fn data_dir(path: &Path) -> Result<PathBuf, ClusterError> {
    // The user that root runs Postgres as has to pass it, but not to list it.
    let mode = if Uid::effective().is_root() { 0o711 } else { 0o700 };
    create_all(path, mode)?;
    fs::canonicalize(path).map_err(ClusterError::io("open", path))
}

/// Where the cluster of a data directory is, if there is one.
pub(super) fn found_data(data_dir: &Path) -> Result<PathBuf, ClusterError> {
    let elsewhere = read_path(&data_dir.join("postgres.moved"))?;
    Ok(elsewhere
        .unwrap_or_else(|| data_dir.join("postgres"))
        .join("data"))
}

fn create_all(path: &Path, mode: u32) -> Result<(), ClusterError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(ClusterError::io("create", path))
}

/// What `private_directory` found.
#[derive(Debug, PartialEq, Eq)]
enum Private {
    /// It belongs to the account, and nobody else can enter it.
    Yes,
    /// It belongs to the account, but its permissions let others in.
    Open,
    /// It is a file or a symbolic link.
    NotADirectory,
    /// It belongs to somebody else.
    No { owner: u32 },
}

/// Creates a folder for `account` only, or looks at the one that exists.
fn private_directory(path: &Path, account: &Account) -> io::Result<Private> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => account.take(path)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let mut found = fs::symlink_metadata(path)?;
    if found.is_dir() && account.is_switch() && found.uid() == 0 && fs::read_dir(path)?.next().is_none() {
        // An earlier portal of root was killed between creating it and handing it over.
        account.take(path)?;
        found = fs::symlink_metadata(path)?;
    }
    Ok(if !found.is_dir() {
        Private::NotADirectory
    } else if found.uid() != account.uid() {
        Private::No { owner: found.uid() }
    } else if found.mode() & 0o077 != 0 {
        Private::Open
    } else {
        Private::Yes
    })
}

fn fits_socket(directory: &Path) -> bool {
    directory.as_os_str().len() <= LONGEST_SOCKET_DIR
}

/// Renames the cluster of a data directory that was at the same place before and has been removed since:
/// whoever removes a data directory expects to start with an empty database.
fn set_aside(elsewhere: &Path) -> Result<(), ClusterError> {
    if !elsewhere.exists() {
        return Ok(());
    }
    let free = (1_u32..)
        .map(|number| elsewhere.with_extension(format!("old-{number}")))
        .find(|path| !path.exists());
    let Some(aside) = free else { return Ok(()) };
    fs::rename(elsewhere, &aside).map_err(ClusterError::io("rename", elsewhere))?;
    tracing::warn!(
        kept_in = %aside.display(),
        "An earlier data directory of the same name was removed; its database was set aside"
    );
    Ok(())
}

/// Writes a path to a file that is complete or not there at all.
pub(super) fn write_path(file: &Path, path: &Path) -> Result<(), ClusterError> {
    let draft = file.with_extension("draft");
    let write = || {
        let mut out = private_file().truncate(true).open(&draft)?;
        out.write_all(path.as_os_str().as_bytes())?;
        out.sync_all()?;
        fs::rename(&draft, file)
    };
    write().map_err(ClusterError::io("write", file))
}

/// Reads what `write_path` wrote; `None` when the file does not exist.
pub(super) fn read_path(file: &Path) -> Result<Option<PathBuf>, ClusterError> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(ClusterError::io("read", file)(cause)),
    }
}

/// How files in the data directory are opened for writing: nobody else can read them.
pub(super) fn private_file() -> OpenOptions {
    let mut options = File::options();
    options.write(true).create(true).mode(0o600);
    options
}

/// 16 digits that name a path, the same in every version of the portal (FNV-1a, which `std`'s hashes do not
/// promise to be). Not meant to withstand somebody who looks for collisions; whoever uses it checks what it
/// finds.
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
    use super::super::tests::TempDir;
    use super::*;

    #[test]
    fn path_hash_is_stable() {
        assert_eq!(short_hash(Path::new("")), "cbf29ce484222325");
        assert_eq!(short_hash(Path::new("a")), "af63dc4c8601ec8c");
    }

    #[tokio::test]
    async fn symbolic_link_is_reported_as_such() {
        let directory = TempDir::new("link");
        let link = directory.path().join("postgres");
        std::os::unix::fs::symlink(directory.path(), link).expect("symlink");
        let error = Layout::prepare(directory.path()).await.expect_err("a link");
        assert!(
            error.to_string().contains("is a file or symbolic link"),
            "{error}"
        );
    }

    #[test]
    fn foreign_directory_is_refused() {
        let directory = TempDir::new("untrusted");
        let account = Account::choose(None).expect("an account");
        let open = directory.path().join("open");
        assert_eq!(private_directory(&open, &account).expect("create"), Private::Yes);
        fs::set_permissions(&open, Permissions::from_mode(0o755)).expect("chmod");
        assert_eq!(private_directory(&open, &account).expect("look"), Private::Open);

        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&open, &link).expect("symlink");
        assert_eq!(
            private_directory(&link, &account).expect("look"),
            Private::NotADirectory
        );

        // That of the system belongs to root, whom Postgres never runs as.
        assert_eq!(
            private_directory(Path::new("/usr"), &account).expect("look"),
            Private::No { owner: 0 }
        );
    }
}
