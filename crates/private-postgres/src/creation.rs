//! Creates the cluster's files on first use.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use super::account::Account;
use super::binaries::{Binaries, leading_number};
use super::client::USER;
use super::error::ClusterError;
use super::layout::Layout;
use super::log::PostgresLog;
use super::supervisor::Supervised;

/// What unfinished clusters are called; the process id of who makes it follows.
const UNFINISHED: &str = "data.new-";

/// The locale for a language-independent order of Unicode text. Not every system has it.
const LOCALE: &str = "--locale=C.UTF-8";
const NO_LOCALE: &str = "--no-locale";

/// The major version that created the cluster; `None` when there is no cluster yet.
pub(super) fn cluster_version(data: &Path) -> Result<Option<u32>, ClusterError> {
    let is_empty = match fs::read_dir(data) {
        Ok(mut entries) => entries.next().is_none(),
        Err(cause) if cause.kind() == ErrorKind::NotFound => true,
        Err(cause) => return Err(ClusterError::io("read", data)(cause)),
    };
    if is_empty {
        return Ok(None);
    }
    let version = fs::read(data.join("PG_VERSION")).unwrap_or_default();
    match leading_number(&String::from_utf8_lossy(&version)) {
        Some(major) => Ok(Some(major)),
        None => Err(ClusterError::NotACluster {
            directory: data.to_path_buf(),
        }),
    }
}

/// Creates the cluster. It appears under its name when it is complete, so being killed half way leaves no
/// broken one. `durable` says whether to wait until it is safely on disk.
pub(super) async fn create(
    layout: &Layout,
    binaries: &Binaries,
    log: &PostgresLog,
    durable: bool,
) -> Result<(), ClusterError> {
    remove_unfinished(layout.root());
    // Not a name that an initdb of a killed portal could still be writing to.
    let draft = layout.root().join(format!("{UNFINISHED}{}", std::process::id()));
    let data = layout.data();

    let start = log.len();
    if !initdb(&draft, layout.account(), binaries, log, durable, LOCALE).await? {
        let output = log.since(start);
        if !output.contains("locale") {
            return Err(ClusterError::Initdb {
                output,
                log: log.path().to_path_buf(),
            });
        }
        tracing::debug!("The locale C.UTF-8 is missing, so the database gets none");
        let start = log.len();
        if !initdb(&draft, layout.account(), binaries, log, durable, NO_LOCALE).await? {
            return Err(ClusterError::Initdb {
                output: log.since(start),
                log: log.path().to_path_buf(),
            });
        }
    }

    fs::rename(&draft, &data).map_err(ClusterError::io("create", &data))?;
    if durable {
        let root = layout.root();
        File::open(root)
            .and_then(|root| root.sync_all())
            .map_err(ClusterError::io("sync", root))?;
    }
    // Again, because that initdb may have gone on writing while its folder was removed.
    remove_unfinished(layout.root());
    Ok(())
}

/// Runs `initdb`; false when it failed.
async fn initdb(
    data: &Path,
    account: &Account,
    binaries: &Binaries,
    log: &PostgresLog,
    durable: bool,
    locale: &str,
) -> Result<bool, ClusterError> {
    // Supervised like the server, so that it does not go on after a portal that was killed.
    let mut initdb = Supervised::spawn(&binaries.initdb(), account, log, |command| {
        // Whoever reaches the socket may connect: the permissions of its folder are the authentication.
        command.args(["--auth=trust", "--encoding=UTF8", locale, "-U", USER]);
        if !durable {
            command.arg("--no-sync");
        }
        command.arg("-D").arg(data);
    })?;
    Ok(initdb.wait().await.is_ok_and(|status| status.success()))
}

/// Removes clusters that were never completed. What cannot be removed now is only in the way of nothing.
fn remove_unfinished(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else {
        return;
    };
    for entry in entries.flatten().filter(|entry| {
        entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(UNFINISHED.as_bytes())
    }) {
        if let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::debug!(directory = %entry.path().display(), %error, "An unfinished database was not removed");
        }
    }
}
