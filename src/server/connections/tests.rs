//! Tests with real sockets and deadlines short enough to wait for.

use axum::{
    body::Bytes,
    routing::{get, post},
};
use futures_util::stream;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
    task::JoinHandle,
};

use super::*;

const DEADLINES: Deadlines = Deadlines {
    first_request: Duration::from_millis(1000),
    next_request: Duration::from_millis(1500),
    response: Duration::from_millis(2000),
};

/// Time limit of operations that must succeed.
const TIMEOUT: Duration = Duration::from_secs(60);

/// More than socket buffers hold.
const LARGE: usize = 64 * 1024 * 1024;

/// Takes longer than any deadline here.
const BEATS: usize = 16;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        Self::with(DEADLINES, limits).await
    }

    async fn with(deadlines: Deadlines, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new()
            .route(
                "/",
                get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }),
            )
            .route("/echo", post(|body: Bytes| async { body }))
            .route("/healthz", get(|| async { "ok" }))
            .route("/large", get(|| async { vec![b'x'; LARGE] }))
            .route("/stream", get(|| async { Body::from_stream(beats(BEATS)) }))
            .route("/endless", get(|| async { Body::from_stream(beats(usize::MAX)) }));
        let rules = Rules {
            deadlines,
            limits,
            trusted_proxies: Vec::new(),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, app, rules, async { _ = stopped.await }));
        Self { address, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connected")
    }

    async fn connect_and_send(&self, bytes: &[u8]) -> TcpStream {
        let mut connection = self.connect().await;
        connection.write_all(bytes).await.expect("sent");
        connection
    }

    async fn stop(self) {
        self.stop.send(()).expect("a server");
        let stopped = tokio::time::timeout(TIMEOUT, self.task).await;
        stopped.expect("stopped in time").expect("stopped");
    }
}

/// A stream of heartbeats, one every 200 ms.
fn beats(most: usize) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(0, move |count| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        (count < most).then(|| (Ok(Bytes::from_static(b": beat\n")), count + 1))
    })
}

fn roomy() -> Limits {
    Limits::for_files(1024)
}

fn request(path: &str, connection: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n").into_bytes()
}

/// Reads until the server closes the connection.
async fn read_until_closed(connection: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let read = tokio::time::timeout(TIMEOUT, connection.read_to_end(&mut all)).await;
    // A reset counts as a close.
    _ = read.expect("the server closes the connection");
    all
}

async fn answer_to(server: &Server, path: &str) -> String {
    let mut connection = server.connect_and_send(&request(path, "close")).await;
    String::from_utf8_lossy(&read_until_closed(&mut connection).await).into_owned()
}

#[tokio::test]
async fn clients_without_a_request_are_closed() {
    let server = Server::start(roomy()).await;
    let mut silent = Vec::new();
    let handshake = [PREFACE, SETTINGS].concat();
    for sent in [
        &b""[..],
        b"G",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        &PREFACE[..8],
        PREFACE,
        &handshake,
    ] {
        silent.push((sent, server.connect_and_send(sent).await));
    }
    let response = answer_to(&server, "/").await;
    assert!(
        response.starts_with("HTTP/1.1 200 ") && response.ends_with("127.0.0.1"),
        "{response}"
    );
    for (sent, mut connection) in silent {
        let left = read_until_closed(&mut connection).await;
        assert!(!left.starts_with(b"HTTP/1.1 200"), "{sent:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn slow_request_head_is_closed() {
    let server = Server::start(roomy()).await;
    let mut connection = server.connect_and_send(b"GET / HTTP/1.1\r\n").await;
    let dripping = async {
        while connection.write_all(b"a: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, dripping).await.expect("closed");
    server.stop().await;
}

#[tokio::test]
async fn idle_connections_are_closed_after_their_response() {
    let server = Server::start(roomy()).await;
    let mut idle = server.connect_and_send(&request("/", "keep-alive")).await;
    let response = read_until_closed(&mut idle).await;
    assert!(response.starts_with(b"HTTP/1.1 200 "));
    // HTTP/2: one request (`:method: GET`, `:scheme: http`, `:path: /`), then nothing.
    let headers = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84";
    let mut idle = server
        .connect_and_send(&[PREFACE, SETTINGS, headers].concat())
        .await;
    let response = read_until_closed(&mut idle).await;
    assert!(
        response.windows(9).any(|window| window == b"127.0.0.1"),
        "{response:?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn unread_responses_are_closed() {
    let server = Server::start(roomy()).await;
    let mut http1 = server.connect_and_send(&request("/large", "keep-alive")).await;
    // HTTP/2: the client never opens its window.
    let headers = b"\0\0\x0a\x01\x05\0\0\0\x01\x82\x86\x04\x06/large";
    let mut http2 = server
        .connect_and_send(&[PREFACE, SETTINGS, headers].concat())
        .await;
    tokio::time::sleep(3 * DEADLINES.response + CLOSE_TIMEOUT).await;
    for connection in [&mut http1, &mut http2] {
        let got = read_until_closed(connection).await;
        assert!(got.len() < LARGE, "{}", got.len());
    }
    server.stop().await;
}

#[tokio::test]
async fn slow_reader_gets_the_whole_response() {
    let server = Server::start(roomy()).await;
    let mut connection = server.connect_and_send(&request("/large", "close")).await;
    let mut part = vec![0; LARGE / 16];
    let mut received = 0;
    loop {
        // The whole response takes longer than any deadline, but no part of it does.
        tokio::time::sleep(DEADLINES.response / 8).await;
        let mut filled = 0;
        while filled < part.len() {
            match connection.read(&mut part[filled..]).await.expect("read") {
                0 => break,
                count => filled += count,
            }
        }
        received += filled;
        if filled < part.len() {
            break;
        }
    }
    assert!(received > LARGE, "{received}");
    server.stop().await;
}

#[tokio::test]
async fn active_stream_outlives_every_deadline() {
    let server = Server::start(roomy()).await;
    let response = answer_to(&server, "/stream").await;
    assert_eq!(response.matches(": beat").count(), BEATS, "{response}");
    server.stop().await;
}

#[tokio::test]
async fn silent_connections_make_room_for_health_checks() {
    let patient = Deadlines {
        first_request: TIMEOUT,
        next_request: TIMEOUT,
        response: TIMEOUT,
    };
    let limits = Limits {
        total: 8,
        per_address: 8,
    };
    let server = Server::with(patient, limits).await;
    let mut silent = Vec::new();
    for _ in 0..5 * limits.total {
        silent.push(server.connect().await);
        assert!(answer_to(&server, "/healthz").await.ends_with("ok"));
    }
    let oldest = read_until_closed(&mut silent[0]).await;
    assert_eq!(oldest, b"");
    drop(silent);

    // Streams are in use and stay; the reserve handles health checks only.
    let mut streams = Vec::new();
    for _ in 0..limits.total {
        let mut stream = server.connect_and_send(&request("/endless", "keep-alive")).await;
        read_beat(&mut stream).await;
        streams.push(stream);
    }
    assert!(answer_to(&server, "/healthz").await.ends_with("ok"));
    let refused = answer_to(&server, "/").await;
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 5"),
        "{refused}"
    );
    for stream in &mut streams {
        read_beat(stream).await;
    }
    drop(streams);
    server.stop().await;
}

#[tokio::test]
async fn unsent_response_is_not_closed_for_room() {
    let limits = Limits {
        total: 3,
        per_address: 3,
    };
    let patient = Deadlines {
        first_request: TIMEOUT,
        next_request: TIMEOUT,
        response: TIMEOUT,
    };
    let server = Server::with(patient, limits).await;
    let mut reader = server.connect_and_send(&request("/large", "close")).await;
    let mut first = [0; 1024];
    reader.read_exact(&mut first).await.expect("a response");
    let mut silent = Vec::new();
    for _ in 0..4 * limits.total {
        silent.push(server.connect().await);
    }
    assert_eq!(read_until_closed(&mut silent[0]).await, b"");
    // A closing connection may continue to write for this long.
    tokio::time::sleep(2 * CLOSE_TIMEOUT).await;
    assert!(read_until_closed(&mut reader).await.len() > LARGE - first.len());
    drop(silent);
    server.stop().await;
}

#[tokio::test]
async fn unfinished_requests_make_room() {
    let limits = Limits {
        total: 4,
        per_address: 4,
    };
    let patient = Deadlines {
        first_request: TIMEOUT,
        next_request: TIMEOUT,
        response: TIMEOUT,
    };
    let server = Server::with(patient, limits).await;
    let head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx";
    let mut unfinished = Vec::new();
    for _ in 0..limits.total {
        unfinished.push(server.connect_and_send(head).await);
    }
    let until_answered = async {
        // Single bytes do not extend the deadline.
        while !answer_to(&server, "/").await.starts_with("HTTP/1.1 200 ") {
            for connection in &mut unfinished {
                _ = connection.write_all(b"x").await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, until_answered).await.expect("room");
    drop(unfinished);
    server.stop().await;
}

#[tokio::test]
async fn unfinished_request_is_closed() {
    let server = Server::start(roomy()).await;
    let head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
    let mut connection = server.connect_and_send(head).await;
    let dripping = async {
        while connection.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, dripping).await.expect("closed");
    server.stop().await;
}

/// Reads until the next heartbeat.
async fn read_beat(stream: &mut TcpStream) {
    let mut all = Vec::new();
    while !all.windows(6).any(|window| window == b": beat") {
        let mut buffer = [0; 1024];
        let read = tokio::time::timeout(TIMEOUT, stream.read(&mut buffer)).await;
        let count = read.expect("a heartbeat in time").expect("read");
        assert!(count > 0, "a stream was cut off");
        all.extend_from_slice(&buffer[..count]);
    }
}
