//! A minimal HTTP client: one connection per request, which the server closes after its response.

use std::{io, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The credential of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    Nothing,
    Cookie(String),
    Bearer(String),
}

#[derive(Clone, Debug)]
pub struct Request {
    text: String,
    body: String,
}

impl Request {
    pub fn new(method: &str, path: &str, credential: &Credential) -> Self {
        let shown = match credential {
            Credential::Nothing => String::new(),
            Credential::Cookie(cookie) => format!("cookie: {cookie}\r\n"),
            Credential::Bearer(token) => format!("authorization: Bearer {token}\r\n"),
        };
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: portal\r\nuser-agent: Faults/1.0\r\nconnection: close\r\n{shown}"
        );
        Self {
            text,
            body: String::new(),
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.text += &format!("{name}: {value}\r\n");
        self
    }

    pub fn json(mut self, value: &Value) -> Self {
        self.body = value.to_string();
        self.header("content-type", "application/json")
    }

    pub fn form(mut self, encoded: &str) -> Self {
        encoded.clone_into(&mut self.body);
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    /// Connects and sends the request.
    pub async fn write(self, address: SocketAddr) -> io::Result<TcpStream> {
        let mut connection = TcpStream::connect(address).await?;
        let whole = format!(
            "{}content-length: {}\r\n\r\n{}",
            self.text,
            self.body.len(),
            self.body
        );
        connection.write_all(whole.as_bytes()).await?;
        Ok(connection)
    }

    /// Sends the request and reads the response.
    ///
    /// # Errors
    /// The server is unreachable, or the connection closed before the response was complete.
    pub async fn send(self, address: SocketAddr) -> io::Result<Response> {
        Response::read(self.write(address).await?).await
    }
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// Status line and headers, one per line, in lower case.
    pub head: String,
    pub body: String,
}

impl Response {
    async fn read(mut connection: TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes).await?;
        let text = String::from_utf8_lossy(&bytes);
        let cut_off = || io::Error::new(io::ErrorKind::UnexpectedEof, "the response was cut off");
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut_off)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let response = Self {
            status: status.ok_or_else(cut_off)?,
            head: head.to_owned(),
            body: body.to_owned(),
        };
        let whole = match response.header("content-length") {
            Some(length) => length == body.len().to_string(),
            None => response.header("transfer-encoding").is_none() || body.ends_with("0\r\n\r\n"),
        };
        whole.then_some(response).ok_or_else(cut_off)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.head.lines().filter_map(move |line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn body(&self) -> &str {
        &self.body
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Returns whether this is a 503 with Retry-After that signs nobody out and contains no internal details.
    pub fn is_valid_503(&self) -> bool {
        self.status == 503
            && self
                .header("retry-after")
                .is_some_and(|after| after.parse::<u32>().is_ok())
            && self.header("set-cookie").is_none()
            && !self.body.contains("sqlx")
    }
}
