//! Runs a program of Postgres so that it cannot outlive the portal.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::account::Account;
use super::error::ClusterError;
use super::log::PostgresLog;

/// Time limit for a fast shutdown, in which Postgres writes its memory to disk.
pub(super) const FAST_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// Time limit for an immediate shutdown.
pub(super) const IMMEDIATE_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs its arguments as a program, and ends that program when its own standard input ends.
///
/// Only the portal holds the other end of the pipe; the kernel closes it when the portal ends, even after `kill -9`.
/// The signal is repeated because Postgres may not have installed its handlers yet. The shell ignores group signals
/// of terminals and service managers: if it ended, Postgres would run unsupervised.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
(
    exec <&3 3<&-
    while read -r _; do :; done
    signal=INT tries=0
    while kill -s "$signal" "$program" 2>/dev/null; do
        sleep 1
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || signal=QUIT
    done
) &
watcher=$!
exec 3<&-
wait "$program"
status=$?
kill -s KILL "$watcher" 2>/dev/null
exit "$status"
"#;

/// A program and its supervising shell. Dropping it ends the program without waiting.
#[derive(Debug)]
pub(super) struct Supervised {
    /// The shell and the program have their own process group, so that Ctrl-C does not end Postgres before the portal
    /// has handled its requests.
    shell: Child,
    /// Closing this pipe makes the shell end the program. Separate from `shell`, whose `wait` would close it. Other
    /// programs that the portal starts do not inherit it.
    stdin_pipe: Option<ChildStdin>,
}

impl Supervised {
    /// Starts a program as the cluster's user. Its output goes to the log.
    pub(super) fn spawn(
        program: &Path,
        account: &Account,
        log: &PostgresLog,
        configure: impl FnOnce(&mut Command),
    ) -> Result<Self, ClusterError> {
        let mut command = account.command("/bin/sh");
        command
            .args(["-c", SCRIPT, "sh"])
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(log.appender()?)
            .stderr(log.appender()?)
            .process_group(0);
        configure(&mut command);
        let mut shell = command.spawn().map_err(|cause| ClusterError::Spawn {
            program: program.to_path_buf(),
            user: account.name().to_owned(),
            cause,
        })?;
        let stdin_pipe = shell.stdin.take();
        Ok(Self { shell, stdin_pipe })
    }

    /// Waits for the exit of the program. Cancel-safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.shell.wait().await
    }

    /// Stops the program and waits for its exit: fast shutdown, then SIGQUIT, then SIGKILL.
    pub(super) async fn stop(mut self) {
        self.stdin_pipe = None;
        if timeout(FAST_SHUTDOWN_TIMEOUT, self.wait()).await.is_ok() {
            return;
        }
        // Postgres recovers at the next start.
        let timeout_seconds = FAST_SHUTDOWN_TIMEOUT.as_secs();
        tracing::warn!(
            timeout_seconds,
            "postgres shutdown timed out, stopping immediately"
        );
        self.signal(Signal::SIGQUIT);
        if timeout(IMMEDIATE_SHUTDOWN_TIMEOUT, self.wait()).await.is_ok() {
            return;
        }
        self.signal(Signal::SIGKILL);
        if let Err(error) = self.wait().await {
            tracing::warn!(%error, "postgres exit status unknown");
        }
    }

    /// Signals the process group, unless `wait` has returned: then another group may have its id.
    fn signal(&self, signal: Signal) {
        let Some(group) = self.shell.id().and_then(|id| i32::try_from(id).ok()) else {
            return;
        };
        if let Err(error) = killpg(Pid::from_raw(group), signal) {
            tracing::warn!(group, %signal, %error, "signal not sent to postgres");
        }
    }
}
