//! What this server is called among those that share its database.

use std::net::SocketAddr;

/// The machine's name and the port: `web-1:3000`. Several servers of one machine differ by the port.
pub fn name(address: SocketAddr) -> String {
    let machine = nix::unistd::gethostname().map_or_else(
        |_| "unknown".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    // As long as the database takes it; machines' names are shorter.
    let machine: String = machine.chars().take(190).collect();
    format!("{machine}:{}", address.port())
}
