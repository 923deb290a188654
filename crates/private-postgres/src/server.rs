//! Starts Postgres on the cluster's files, and starts it again when it dies.

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
use super::postmaster::stop_leftover;
use super::supervisor::Supervised;

/// How long Postgres may take until it accepts connections, recovery after a crash included.
pub(super) const READY: Duration = Duration::from_secs(60);

/// How often it is tried to connect meanwhile.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// What Postgres says when processes of an earlier one on the same files have not ended yet.
const STILL_IN_USE: [&str; 2] = [
    "pre-existing shared memory block",
    "lock file \"postmaster.pid\" already exists",
];

/// The pause before Postgres is started again after it died. It doubles each time, up to the longest, and is
/// short again once Postgres has been up for the time given last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const STEADY: Duration = Duration::from_secs(60);

/// Postgres on the cluster's files.
#[derive(Debug)]
pub(super) struct Server {
    layout: Layout,
    socket_dir: PathBuf,
    binaries: Binaries,
    settings: Vec<(String, String)>,
    log: PostgresLog,
    process: Option<Supervised>,
}

impl Server {
    pub(super) fn new(
        layout: Layout,
        socket_dir: PathBuf,
        binaries: Binaries,
        settings: Vec<(String, String)>,
        log: PostgresLog,
    ) -> Self {
        Self {
            layout,
            socket_dir,
            binaries,
            settings,
            log,
            process: None,
        }
    }

    /// Starts Postgres and waits until it accepts connections.
    pub(super) async fn start(&mut self) -> Result<(), ClusterError> {
        let deadline = Instant::now() + READY;
        loop {
            let stale = stop_leftover(&self.layout.data(), self.layout.account()).await?;
            self.remove_stale_socket()?;
            let start = self.log.len();
            let process = self.process.insert(self.spawn(stale)?);
            let ended = tokio::select! {
                _ = process.wait() => true,
                () = ready(&self.socket_dir) => return Ok(()),
                () = sleep_until(deadline) => false,
            };
            let output = self.log.since(start);
            if !ended {
                self.stop().await;
                return Err(ClusterError::NotReady {
                    seconds: READY.as_secs(),
                    output,
                    log: self.log.path().to_path_buf(),
                });
            }
            self.process = None;
            let still_in_use = STILL_IN_USE.iter().any(|message| output.contains(message));
            if !still_in_use || Instant::now() >= deadline {
                return Err(ClusterError::Exited {
                    output,
                    log: self.log.path().to_path_buf(),
                });
            }
            sleep(POLL).await;
        }
    }

    fn spawn(&self, stale: Option<i32>) -> Result<Supervised, ClusterError> {
        let socket_dirs = quoted(&self.socket_dir);
        let port = PORT.to_string();
        // The last of several settings of the same name counts: callers may change the first two, but not
        // where and to whom the server answers.
        let first = [("timezone", "UTC"), ("log_timezone", "UTC")];
        let last = [
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
        Supervised::spawn(
            &self.binaries.postgres(),
            self.layout.account(),
            &self.log,
            |command| {
                command.arg("-D").arg(self.layout.data());
                for (name, value) in first.into_iter().chain(chosen).chain(last) {
                    command.arg("-c").arg(format!("{name}={value}"));
                }
                if let Some(pid) = stale {
                    // Tells Postgres not to take whoever has this number now for a postmaster. It still finds
                    // out itself whether processes of the earlier one are using the files.
                    command.env("PG_GRANDPARENT_PID", pid.to_string());
                }
            },
        )
    }

    /// Removes the socket of a Postgres that was killed. No other uses the folder, and the lock file beside
    /// the socket holds a process id that may be somebody else's by now.
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

    /// Waits until Postgres has ended, and says how.
    async fn ended(&mut self) -> String {
        let status = match &mut self.process {
            Some(process) => process
                .wait()
                .await
                .map_or_else(|error| error.to_string(), |status| status.to_string()),
            None => "not started".to_owned(),
        };
        self.process = None;
        status
    }

    /// Shuts Postgres down, if it runs, and waits until it has ended.
    pub(super) async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }

    /// Keeps Postgres running until the sender of `stop` is used or dropped, then shuts it down and gives up ownership.
    pub(super) async fn keep(
        mut self,
        ownership: Ownership,
        mut stop: oneshot::Receiver<()>,
    ) -> Result<(), ClusterError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let since = Instant::now();
            let status = tokio::select! {
                _ = &mut stop => break,
                status = self.ended() => status,
            };
            tracing::error!(%status, log = %self.log.path().display(), "Postgres ended unexpectedly and is started again");
            if since.elapsed() >= STEADY {
                pause = FIRST_PAUSE;
            }
            tokio::select! {
                _ = &mut stop => break,
                () = self.restart(&mut pause) => tracing::info!("Postgres is running again"),
            }
        }
        self.stop().await;
        // The shell that watches over Postgres may have been killed, and Postgres not.
        stop_leftover(&self.layout.data(), self.layout.account()).await?;
        self.layout.remove_socket_dir(&self.socket_dir);
        drop(ownership);
        Ok(())
    }

    async fn restart(&mut self, pause: &mut Duration) {
        loop {
            sleep(*pause).await;
            *pause = LONGEST_PAUSE.min(*pause * 2);
            match self.start().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(%error, seconds = pause.as_secs_f64(), "Postgres could not be started again; it is tried once more");
                }
            }
        }
    }
}

/// Waits until Postgres accepts connections.
async fn ready(socket_dir: &Path) {
    while !client::is_ready(socket_dir).await {
        sleep(POLL).await;
    }
}

/// A path as an element of Postgres' comma-separated list of folders.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('"', "\"\""))
}
