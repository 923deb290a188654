//! The real server as a process.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

use super::{Credential, DIRECTORY, Postgres, Proxy, Request, Response, wait_until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_broker-portal");

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Starts a server with these settings and waits until it is ready.
    pub async fn start(postgres: &Postgres, settings: &[(&str, &str)]) -> Self {
        let mut command = Self::command(postgres);
        command.envs(settings.iter().copied());
        Self::run(command).await
    }

    /// Starts a server that reaches its database through `proxy`.
    pub async fn start_through(proxy: &Proxy, postgres: &Postgres) -> Self {
        let mut command = Self::command(postgres);
        command.env("DATABASE_URL", proxy.url());
        Self::run(command).await
    }

    /// Prepares `broker-portal` for this database, without the settings of this shell.
    pub fn command(postgres: &Postgres) -> Command {
        Self::isolated(Command::new(PROGRAM), postgres)
    }

    /// Prepares it with a limit of open files.
    pub fn command_with_files(postgres: &Postgres, files: u32) -> Command {
        let mut shell = Command::new("sh");
        let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        shell.args(["-c", &script, PROGRAM]);
        Self::isolated(shell, postgres)
    }

    fn isolated(mut command: Command, postgres: &Postgres) -> Command {
        for (name, _) in std::env::vars() {
            if name.starts_with("PORTAL_") || name.starts_with("LEPTOS_") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command
            .env("DATABASE_URL", &postgres.url)
            .env("PORTAL_DEMO", "off")
            .env("LEPTOS_SITE_ROOT", DIRECTORY.join("site"))
            .current_dir(&*DIRECTORY);
        command
    }

    /// Runs the server until it is ended.
    pub async fn run(command: Command) -> Self {
        Self::run_at(Ipv4Addr::LOCALHOST, command).await
    }

    /// Runs the server on `ip`.
    pub async fn run_at(ip: Ipv4Addr, command: Command) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let log = DIRECTORY.join(format!("server-{}.log", NEXT.fetch_add(1, Ordering::Relaxed)));
        let output = File::create(&log).expect("a log");
        let copy = output.try_clone().expect("a log");
        Self::spawn(ip, command, [copy.into(), output.into()], log).await
    }

    /// Runs the server with other standard output and error. A failed test shows `log`.
    pub async fn run_with_output(command: Command, output: Stdio, errors: Stdio, log: PathBuf) -> Self {
        Self::spawn(Ipv4Addr::LOCALHOST, command, [output, errors], log).await
    }

    async fn spawn(ip: Ipv4Addr, mut command: Command, [output, errors]: [Stdio; 2], log: PathBuf) -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        command
            .arg("serve")
            .env(
                "LEPTOS_SITE_ADDR",
                SocketAddr::new(ip.into(), address.port()).to_string(),
            )
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true);
        let child = command.spawn().expect("broker-portal starts");
        let mut server = Self { child, address, log };
        wait_until("the server is ready", async || {
            let ended = server.child.try_wait().expect("a status");
            assert!(ended.is_none(), "the server ended: {ended:?}");
            let ready = Request::new("GET", "/readyz", &Credential::Nothing)
                .send(address)
                .await;
            ready.is_ok_and(|response| response.status == 200)
        })
        .await;
        server
    }

    /// Sends a request to the server, which must be reachable.
    pub async fn send(&self, request: Request) -> Response {
        request.send(self.address).await.expect("a response")
    }

    pub async fn get(&self, path: &str, credential: &Credential) -> Response {
        self.send(Request::new("GET", path, credential)).await
    }

    /// Returns what it has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("a server that runs")
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id().cast_signed()), signal).expect("a signal");
    }

    /// Kills it without a chance to finish anything.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    pub async fn exited(&mut self) -> ExitStatus {
        self.child.wait().await.expect("a status")
    }

    /// Returns whether the process is still the same.
    pub fn still_runs(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_none()
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "for whoever watches the tests")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "the server's log ends:\n{}",
                lines[lines.len().saturating_sub(12)..].join("\n")
            );
        }
    }
}
