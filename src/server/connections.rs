//! Takes connections and serves each, with a limit on how long a client may take to say what it wants: axum's own loop
//! has none, and a client that sends a header line now and then would hold its connection for good.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

/// How long the head of a request may take to come, and a connection may rest between two requests. Longer than the
/// minute for which proxies commonly keep connections.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(75);

/// After an error that is the machine's own, as too many open files, so that the loop does not spin.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves until `stop`, then finishes the requests under way. `head_deadline` is [`HEAD_DEADLINE`] but in tests.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    head_deadline: Duration,
    stop: impl Future<Output = ()>,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_deadline);
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        // Answers are small and complete: nothing is gained by waiting for more to send.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone at once");
        }
        let app = app.clone();
        let service = service_fn(move |request: Request<Incoming>| answer(app.clone(), peer, request));
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, %peer, "a connection broke off");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn answer(
    app: Router,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<axum::response::Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    app.oneshot(request).await
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        sync::oneshot,
    };

    use super::*;

    #[tokio::test]
    async fn a_client_that_never_says_what_it_wants_is_cut_off_and_others_are_served() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new().route(
            "/",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }),
        );
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, app, Duration::from_secs(1), async {
            _ = stopped.await
        }));

        let mut silent = TcpStream::connect(address).await.expect("connected");
        silent
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
            .await
            .expect("sent");
        let mut other = TcpStream::connect(address).await.expect("connected");
        other
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .expect("sent");
        let mut answer = String::new();
        other.read_to_string(&mut answer).await.expect("answered");
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("127.0.0.1"),
            "{answer}"
        );
        // This comes to its end only if the server ends it.
        let mut left = Vec::new();
        silent.read_to_end(&mut left).await.expect("closed");
        assert!(!String::from_utf8_lossy(&left).contains("200 OK"));

        stop.send(()).expect("a server");
        server.await.expect("stopped");
    }
}
