//! Clients of event streams.

use std::net::SocketAddr;

use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use super::{Credential, Request, TIMEOUT};

pub struct EventStream {
    connection: TcpStream,
    /// Everything received.
    pub text: String,
}

impl EventStream {
    /// Opens a stream and reads its first block.
    pub async fn open(address: SocketAddr, credential: &Credential) -> Self {
        let request = Request::new("GET", "/api/v1/session/events", credential);
        let connection = request.write(address).await.expect("the server");
        let mut stream = Self {
            connection,
            text: String::new(),
        };
        stream.read_until("welcome").await;
        stream
    }

    /// Reads until this text arrives.
    pub async fn read_until(&mut self, text: &str) {
        while !self.text.contains(text) {
            assert!(self.read().await, "closed before {text}: {}", self.text);
        }
    }

    /// Reads to the end of the stream. Returns whether the server sent the final chunk.
    pub async fn read_to_end(&mut self) -> bool {
        while self.read().await {}
        self.text.ends_with("0\r\n\r\n")
    }

    /// Returns whether more data arrived.
    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let read = timeout(TIMEOUT, self.connection.read(&mut bytes)).await;
        let count = read.expect("data within the timeout").unwrap_or_default();
        self.text += &String::from_utf8_lossy(&bytes[..count]);
        count > 0
    }

    /// Returns the reconnection delay in milliseconds.
    pub fn retry_delay_ms(&self) -> u64 {
        let value = self.text.lines().find_map(|line| line.strip_prefix("retry:"));
        value.expect("a retry field").trim().parse().expect("a number")
    }
}
