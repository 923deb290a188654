//! The directory of this test process. Statics are never dropped, so a shell removes the directory when the process
//! ends in any way. A later run removes what remains.

use std::{
    env,
    fs::{self, DirBuilder, File},
    io,
    os::unix::{fs::DirBuilderExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    sys::{signal::kill, statvfs::statvfs},
    unistd::Pid,
};

const PREFIX: &str = "broker-portal-tests-";

/// Linux's file system in memory, where copying a database is ten times as fast as on a busy disk.
const IN_MEMORY: &str = "/dev/shm";

/// Required free space in bytes. A run needs a few hundred megabytes; containers often have 64.
const MIN_FREE_BYTES: u64 = 2 << 30;

/// Waits for the end of its input, which this process holds open, then for Postgres to stop. Then removes the
/// directory, and the clusters that root had to keep elsewhere.
const CLEANUP_SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
directory=$1
while read -r _; do :; done
tries=0
for cluster in "$directory" "$directory"/*/; do
    moved=
    if [ -f "$cluster/postgres.moved" ]; then moved=$(cat "$cluster/postgres.moved"); fi
    while [ -e "${moved:-$cluster/postgres}/data/postmaster.pid" ] && [ "$tries" -lt 90 ]; do
        sleep 1
        tries=$((tries + 1))
    done
    case $moved in /var/lib/broker-portal/?*) rm -rf -- "$moved" ;; esac
done
rm -rf -- "$directory"
"#;

/// Creates the directory and starts the shell that removes it.
pub fn create() -> io::Result<PathBuf> {
    remove_stale();
    let in_memory = Path::new(IN_MEMORY);
    let has_room =
        statvfs(in_memory).is_ok_and(|disk| disk.blocks_available() * disk.fragment_size() >= MIN_FREE_BYTES);
    let parent = if has_room {
        in_memory.to_path_buf()
    } else {
        env::temp_dir()
    };
    let path = parent.join(format!("{PREFIX}{}", std::process::id()));
    // The user that runs Postgres for root must be able to enter it.
    DirBuilder::new().mode(0o755).create(&path)?;
    let path = fs::canonicalize(path)?;
    let watch = Command::new("/bin/sh")
        .args(["-c", CLEANUP_SCRIPT, "sh"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C for the tests must not end it.
        .process_group(0)
        .spawn()?;
    // The other end of its input stays open as long as this process lives.
    std::mem::forget(watch);
    Ok(path)
}

/// Removes directories of ended runs.
fn remove_stale() {
    let parents = [PathBuf::from(IN_MEMORY), env::temp_dir()];
    let entries = parents.iter().flat_map(fs::read_dir).flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some(pid) = name.strip_prefix(PREFIX).and_then(|pid| pid.parse().ok()) else {
            continue;
        };
        if is_alive(pid) || is_owned(&path) {
            continue;
        }
        let moved = fs::read_to_string(path.join("postgres.moved"))
            .ok()
            .map(PathBuf::from);
        let root = moved.clone().unwrap_or_else(|| path.join("postgres"));
        let postmaster = fs::read_to_string(root.join("data/postmaster.pid")).unwrap_or_default();
        if postmaster
            .lines()
            .next()
            .and_then(|pid| pid.parse().ok())
            .is_some_and(is_alive)
        {
            // Still shutting down; the run's own shell removes it.
            continue;
        }
        if let Some(moved) = moved.filter(|moved| moved.starts_with("/var/lib/broker-portal")) {
            drop(fs::remove_dir_all(moved));
        }
        drop(fs::remove_dir_all(path));
    }
}

fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// The process id may be reused, but the kernel releases the lock on the cluster.
fn is_owned(path: &Path) -> bool {
    File::open(path.join("postgres.lock")).is_ok_and(|lock| lock.try_lock_shared().is_err())
}
