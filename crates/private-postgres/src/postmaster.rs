//! Stops a Postgres process that an earlier portal left running, and handles a stale `postmaster.pid`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::POLL_INTERVAL;
use super::account::Account;
use super::error::ClusterError;
use super::supervisor::{FAST_SHUTDOWN_TIMEOUT, IMMEDIATE_SHUTDOWN_TIMEOUT};

/// Signals for an orphaned Postgres, in order, with the time to wait after each.
const SIGNALS: [(Signal, Duration); 3] = [
    (Signal::SIGINT, FAST_SHUTDOWN_TIMEOUT),
    (Signal::SIGQUIT, IMMEDIATE_SHUTDOWN_TIMEOUT),
    (Signal::SIGKILL, Duration::from_secs(5)),
];

/// Stops a Postgres process that still uses `data`. The caller owns the cluster, so the portal that started the process
/// has ended.
///
/// Returns the process id of a stale `postmaster.pid`, for example after a power loss. Another program may have this id
/// now, which would prevent a start.
pub(super) async fn stop_orphan(data: &Path, account: &Account) -> Result<Option<i32>, ClusterError> {
    let file = data.join("postmaster.pid");
    let content = match fs::read(&file) {
        Ok(content) => content,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(ClusterError::io("read", &file)(cause)),
    };
    let content = String::from_utf8_lossy(&content);
    // Postgres writes a negative id in single-user mode.
    let pid = content
        .lines()
        .next()
        .and_then(|line| line.trim().parse::<i32>().ok())
        .and_then(i32::checked_abs);
    let Some(pid) = pid.filter(|&pid| pid > 1) else {
        // A power loss can leave the file empty or full of zeros. Postgres then refuses to start.
        fs::remove_file(&file).map_err(ClusterError::io("remove", &file))?;
        return Ok(None);
    };
    if !is_postmaster(pid, data, account).await {
        return Ok(Some(pid));
    }
    tracing::info!(pid, "stopping postgres of an earlier portal process");
    for (signal, wait_time) in SIGNALS {
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::warn!(pid, %signal, %error, "signal not sent to postgres"),
        }
        let deadline = Instant::now() + wait_time;
        while Instant::now() < deadline {
            if !is_postmaster(pid, data, account).await {
                return Ok(Some(pid));
            }
            sleep(POLL_INTERVAL).await;
        }
    }
    Err(ClusterError::StillRunning { pid })
}

/// Returns whether a process is the postmaster of the cluster in `data`. The id alone is not enough: ids are reused, and
/// root must not signal an arbitrary process that another user wrote into the file.
async fn is_postmaster(pid: i32, data: &Path, account: &Account) -> bool {
    let process = find_process(pid).await;
    process.is_some_and(|(owner, command_line)| {
        owner == account.uid() && is_postmaster_command(&command_line, data)
    })
}

/// Returns whether a command line starts a postmaster for `data`. Spaces separate its arguments. Postgres' child
/// processes replace their command lines.
fn is_postmaster_command(command_line: &[u8], data: &Path) -> bool {
    let expected = [b"postgres -D ", data.as_os_str().as_bytes()].concat();
    let start = command_line
        .windows(expected.len())
        .position(|part| part == expected);
    start.is_some_and(|start| {
        matches!(
            command_line.get(start + expected.len()),
            None | Some(b' ' | b'\n')
        )
    })
}

/// Returns the user id and the command line of a process. `None`: it does not run.
pub(super) async fn find_process(pid: i32) -> Option<(u32, Vec<u8>)> {
    if Path::new("/proc/self/cmdline").exists() {
        let directory = Path::new("/proc").join(pid.to_string());
        let mut command_line = fs::read(directory.join("cmdline")).ok()?;
        for byte in command_line.iter_mut().filter(|byte| **byte == 0) {
            *byte = b' ';
        }
        return Some((fs::metadata(directory).ok()?.uid(), command_line));
    }
    let mut ps = Command::new("ps");
    ps.args(["-ww", "-o", "uid=", "-o", "command=", "-p"])
        .arg(pid.to_string())
        .kill_on_drop(true);
    let output = ps.output().await.ok()?.stdout;
    let line = output.trim_ascii_start();
    let space = line.iter().position(u8::is_ascii_whitespace)?;
    let (uid, command_line) = line.split_at(space);
    Some((
        std::str::from_utf8(uid).ok()?.parse().ok()?,
        command_line.to_vec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_clusters_postmaster_is_recognized() {
        let data = Path::new("/srv/my portal/postgres/data");
        for (command_line, is_postmaster) in [
            (
                "/usr/bin/postgres -D /srv/my portal/postgres/data -c port=5432 ",
                true,
            ),
            ("/usr/bin/postgres -D /srv/my portal/postgres/data", true),
            ("/usr/bin/postgres -D /srv/my portal/postgres/data2 ", false),
            ("postgres: checkpointer ", false),
        ] {
            let found = is_postmaster_command(command_line.as_bytes(), data);
            assert_eq!(found, is_postmaster, "{command_line}");
        }
    }

    #[tokio::test]
    async fn process_id_finds_its_process() {
        let own = i32::try_from(std::process::id()).expect("a process id");
        let (uid, command_line) = find_process(own).await.expect("this process runs");
        assert_eq!(uid, nix::unistd::Uid::effective().as_raw());
        assert!(!command_line.is_empty());
        assert!(find_process(i32::MAX).await.is_none());
    }
}
