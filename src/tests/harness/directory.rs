//! The folder of this test process. Statics are never dropped, so a shell removes it once the process has ended,
//! however it ended; what even that shell could not remove, a later run does.

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

/// Linux' own disk in memory: a database for each test is copied there ten times as fast as on a busy disk.
const IN_MEMORY: &str = "/dev/shm";

/// How much of that has to be free, in bytes. A run takes a few hundred megabytes; containers often have 64.
const MIN_FREE_BYTES: u64 = 2 << 30;

/// Waits for the end of its input, which this process alone holds open, then for the end of Postgres, and removes the
/// folder, with the clusters that root may have had to keep elsewhere.
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

/// Makes the folder and sees to it that it goes with the process.
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
    // The user that root runs Postgres as has to pass it.
    DirBuilder::new().mode(0o755).create(&path)?;
    let path = fs::canonicalize(path)?;
    let watch = Command::new("/bin/sh")
        .args(["-c", CLEANUP_SCRIPT, "sh"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Not to be ended by the Ctrl-C that ends the tests.
        .process_group(0)
        .spawn()?;
    // The other end of its input stays open for as long as this process lives.
    std::mem::forget(watch);
    Ok(path)
}

/// Removes what dead runs have left.
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
            // Still shutting down; the run's own watch removes it.
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

/// A process number may be someone else's by now; the lock on the cluster is given back by the kernel.
fn is_owned(path: &Path) -> bool {
    File::open(path.join("postgres.lock")).is_ok_and(|lock| lock.try_lock_shared().is_err())
}
