//! Starts Postgres, and restarts it after a crash.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::binaries::Binaries;
use super::client::{self, PORT};
use super::error::ClusterError;
use super::layout::Layout;
use super::log::PostgresLog;
use super::owner::Ownership;
use super::postmaster::stop_orphan;
use super::supervisor::Supervised;
use super::{POLL_INTERVAL, START_TIMEOUT};

/// Messages of Postgres when processes of an earlier instance still use the data directory.
const STILL_IN_USE: [&str; 2] = [
    "pre-existing shared memory block",
    "lock file \"postmaster.pid\" already exists",
];

/// First restart delay. It doubles with each failure.
const INITIAL_BACKOFF: Duration = Duration::from_millis(200);

/// Longest restart delay.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Uptime after which the restart delay is reset.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// The Postgres process of the cluster, and what is needed to restart it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) layout: Layout,
    pub(super) socket_dir: PathBuf,
    pub(super) binaries: Binaries,
    pub(super) settings: Vec<(String, String)>,
    pub(super) log: PostgresLog,
    pub(super) process: Option<Supervised>,
}

impl Server {
    /// Starts Postgres and waits until it accepts connections.
    pub(super) async fn start(&mut self) -> Result<(), ClusterError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let stale_pid = stop_orphan(&self.layout.data(), self.layout.account()).await?;
            self.remove_stale_socket()?;
            let log_start = self.log.len();
            let process = self.process.insert(self.spawn(stale_pid)?);
            let has_exited = tokio::select! {
                _ = process.wait() => true,
                () = wait_until_ready(&self.socket_dir) => return Ok(()),
                () = sleep_until(deadline) => false,
            };
            let output = self.log.since(log_start);
            let log = self.log.path().to_path_buf();
            if !has_exited {
                self.stop().await;
                return Err(ClusterError::NotReady {
                    seconds: START_TIMEOUT.as_secs(),
                    output,
                    log,
                });
            }
            self.process = None;
            let is_in_use = STILL_IN_USE.iter().any(|message| output.contains(message));
            if !is_in_use || Instant::now() >= deadline {
                return Err(ClusterError::Exited { output, log });
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    fn spawn(&self, stale_pid: Option<i32>) -> Result<Supervised, ClusterError> {
        let socket_dirs = quote_list_element(&self.socket_dir);
        let port = PORT.to_string();
        // Postgres uses the last value of a repeated setting: callers can override the time zones, but not the
        // listen address, socket, port and log.
        let defaults = [("timezone", "UTC"), ("log_timezone", "UTC")];
        let fixed = [
            ("listen_addresses", ""),
            ("unix_socket_directories", socket_dirs.as_str()),
            ("unix_socket_permissions", "0700"),
            ("port", port.as_str()),
            ("logging_collector", "off"),
            ("log_destination", "stderr"),
        ];
        let chosen = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let settings = defaults.into_iter().chain(chosen).chain(fixed);
        Supervised::spawn(
            &self.binaries.postgres(),
            self.layout.account(),
            &self.log,
            |command| {
                command.arg("-D").arg(self.layout.data());
                for (name, value) in settings {
                    command.arg("-c").arg(format!("{name}={value}"));
                }
                if let Some(pid) = stale_pid {
                    // Postgres ignores this process id in postmaster.pid, because another program may have it now.
                    // It still checks shared memory for processes of the earlier instance.
                    command.env("PG_GRANDPARENT_PID", pid.to_string());
                }
            },
        )
    }

    /// Removes the socket and its lock file after a crash. Only this cluster uses the directory, and the process id in
    /// the lock file may belong to another program.
    fn remove_stale_socket(&self) -> Result<(), ClusterError> {
        for name in [format!(".s.PGSQL.{PORT}"), format!(".s.PGSQL.{PORT}.lock")] {
            let path = self.socket_dir.join(name);
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(cause) if cause.kind() == ErrorKind::NotFound => {}
                Err(cause) => return Err(ClusterError::io("remove", &path)(cause)),
            }
        }
        Ok(())
    }

    /// Waits until Postgres exits and returns its exit status as text.
    async fn wait_for_exit(&mut self) -> String {
        let Some(process) = &mut self.process else {
            return "not started".to_owned();
        };
        let status = process.wait().await;
        self.process = None;
        status.map_or_else(|error| error.to_string(), |status| status.to_string())
    }

    /// Shuts Postgres down, if it runs, and waits for its exit.
    pub(super) async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }

    /// Restarts Postgres after crashes until `stop` is received or its sender is dropped. Then shuts Postgres down and
    /// releases the ownership.
    pub(super) async fn run_until_stopped(
        mut self,
        ownership: Ownership,
        mut stop: oneshot::Receiver<()>,
    ) -> Result<(), ClusterError> {
        let mut backoff = INITIAL_BACKOFF;
        loop {
            let started_at = Instant::now();
            let status = tokio::select! {
                _ = &mut stop => break,
                status = self.wait_for_exit() => status,
            };
            tracing::error!(%status, log = %self.log.path().display(), "postgres exited unexpectedly, restarting");
            if started_at.elapsed() >= STABLE_AFTER {
                backoff = INITIAL_BACKOFF;
            }
            tokio::select! {
                _ = &mut stop => break,
                () = self.restart(&mut backoff) => tracing::info!("postgres restarted"),
            }
        }
        self.stop().await;
        // The supervisor shell may have been killed while Postgres still runs.
        stop_orphan(&self.layout.data(), self.layout.account()).await?;
        self.layout.remove_socket_dir(&self.socket_dir);
        drop(ownership);
        Ok(())
    }

    async fn restart(&mut self, backoff: &mut Duration) {
        loop {
            sleep(*backoff).await;
            *backoff = MAX_BACKOFF.min(*backoff * 2);
            let Err(error) = self.start().await else { return };
            let retry_in_seconds = backoff.as_secs_f64();
            tracing::error!(%error, retry_in_seconds, "postgres restart failed, retrying");
        }
    }
}

/// Waits until Postgres accepts connections.
async fn wait_until_ready(socket_dir: &Path) {
    while !client::is_ready(socket_dir).await {
        sleep(POLL_INTERVAL).await;
    }
}

/// Quotes a path for a comma-separated list setting of Postgres.
fn quote_list_element(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('"', "\"\""))
}
