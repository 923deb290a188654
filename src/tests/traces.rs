//! Traces: what the collector receives, and that requests do not wait for it.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, routing::post};
use tokio::net::TcpListener;

use crate::harness::*;

/// A collector that stores what it receives.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<u8>>>);

impl Collector {
    /// Starts listening and returns the URL for the portal's settings.
    async fn listening(&self) -> String {
        let keep = async |State(collector): State<Collector>, body: Bytes| {
            collector.0.lock().expect("whole").extend_from_slice(&body);
        };
        let router = Router::new()
            .route("/base/v1/traces", post(keep))
            .with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async { axum::serve(listener, router).await });
        format!("http://{address}/base")
    }

    /// Returns whether these bytes were received: protobuf contains names and attributes as plain text.
    fn has(&self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        let sent = self.0.lock().expect("whole");
        sent.windows(bytes.len()).any(|window| window == bytes)
    }
}

const TRACE: [u8; 16] = [
    0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36,
];
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn spans_name_route_patterns_without_personal_data() {
    let collector = Collector::default();
    let portal = Portal::with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.listening().await),
        ("OTEL_SERVICE_NAME", "portal-under-test"),
    ])
    .await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).at("203.0.113.77").signed_in(&maria).await;
    let mac = portal.desktop("mac-of-maria").signed_in(&maria).await;
    let path = format!("/api/v1/sessions/{}?next=secret-in-query", mac.session());
    let call = chrome.delete(&path).header("traceparent", PARENT);
    let call = call.header("tracestate", "vendor=text-of-anyone");
    let response = call.await.expect(204);
    chrome.get("/nowhere/maria@broker.example").await.expect(404);
    assert!(portal.state.traces.flush().await);

    for told in [
        "DELETE /api/v1/sessions/{id}",
        "http.route",
        "http.response.status_code",
        "database transaction",
        "database connection",
        "db.committed",
        "portal-under-test",
        response.header("x-request-id").expect("a request id"),
    ] {
        assert!(collector.has(told), "{told}");
    }
    assert!(collector.has(TRACE), "the trace that the request belongs to");
    for trace in [
        maria.email.clone(),
        maria.id.to_string(),
        maria.password.clone(),
        chrome.session().to_string(),
        mac.session().to_string(),
        chrome.cookie().expect("a cookie"),
        mac.access_token(),
        mac.refresh_token(),
    ] {
        assert!(!collector.has(&trace), "{trace}");
    }
    for trace in words("maria broker.example 203.0.113 secret-in-query text-of-anyone SELECT nowhere") {
        assert!(!collector.has(trace), "{trace}");
    }
}

#[tokio::test]
async fn callers_sampling_decision_is_kept() {
    let collector = Collector::default();
    let portal = Portal::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.listening().await)]).await;
    let unsampled = PARENT.strip_suffix("01").expect("flags").to_owned() + "00";
    let stranger = portal.anonymous();
    stranger
        .get("/robots.txt")
        .header("traceparent", &unsampled)
        .await
        .expect(200);
    // An invalid parent is ignored: the request gets its own trace.
    stranger
        .get("/healthz")
        .header("traceparent", "nonsense")
        .await
        .expect(200);
    assert!(portal.state.traces.flush().await);
    assert!(collector.has("GET /healthz"));
    assert!(!collector.has("GET /robots.txt"));
}

#[tokio::test]
async fn tracing_is_off_without_a_collector() {
    let portal = Portal::start().await;
    assert!(!portal.state.traces.is_enabled());
    portal.anonymous().get("/healthz").await.expect(200);
    assert!(portal.state.traces.flush().await && portal.state.traces.shut_down().await);
}

#[tokio::test]
async fn hanging_collector_delays_neither_requests_nor_shutdown() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", silent.local_addr().expect("an address"));
    let portal = Portal::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &address)]).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    // More than the exporter queues; the rest is dropped.
    for _ in 0..2500 {
        portal.anonymous().get("/healthz").await.expect(200);
    }
    chrome.get("/dashboard").await.expect(200);
    assert!(
        !portal.state.traces.shut_down().await,
        "nothing can have got there"
    );
    chrome.get("/dashboard").await.expect(200);
}
