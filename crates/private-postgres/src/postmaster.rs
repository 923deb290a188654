//! Deals with a Postgres that an earlier portal left running, or only its `postmaster.pid`.

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

use super::account::Account;
use super::error::ClusterError;

/// What is tried on a leftover Postgres, and how long each may take.
const SIGNALS: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(30)),
    (Signal::SIGQUIT, Duration::from_secs(10)),
    (Signal::SIGKILL, Duration::from_secs(5)),
];

/// How often a process is looked at while waiting for its end.
const POLL: Duration = Duration::from_millis(50);

/// Ends a Postgres that still runs on `data`, so that a new one can start. The caller owns the cluster, so
/// whoever started it is gone.
///
/// Returns the process id of a `postmaster.pid` that is only a remnant (after a power loss, say). By now that
/// number may belong to any other process, which would keep Postgres from starting.
pub(super) async fn stop_leftover(data: &Path, account: &Account) -> Result<Option<i32>, ClusterError> {
    let file = data.join("postmaster.pid");
    let content = match fs::read(&file) {
        Ok(content) => content,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(ClusterError::io("read", &file)(cause)),
    };
    let content = String::from_utf8_lossy(&content);
    // Postgres writes the number negative while it runs without a postmaster.
    let pid = content
        .lines()
        .next()
        .and_then(|line| line.trim().parse::<i32>().ok())
        .and_then(i32::checked_abs);
    let Some(pid) = pid.filter(|&pid| pid > 1) else {
        // A power loss can leave the file empty or full of zeros, with which Postgres refuses to start.
        fs::remove_file(&file).map_err(ClusterError::io("remove", &file))?;
        return Ok(None);
    };
    if !is_postmaster(pid, data, account).await {
        return Ok(Some(pid));
    }
    tracing::info!(
        pid,
        "Postgres of an earlier portal process still runs and is stopped first"
    );
    for (signal, patience) in SIGNALS {
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => {
                tracing::warn!(pid, %signal, %error, "The earlier Postgres could not be sent a signal")
            }
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if !is_postmaster(pid, data, account).await {
                return Ok(Some(pid));
            }
            sleep(POLL).await;
        }
    }
    Err(ClusterError::StillRunning { pid })
}

/// Whether a process is the postmaster of the cluster in `data`. Its number alone does not tell, because
/// numbers are used again; root in particular must not signal whatever a file written by another user names.
async fn is_postmaster(pid: i32, data: &Path, account: &Account) -> bool {
    let Some((owner, command_line)) = process(pid).await else {
        return false;
    };
    owner == account.uid() && names_postmaster(&command_line, data)
}

/// Whether a command line, its arguments separated by spaces, is that of a postmaster on `data`. The
/// postmaster keeps the command line it was started with; its children change theirs.
fn names_postmaster(command_line: &[u8], data: &Path) -> bool {
    let mut expected = b"postgres -D ".to_vec();
    expected.extend_from_slice(data.as_os_str().as_bytes());
    let place = command_line
        .windows(expected.len())
        .position(|part| part == expected);
    place.is_some_and(|place| {
        matches!(
            command_line.get(place + expected.len()),
            None | Some(b' ' | b'\n')
        )
    })
}

/// The user id and the command line of a process; `None` if it does not run.
pub(super) async fn process(pid: i32) -> Option<(u32, Vec<u8>)> {
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
    fn only_the_clusters_own_postmaster_is_recognised() {
        let data = Path::new("/srv/my portal/postgres/data");
        assert!(names_postmaster(
            b"/usr/bin/postgres -D /srv/my portal/postgres/data -c port=5432 ",
            data
        ));
        assert!(names_postmaster(
            b"/usr/bin/postgres -D /srv/my portal/postgres/data",
            data
        ));
        assert!(!names_postmaster(
            b"/usr/bin/postgres -D /srv/my portal/postgres/data2 ",
            data
        ));
        assert!(!names_postmaster(b"postgres: checkpointer ", data));
    }

    #[tokio::test]
    async fn process_id_finds_its_process() {
        let own = i32::try_from(std::process::id()).expect("a process id");
        let (uid, command_line) = process(own).await.expect("this process runs");
        assert_eq!(uid, nix::unistd::Uid::effective().as_raw());
        assert!(!command_line.is_empty());
        assert!(process(i32::MAX).await.is_none());
    }
}
