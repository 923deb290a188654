//! Creates the cluster's files on first use.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use super::binaries::{Binaries, leading_number};
use super::client::SUPERUSER;
use super::error::ClusterError;
use super::layout::Layout;
use super::log::PostgresLog;
use super::supervisor::Supervised;

/// Name prefix of an unfinished cluster. The process id of its creator follows.
const UNFINISHED_PREFIX: &str = "data.new-";

/// The locale for a language-independent order of Unicode text. Not every system has it.
const LOCALE: &str = "--locale=C.UTF-8";
const NO_LOCALE: &str = "--no-locale";

/// Returns the major version that created the cluster. `None`: there is no cluster yet.
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
    let major = leading_number(&String::from_utf8_lossy(&version));
    let not_a_cluster = || ClusterError::NotACluster {
        directory: data.to_path_buf(),
    };
    major.ok_or_else(not_a_cluster).map(Some)
}

/// Creates the cluster in a temporary directory and renames it when it is complete, so that a crash leaves no partial
/// cluster.
pub(super) async fn create(
    layout: &Layout,
    binaries: &Binaries,
    log: &PostgresLog,
    sync_to_disk: bool,
) -> Result<(), ClusterError> {
    let root = layout.root();
    remove_unfinished(root);
    // The process id makes the name unique: an initdb of a killed portal may still write to another one.
    let draft = root.join(format!("{UNFINISHED_PREFIX}{}", std::process::id()));
    let initdb = async |locale| run_initdb(&draft, layout, binaries, log, sync_to_disk, locale).await;
    match initdb(LOCALE).await {
        Err(ClusterError::Initdb { output, .. }) if output.contains("locale") => {
            tracing::debug!("locale C.UTF-8 missing, database created without locale");
            initdb(NO_LOCALE).await?;
        }
        result => result?,
    }

    let data = layout.data();
    fs::rename(&draft, &data).map_err(ClusterError::io("create", &data))?;
    if sync_to_disk {
        File::open(root)
            .and_then(|root| root.sync_all())
            .map_err(ClusterError::io("sync", root))?;
    }
    // Repeat: an initdb of a killed portal may have recreated its directory.
    remove_unfinished(root);
    Ok(())
}

async fn run_initdb(
    data: &Path,
    layout: &Layout,
    binaries: &Binaries,
    log: &PostgresLog,
    sync_to_disk: bool,
    locale: &str,
) -> Result<(), ClusterError> {
    let log_start = log.len();
    // Supervised, so that it ends with the portal.
    let mut initdb = Supervised::spawn(&binaries.initdb(), layout.account(), log, |command| {
        // No passwords: access is restricted by the permissions of the socket directory.
        command.args(["--auth=trust", "--encoding=UTF8", locale, "-U", SUPERUSER]);
        if !sync_to_disk {
            command.arg("--no-sync");
        }
        command.arg("-D").arg(data);
    })?;
    if initdb.wait().await.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err(ClusterError::Initdb {
        output: log.since(log_start),
        log: log.path().to_path_buf(),
    })
}

/// Removes unfinished clusters. An error is only logged, because such a directory does no harm.
fn remove_unfinished(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(UNFINISHED_PREFIX.as_bytes())
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::debug!(directory = %entry.path().display(), %error, "unfinished cluster not removed");
        }
    }
}
