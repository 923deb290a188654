//! A real PgBouncer in front of a test's Postgres.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::unistd::{Uid, User};
use sqlx::postgres::PgConnectOptions;
use tokio::process::{Child, Command};

use super::{DIRECTORY, Postgres, wait_until};

pub struct PgBouncer {
    /// Ends with the value.
    _child: Child,
    address: SocketAddr,
}

/// `None`: it is not installed.
fn program() -> Option<PathBuf> {
    // Debian installs it where only root searches.
    let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    folders
        .split(':')
        .map(|folder| Path::new(folder).join("pgbouncer"))
        .find(|path| path.exists())
}

impl PgBouncer {
    /// Starts PgBouncer with its defaults and these settings. `None`: it is not installed.
    pub async fn start(postgres: &Postgres, name: &str, settings: &[(&str, &str)]) -> Option<Self> {
        let program = program()?;
        let options: PgConnectOptions = postgres.url.parse().expect("an address");
        let socket_dir = options
            .get_socket()
            .map_or_else(|| options.get_host().into(), |path| path.display().to_string());
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let mut file = format!(
            "[databases]\nportal = host={socket_dir} port={} user={} dbname=portal\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\n",
            options.get_port(),
            options.get_username(),
            address.port(),
        );
        for (name, value) in settings {
            file += &format!("{name} = {value}\n");
        }
        let config = DIRECTORY.join(format!("{name}.ini"));
        fs::write(&config, file).expect("a configuration");
        let log = fs::File::create(DIRECTORY.join(format!("{name}.log"))).expect("a log");
        let mut command = Command::new(program);
        if Uid::effective().is_root() {
            // It does not run as root. Only the user of Postgres can reach the socket.
            let owner = fs::metadata(&socket_dir).expect("the socket's folder").uid();
            let owner = User::from_uid(Uid::from_raw(owner))
                .expect("users")
                .expect("a user");
            command.arg("-u").arg(owner.name);
        }
        let child = command
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("pgbouncer starts");
        wait_until("PgBouncer listens", async || TcpStream::connect(address).is_ok()).await;
        Some(Self {
            _child: child,
            address,
        })
    }

    /// Returns the value for `DATABASE_URL`.
    pub fn url(&self) -> String {
        format!("postgres://portal@{}/portal", self.address)
    }
}
