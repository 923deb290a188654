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

/// How long a fast shutdown may take. It writes out what is in memory, so this is generous.
const FAST: Duration = Duration::from_secs(30);

/// How long an immediate shutdown may take.
const IMMEDIATE: Duration = Duration::from_secs(10);

/// Runs its arguments as a program, and ends that program when its own standard input ends.
///
/// Only the portal holds the other end of that input, and the kernel closes it when the portal dies, even of
/// `kill -9`. The signal is repeated because the first may come before Postgres has asked to get it. The
/// shell itself ignores the signals that a terminal or a service manager sends to whole groups, because the
/// one it waits for would be left alone; Postgres sets its own handlers for all of them.
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

/// A program and the shell that watches over it. Dropping this ends the program, without waiting for that.
#[derive(Debug)]
pub(super) struct Supervised {
    shell: Child,
    /// The shell and the program are a process group of their own, so that Ctrl-C in the portal's terminal
    /// does not end Postgres before the portal has finished its requests.
    group: Option<Pid>,
    /// Closing this end of the pipe makes the shell end the program. Kept apart from `shell`, whose `wait`
    /// would close it. Other programs the portal runs do not inherit it.
    lifeline: Option<ChildStdin>,
}

impl Supervised {
    /// Starts a program as the cluster's user; what it prints goes to the log.
    pub(super) fn spawn(
        program: &Path,
        account: &Account,
        log: &PostgresLog,
        configure: impl FnOnce(&mut Command),
    ) -> Result<Self, ClusterError> {
        let output = log.appender()?;
        let errors = log.appender()?;
        let mut command = account.command("/bin/sh");
        command.args(["-c", SCRIPT, "sh"]).arg(program);
        command
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        configure(&mut command);
        let mut shell = command.spawn().map_err(|cause| ClusterError::Spawn {
            program: program.to_path_buf(),
            user: account.name().to_owned(),
            cause,
        })?;
        let group = shell
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let lifeline = shell.stdin.take();
        Ok(Self {
            shell,
            group,
            lifeline,
        })
    }

    /// Waits until the program has ended. Can be dropped and called again.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.shell.wait().await;
        // From now on the number may name another group.
        self.group = None;
        status
    }

    /// Ends the program and waits until it has ended: by a fast shutdown, and if that takes too long, with
    /// less patience.
    pub(super) async fn stop(mut self) {
        self.lifeline = None;
        if timeout(FAST, self.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(
            seconds = FAST.as_secs(),
            "Postgres did not stop in time and is stopped at once; it recovers at the next start"
        );
        self.signal(Signal::SIGQUIT);
        if timeout(IMMEDIATE, self.wait()).await.is_ok() {
            return;
        }
        self.signal(Signal::SIGKILL);
        if let Err(error) = self.wait().await {
            tracing::warn!(%error, "The end of Postgres could not be observed");
        }
    }

    fn signal(&self, signal: Signal) {
        let Some(group) = self.group else { return };
        if let Err(error) = killpg(group, signal) {
            tracing::warn!(%group, %signal, %error, "Postgres could not be sent a signal");
        }
    }
}
