//! Errors of the private cluster. Each message is one line with a remedy.

use std::io;
use std::path::{Path, PathBuf};

/// The reason why a private Postgres cluster could not be started, reached or stopped.
///
/// Each message is one complete line for the operator. It includes the cause instead of a `source()`, so that nothing is
/// printed twice.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No Postgres server was found.
    #[error(
        "Postgres 15 or newer was not found. Install it (Debian: apt install postgresql; macOS: brew install postgresql@17) or set DATABASE_URL."
    )]
    BinariesMissing,

    /// `PORTAL_POSTGRES_BIN` is a directory without a usable server.
    #[error(
        "PORTAL_POSTGRES_BIN is {directory}, where no working postgres and initdb were found. Set it to the bin directory of Postgres 15 or newer, or unset it.",
        directory = .directory.display()
    )]
    OverrideUnusable {
        /// The value of the variable.
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
        /// The directory of its programs.
        directory: PathBuf,
    },

    /// The cluster was created by a major version of Postgres that is not installed.
    #[error(
        "The database in {directory} was created by Postgres {cluster}, but this machine has only Postgres {installed}. Install Postgres {cluster}, or set PORTAL_POSTGRES_BIN to its bin directory.",
        directory = .directory.display()
    )]
    VersionMismatch {
        /// The cluster's directory.
        directory: PathBuf,
        /// The major version that created the cluster.
        cluster: u32,
        /// The installed major versions, such as "15 and 17".
        installed: String,
    },

    /// The cluster's directory has other content.
    #[error(
        "{directory} is not a Postgres cluster. Move the directory away to start with an empty database, or restore it from a backup.",
        directory = .directory.display()
    )]
    NotACluster {
        /// The directory with the unexpected content.
        directory: PathBuf,
    },

    /// The portal runs as root, and no user for Postgres exists.
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

    /// A directory of the cluster belongs to another user.
    #[error(
        "{directory} belongs to user id {owner}, but Postgres would run as \"{user}\". Start the portal as the directory's owner, run chown -R {user} on it, or choose another PORTAL_DATA_DIR.",
        directory = .directory.display()
    )]
    WrongOwner {
        /// The directory.
        directory: PathBuf,
        /// The user id that owns it.
        owner: u32,
        /// The user that would run Postgres.
        user: String,
    },

    /// The cluster's directory exists, but the user that runs Postgres cannot enter a parent directory.
    #[error(
        "The user \"{user}\" cannot access the database in {directory}. Allow this user to enter the parent directories (chmod o+x), or move the data directory.",
        directory = .directory.display()
    )]
    Unreachable {
        /// The cluster's directory.
        directory: PathBuf,
        /// The user that runs Postgres.
        user: String,
    },

    /// The data directory was moved, but its cluster is stored outside it.
    #[error(
        "The data directory was moved or copied, but its database is in {found}. Move the data directory back, or rename that directory to {expected}.",
        found = .found.display(),
        expected = .expected.display()
    )]
    Moved {
        /// The recorded path of the cluster.
        found: PathBuf,
        /// The path of the cluster for the data directory's current path.
        expected: PathBuf,
    },

    /// The socket directory exists already and is not safe to use.
    #[error(
        "{directory} is not a private directory of the user \"{user}\", so it cannot hold the database socket. Remove it, or choose a shorter PORTAL_DATA_DIR.",
        directory = .directory.display()
    )]
    SocketDirectory {
        /// The directory.
        directory: PathBuf,
        /// The required owner.
        user: String,
    },

    /// A file or directory could not be read or written.
    #[error(
        "Could not {action} {path}: {cause}. Check its permissions and free space, or choose another PORTAL_DATA_DIR.",
        path = .path.display()
    )]
    Io {
        /// The failed action as a verb: "create".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },

    /// A program could not be started.
    #[error(
        "Could not run {program} as \"{user}\": {cause}. Check that this user can execute it, or set DATABASE_URL.",
        program = .program.display()
    )]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The user that should have run it.
        user: String,
        /// The error of the operating system.
        cause: io::Error,
    },

    /// `initdb` failed.
    #[error(
        "The database could not be created: {output}. Fix that, or set DATABASE_URL; the whole output is in {log}.",
        log = .log.display()
    )]
    Initdb {
        /// The last lines of its output, joined into one.
        output: String,
        /// The log file.
        log: PathBuf,
    },

    /// Postgres ended before it accepted a connection.
    #[error(
        "Postgres ended while starting: {output}. Fix that, or set DATABASE_URL; the whole log is {log}.",
        log = .log.display()
    )]
    Exited {
        /// The last lines of its log, joined into one.
        output: String,
        /// The log file.
        log: PathBuf,
    },

    /// Postgres runs, but did not accept a connection in time.
    #[error(
        "Postgres accepted no connection within {seconds} seconds: {output}. See {log}, then start the portal again.",
        log = .log.display()
    )]
    NotReady {
        /// The time limit in seconds.
        seconds: u64,
        /// The last lines of its log, joined into one.
        output: String,
        /// The log file.
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
        /// The time limit in seconds.
        seconds: u64,
    },

    /// A Postgres process of an earlier portal does not end after any signal.
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
        /// The error as one line.
        cause: String,
        /// The log file.
        log: PathBuf,
    },
}

impl ClusterError {
    /// Returns a function for `map_err` on file operations: "Could not `action` `path`".
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io {
            action,
            path: path.to_path_buf(),
            cause,
        }
    }
}

/// Joins lines into one, for a one-line message.
pub(super) fn one_line<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let lines: Vec<_> = lines
        .into_iter()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join(" | ")
}
