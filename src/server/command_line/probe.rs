//! `broker-portal health --server`

use std::{
    io::{Error, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::CommandError;
use crate::server::{config::Config, output::print_line};

/// Time limit for the response.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Checks whether the server on this machine responds.
pub async fn check_server(config: &Config) -> Result<(), CommandError> {
    let address = loopback_if_unspecified(config.site_addr);
    let response = timeout(TIMEOUT, request_health(address)).await;
    match response.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
        Ok(()) => {
            print_line!("server: ok")?;
            Ok(())
        }
        Err(source) => Err(CommandError::NoAnswer { address, source }),
    }
}

/// Replaces the unspecified address by loopback.
fn loopback_if_unspecified(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

/// Requests `/healthz`. An HTTP client would be a large dependency for one line.
async fn request_health(address: SocketAddr) -> std::io::Result<()> {
    const OK: &[u8] = b"HTTP/1.1 200 ";
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status = [0; OK.len()];
    stream.read_exact(&mut status).await?;
    if status == OK {
        Ok(())
    } else {
        Err(Error::other("the status is not 200"))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Returns whether a server with this response is healthy.
    async fn asked(response: &'static str) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.expect("a request");
            assert!(request[..read].starts_with(b"GET /healthz HTTP/1.1\r\n"));
            stream
                .write_all(response.as_bytes())
                .await
                .expect("the request task");
        });
        let well = request_health(address).await.is_ok();
        server.await.expect("asked");
        well
    }

    #[tokio::test]
    async fn status_200_means_healthy() {
        assert!(asked("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").await);
        assert!(!asked("HTTP/1.1 503 Service Unavailable\r\n\r\n").await);
        assert!(!asked("HTTP/1.1 2").await);
        assert!(!asked("").await);
    }

    #[test]
    fn wildcard_address_is_probed_on_loopback() {
        let told = |text: &str| loopback_if_unspecified(text.parse().expect("an address")).to_string();
        assert_eq!(told("0.0.0.0:3000"), "127.0.0.1:3000");
        assert_eq!(told("[::]:3000"), "[::1]:3000");
        assert_eq!(told("192.0.2.7:80"), "192.0.2.7:80");
    }
}
