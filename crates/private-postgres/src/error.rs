//! What can go wrong with the private cluster, each as one line that says what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why a private Postgres cluster could not be started, reached or stopped.
///
/// Every message is one complete line for the person who runs the portal. Causes are part of that line
/// instead of a `source()`, so that nothing is printed twice.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No Postgres server is installed in any of the places searched.
    #[error(
        "Postgres 15 or newer was not found. Install it (Debian: apt install postgresql; macOS: brew install postgresql@17) or set DATABASE_URL."
    )]
    BinariesMissing,

    /// `PORTAL_POSTGRES_BIN` is set, but to a folder without a usable server.
    #[error(
        "PORTAL_POSTGRES_BIN is {directory}, where no working postgres and initdb were found. Point it to the bin folder of Postgres 15 or newer, or unset it.",
        directory = .directory.display()
    )]
    OverrideUnusable {
        /// The folder the variable names.
        directory: PathBuf,
    },

    /// Postgres is installed, but only in versions before 15.
    #[error(
        "Postgres {found} in {directory} is too old. Install Postgres 15 or newer (Debian: apt install postgresql; macOS: brew install postgresql@17) or set DATABASE_URL.",
        directory = .directory.display()
    )]
    TooOld {
        /// The newest major version found.
        found: u32,
        /// The folder with its programs.
        directory: PathBuf,
    },

    /// The cluster was created by a major version of Postgres that is not installed.
    #[error(
        "The database in {directory} was created by Postgres {cluster}, but installed is only Postgres {installed}. Install Postgres {cluster}, or name its bin folder in PORTAL_POSTGRES_BIN.",
        directory = .directory.display()
    )]
    VersionMismatch {
        /// The cluster's folder.
        directory: PathBuf,
        /// The major version that created it.
        cluster: u32,
        /// The major versions installed, as a list to read.
        installed: String,
    },

    /// The folder where the cluster belongs holds something else.
    #[error(
        "{directory} is not a Postgres cluster. Move it away to start with an empty database, or restore it from a backup.",
        directory = .directory.display()
    )]
    NotACluster {
        /// The folder with the unexpected content.
        directory: PathBuf,
    },

    /// Started by root on a machine without a user Postgres could run as.
    #[error(
        "Postgres cannot run as root, and there is neither a user \"postgres\" nor \"nobody\". Create one (useradd --system postgres), start the portal as another user, or set DATABASE_URL."
    )]
    NoAccount,

    /// A file or symbolic link has the name of a directory of the cluster.
    #[error(
        "{path} is a file or symbolic link, but must be a directory. Replace it with a directory, or choose another PORTAL_DATA_DIR.",
        path = .path.display()
    )]
    NotADirectory {
        /// The file or symbolic link.
        path: PathBuf,
    },

    /// A folder of the cluster belongs to somebody else.
    #[error(
        "{directory} belongs to user id {owner}, but Postgres would run as \"{user}\". Start the portal as the folder's owner, run chown -R {user} on it, or choose another PORTAL_DATA_DIR.",
        directory = .directory.display()
    )]
    WrongOwner {
        /// The folder.
        directory: PathBuf,
        /// The user id that owns it.
        owner: u32,
        /// The user Postgres would run as.
        user: String,
    },

    /// The cluster's folder exists, but a parent folder is closed to the user Postgres runs as.
    #[error(
        "The user \"{user}\" can no longer reach the database in {directory}. Allow it to pass the folders above (chmod o+x), or move the data directory.",
        directory = .directory.display()
    )]
    Unreachable {
        /// The cluster's folder.
        directory: PathBuf,
        /// The user Postgres runs as.
        user: String,
    },

    /// The data directory was moved, but its cluster lives outside of it.
    #[error(
        "The data directory was moved or copied, but its database is in {found}. Move the data directory back, or rename that folder to {expected}.",
        found = .found.display(),
        expected = .expected.display()
    )]
    Moved {
        /// Where the cluster was.
        found: PathBuf,
        /// Where the cluster of the data directory at its present place belongs.
        expected: PathBuf,
    },

    /// The folder for the socket exists already and is not safe to use.
    #[error(
        "{directory} is not a private folder of the user \"{user}\", so the database socket cannot be put there. Remove it, or choose a shorter PORTAL_DATA_DIR.",
        directory = .directory.display()
    )]
    SocketDirectory {
        /// The folder.
        directory: PathBuf,
        /// The user who would have to own it.
        user: String,
    },

    /// A file or folder could not be read or written.
    #[error(
        "Could not {action} {path}: {cause}. Check its permissions and free space, or choose another PORTAL_DATA_DIR.",
        path = .path.display()
    )]
    Io {
        /// What was tried, as a verb: "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },

    /// A program could not be run at all.
    #[error(
        "Could not run {program} as \"{user}\": {cause}. Check that this user may execute it, or set DATABASE_URL.",
        program = .program.display()
    )]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The user it was to run as.
        user: String,
        /// What the system said.
        cause: io::Error,
    },

    /// `initdb` failed.
    #[error(
        "The database could not be created: {output}. Fix that, or set DATABASE_URL; the whole output is in {log}.",
        log = .log.display()
    )]
    Initdb {
        /// The last lines of its output, joined to one.
        output: String,
        /// The file with all of it.
        log: PathBuf,
    },

    /// Postgres ended before it accepted a connection.
    #[error(
        "Postgres ended while starting: {output}. Fix that, or set DATABASE_URL; the whole log is {log}.",
        log = .log.display()
    )]
    Exited {
        /// The last lines of its log, joined to one.
        output: String,
        /// The file with all of it.
        log: PathBuf,
    },

    /// Postgres runs, but accepted no connection in time.
    #[error(
        "Postgres accepted no connection within {seconds} seconds: {output}. See {log}, then start the portal again.",
        log = .log.display()
    )]
    NotReady {
        /// How long was waited, in seconds.
        seconds: u64,
        /// The last lines of its log, joined to one.
        output: String,
        /// The file with all of it.
        log: PathBuf,
    },

    /// Another process owns the cluster, but the cluster accepts no connection.
    #[error(
        "Another portal process owns the database in {directory}, but it was not ready within {seconds} seconds. Wait for that process or stop it, then try again.",
        directory = .directory.display()
    )]
    OwnerNotReady {
        /// The data directory.
        directory: PathBuf,
        /// How long was waited, in seconds.
        seconds: u64,
    },

    /// A Postgres left over by an earlier portal does not end, whatever signal it gets.
    #[error(
        "Postgres (process {pid}) of an earlier portal does not stop. End it (kill -9 {pid}), then start the portal again."
    )]
    StillRunning {
        /// The process id of the postmaster.
        pid: i32,
    },

    /// The cluster runs, but the database in it could not be created.
    #[error("The database \"{database}\" could not be created: {cause}. See {log}.", log = .log.display())]
    CreateDatabase {
        /// The database's name.
        database: &'static str,
        /// What Postgres or the connection said, as one line.
        cause: String,
        /// The file with Postgres' log.
        log: PathBuf,
    },
}

impl ClusterError {
    /// For `map_err` on file operations: "Could not `action` `path`".
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io {
            action,
            path: path.to_path_buf(),
            cause,
        }
    }
}

/// Joins the lines of a text to one, so that it can be part of a one-line message.
pub(super) fn one_line<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let lines: Vec<_> = lines
        .into_iter()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join(" | ")
}
