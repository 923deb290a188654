//! The name of this server among those that share its database.

use std::net::SocketAddr;

/// Host name and port: `web-1:3000`. Servers on one host differ by port.
pub fn name(address: SocketAddr) -> String {
    let machine = nix::unistd::gethostname().map_or_else(
        |_| "unknown".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    // The limit of the column; host names are shorter.
    let machine: String = machine.chars().take(190).collect();
    format!("{machine}:{}", address.port())
}
