//! Accepts connections and serves them with deadlines and limits. axum's own loop has neither, so clients that send or
//! read nothing would keep connections and files open forever.

mod progress;
mod registry;
mod socket;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    io::{self, ErrorKind},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::{
        StatusCode, Version,
        header::{CACHE_CONTROL, CONNECTION, RETRY_AFTER},
    },
    response::{IntoResponse as _, Response},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulConnection},
};
use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tower::ServiceExt as _;

pub use self::{progress::Deadlines, registry::Limits};
use self::{
    progress::ResponseBody,
    registry::{AdmittedConnection, Registry},
    socket::Socket,
};
use crate::server::telemetry::log_limit::OncePerMinute;

/// Delay after an error of this machine, such as too many open files, to avoid a busy loop.
const PAUSE: Duration = Duration::from_millis(50);

/// Interval of HTTP/2 pings and time limit for their responses.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client may take to read that its connection closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Rules for all connections.
#[derive(Clone, Debug)]
pub struct Rules {
    pub deadlines: Deadlines,
    pub limits: Limits,
    /// Exempt from the limit per address, since many clients share them.
    pub trusted_proxies: Vec<IpNet>,
}

/// Serves until `stop`, then finishes the requests in progress.
pub async fn serve(listener: TcpListener, app: Router, rules: Rules, stop: impl Future<Output = ()>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Our own deadline for request heads also covers the time before hyper starts reading.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let registry = Registry::new(rules.limits, rules.trusted_proxies);
    let (stopping, until_stopping) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                recover(&error, &registry).await;
                continue;
            }
        };
        let Some(admitted) = registry.admit(peer.ip()).map(Arc::new) else {
            continue;
        };
        if let Err(error) = socket::configure(&stream) {
            tracing::debug!(%error, %peer, "connection closed before it was served");
        }
        let connection = connect(&builder, &app, stream, peer, &admitted);
        let until_stopping = until_stopping.clone();
        tokio::spawn(async move {
            if let Err(error) = drive(connection, &admitted, rules.deadlines, until_stopping).await {
                tracing::debug!(%error, %peer, "connection failed");
            }
        });
    }
    drop((listener, until_stopping));
    stopping.send_replace(());
    stopping.closed().await;
}

/// Waits if this machine lacks resources. Errors of one client delay no other.
async fn recover(error: &io::Error, registry: &Registry) {
    static LIMIT: OncePerMinute = OncePerMinute::new();
    if matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    ) {
        return;
    }
    if let Some(suppressed) = LIMIT.allow() {
        tracing::warn!(%error, connections = registry.count(), suppressed, "connection not accepted");
    }
    registry.make_room();
    tokio::time::sleep(PAUSE).await;
}

fn connect(
    builder: &auto::Builder<TokioExecutor>,
    app: &Router,
    stream: TcpStream,
    peer: SocketAddr,
    admitted: &Arc<AdmittedConnection>,
) -> impl GracefulConnection<Error = Box<dyn std::error::Error + Send + Sync>> + Send + use<> {
    let io = TokioIo::new(Socket::new(stream, admitted.progress.clone()));
    let (app, admitted) = (app.clone(), admitted.clone());
    let service =
        service_fn(move |request: Request<Incoming>| respond(app.clone(), admitted.clone(), peer, request));
    builder.serve_connection(io, service).into_owned()
}

/// Serves one connection until either side closes it, the client misses a deadline, or it is evicted.
async fn drive<C: GracefulConnection>(
    connection: C,
    admitted: &AdmittedConnection,
    deadlines: Deadlines,
    mut stopping: watch::Receiver<()>,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    let mut wait_until_overdue = pin!(admitted.progress.wait_until_overdue(deadlines));
    let mut is_stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = stopping.changed(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut wait_until_overdue => break,
            () = admitted.evicted.notified() => break,
        }
    }
    // Tells an HTTP/2 client that a request it is sending was not read.
    connection.as_mut().graceful_shutdown();
    timeout(CLOSE_TIMEOUT, connection).await.unwrap_or(Ok(()))
}

async fn respond(
    app: Router,
    admitted: Arc<AdmittedConnection>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let in_progress = admitted.progress.request();
    let mut request = request.map(|body| Body::new(in_progress.body(body)));
    request.extensions_mut().insert(ConnectInfo(peer));
    let response = if admitted.is_reserve && !matches!(request.uri().path(), "/healthz" | "/readyz") {
        // Asks the client to reconnect instead of reusing this connection.
        admitted.evicted.notify_one();
        no_room(request.version())
    } else {
        app.oneshot(request).await?
    };
    Ok(response.map(|body| in_progress.start_response(body)))
}

/// Responds to a request on a connection beyond the limit.
fn no_room(version: Version) -> Response {
    let mut response = (
        StatusCode::SERVICE_UNAVAILABLE,
        [(RETRY_AFTER, "5"), (CACHE_CONTROL, "no-store")],
        "The portal has too many connections right now. Nothing was changed. Try again in a few seconds.\n",
    )
        .into_response();
    if version < Version::HTTP_2 {
        let close = axum::http::HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}
