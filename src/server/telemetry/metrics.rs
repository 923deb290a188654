//! All Prometheus metrics, in text format 0.0.4. `docs/operations/metrics.md` documents them.
//!
//! Each server has its own registry. Label values come from closed sets ([`Label`], or the router's patterns), so that
//! no name, address or id becomes a label. A node counts its own work: the sum over all nodes is the total.

use std::{
    marker::PhantomData,
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder,
    core::Collector,
};

use super::labels::{CleanupRun, ClientFailure, Label, NoConnection, PanicIn, Refresh, SessionCheck, SignIn};
use domain::session::EndReason;

/// `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Prefix of every name.
const PREFIX: &str = "broker_portal_";

/// Seconds per request.
const REQUEST_BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Seconds until a change reaches the last client. The target is one second.
const PUSH_BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
];

/// Seconds of waiting for a connection, at most three.
const WAIT_BUCKETS: [f64; 9] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.25, 1.0, 3.0];

/// A counter with one label. All label values start at zero, so that the first increment is visible as a rise.
#[derive(Clone, Debug)]
pub struct Counter<L> {
    vector: IntCounterVec,
    of: PhantomData<L>,
}

impl<L: Label> Counter<L> {
    fn new(name: &str, help: &str, label: &str) -> Self {
        let vector = expect_valid(IntCounterVec::new(opts(name, help), &[label]));
        for value in L::ALL {
            vector.with_label_values(&[value.label()]);
        }
        Self {
            vector,
            of: PhantomData,
        }
    }

    pub fn count(&self, value: L) {
        self.vector.with_label_values(&[value.label()]).inc();
    }
}

/// Metrics of the database: connections, and effects of committed transactions.
#[derive(Clone, Debug)]
pub struct DatabaseMetrics {
    pub connection_wait: Histogram,
    pub no_connection: Counter<NoConnection>,
    pub sessions_ended: Counter<EndReason>,
}

impl Default for DatabaseMetrics {
    fn default() -> Self {
        Self {
            connection_wait: histogram(
                "database_connection_wait_seconds",
                "Seconds of waiting for a database connection.",
                &WAIT_BUCKETS,
            ),
            no_connection: Counter::new(
                "database_connection_failures_total",
                "Failures to get a database connection, by reason.",
                "reason",
            ),
            sessions_ended: Counter::new(
                "sessions_ended_total",
                "Sessions that this server ended, by reason; counted after the commit.",
                "reason",
            ),
        }
    }
}

/// Metrics of the hub.
#[derive(Clone, Debug)]
pub struct StreamMetrics {
    pub event_age: Histogram,
    pub close_delay: Histogram,
}

impl Default for StreamMetrics {
    fn default() -> Self {
        Self {
            event_age: histogram(
                "event_age_seconds",
                "Seconds from a change until this server's listener read its event.",
                &PUSH_BUCKETS,
            ),
            close_delay: histogram(
                "session_end_to_streams_closed_seconds",
                "Seconds from the end of a session to the close of its last stream on this server.",
                &PUSH_BUCKETS,
            ),
        }
    }
}

/// Values read at the moment of a scrape.
#[derive(Clone, Copy, Debug)]
pub struct Gauges {
    pub open_streams: usize,
    pub connections_in_use: usize,
    pub connections_idle: usize,
    pub connections_max: u32,
    pub activity_waiting: usize,
}

/// All metrics of a server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    started_at: Instant,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    pub session_checks: Counter<SessionCheck>,
    pub sign_ins: Counter<SignIn>,
    pub refreshes: Counter<Refresh>,
    pub cleanup_runs: Counter<CleanupRun>,
    pub panics: Counter<PanicIn>,
    pub client_failures: Counter<ClientFailure>,
    open_streams: Gauge,
    connections: GaugeVec,
    connections_max: Gauge,
    activity_waiting: Gauge,
    since_cleanup: Gauge,
    uptime: Gauge,
    audit_unsealed: Gauge,
    audit_unsealed_age: Gauge,
    ready: Gauge,
    checks: GaugeVec,
}

impl Metrics {
    /// Registers the metrics of a server with this database and these streams.
    pub fn new(database: &DatabaseMetrics, streams: &StreamMetrics) -> Self {
        let metrics = Self {
            registry: Registry::new(),
            started_at: Instant::now(),
            requests: expect_valid(IntCounterVec::new(
                opts(
                    "http_requests_total",
                    "Responses, by method, route pattern and status.",
                ),
                &["method", "route", "status"],
            )),
            request_duration: expect_valid(HistogramVec::new(
                HistogramOpts::new(
                    format!("{PREFIX}http_request_duration_seconds"),
                    "Seconds from a request to the head of its response, without the body of a stream.",
                )
                .buckets(REQUEST_BUCKETS.to_vec()),
                &["method", "route"],
            )),
            session_checks: Counter::new(
                "session_checks_total",
                "Checks of request credentials, by outcome.",
                "outcome",
            ),
            sign_ins: Counter::new("sign_ins_total", "Sign-ins, by outcome.", "outcome"),
            refreshes: Counter::new(
                "refreshes_total",
                "Presented refresh tokens, by outcome.",
                "outcome",
            ),
            cleanup_runs: Counter::new(
                "cleanup_runs_total",
                "Clean-up runs of this server, by outcome.",
                "outcome",
            ),
            panics: Counter::new("panics_total", "Panics in requests, by place.", "part"),
            client_failures: Counter::new(
                "client_failures_total",
                "Reported failures of client applications, by stage.",
                "stage",
            ),
            open_streams: gauge("open_streams", "Event streams that are open on this server."),
            connections: gauges("database_connections", "Database connections, by state.", "state"),
            connections_max: gauge(
                "database_connections_max",
                "Maximum number of database connections.",
            ),
            activity_waiting: gauge(
                "activity_waiting_sessions",
                "Sessions whose last activity is in memory and not yet written.",
            ),
            since_cleanup: gauge(
                "cleanup_last_finished_age_seconds",
                "Seconds since a clean-up last finished on any server; NaN if unknown.",
            ),
            uptime: gauge("uptime_seconds", "Seconds since this server started."),
            audit_unsealed: gauge(
                "audit_unsealed_rows",
                "Audit rows that wait to be sealed, at most 10000.",
            ),
            audit_unsealed_age: gauge(
                "audit_unsealed_age_seconds",
                "Age in seconds of the oldest audit row that waits to be sealed; 0 for none.",
            ),
            ready: gauge(
                "ready",
                "1 if /readyz would return 200, else 0. Updated every ten seconds.",
            ),
            checks: gauges(
                "check_ok",
                "1 if this check of /readyz passes, else 0; checked every ten seconds.",
                "check",
            ),
        };
        for unknown in [
            &metrics.since_cleanup,
            &metrics.audit_unsealed,
            &metrics.audit_unsealed_age,
            &metrics.ready,
        ] {
            unknown.set(f64::NAN);
        }
        let build = gauges("build_info", "Always 1; the version is in the label.", "version");
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        metrics.register_all([
            boxed(&build),
            boxed(&metrics.requests),
            boxed(&metrics.request_duration),
            boxed(&metrics.session_checks.vector),
            boxed(&metrics.sign_ins.vector),
            boxed(&metrics.refreshes.vector),
            boxed(&metrics.cleanup_runs.vector),
            boxed(&metrics.panics.vector),
            boxed(&metrics.client_failures.vector),
            boxed(&metrics.open_streams),
            boxed(&metrics.connections),
            boxed(&metrics.connections_max),
            boxed(&metrics.activity_waiting),
            boxed(&metrics.since_cleanup),
            boxed(&metrics.uptime),
            boxed(&metrics.audit_unsealed),
            boxed(&metrics.audit_unsealed_age),
            boxed(&metrics.ready),
            boxed(&metrics.checks),
            boxed(&database.connection_wait),
            boxed(&database.no_connection.vector),
            boxed(&database.sessions_ended.vector),
            boxed(&streams.event_age),
            boxed(&streams.close_delay),
        ]);
        metrics
    }

    fn register_all(&self, collectors: impl IntoIterator<Item = Box<dyn Collector>>) {
        for collector in collectors {
            expect_valid(self.registry.register(collector));
        }
    }

    /// Records a response. `route` is the router's pattern, `None` if no route matched.
    pub fn record_request(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration) {
        let (method, route) = (method_label(method), route.unwrap_or("other"));
        self.requests
            .with_label_values(&[method, route, status.as_str()])
            .inc();
        self.request_duration
            .with_label_values(&[method, route])
            .observe(took.as_secs_f64());
    }

    /// Records whether the server is ready, and the result of each check.
    pub fn set_readiness(&self, ready: bool, checks: impl IntoIterator<Item = (&'static str, bool)>) {
        self.ready.set(f64::from(u8::from(ready)));
        for (check, ok) in checks {
            self.checks
                .with_label_values(&[check])
                .set(f64::from(u8::from(ok)));
        }
    }

    /// Records how long ago a clean-up finished.
    pub fn set_cleanup_age(&self, since: Duration) {
        self.since_cleanup.set(since.as_secs_f64());
    }

    /// Records how many audit rows wait to be sealed, and the age of the oldest.
    pub fn set_unsealed(&self, rows: i64, age: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "it is told up to 10000")]
        self.audit_unsealed.set(rows as f64);
        self.audit_unsealed_age.set(age.as_secs_f64());
    }

    /// Renders all metrics for Prometheus.
    ///
    /// # Errors
    /// A metric cannot be encoded, which is a bug in this file.
    pub fn render(&self, gauges: &Gauges) -> prometheus::Result<String> {
        let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        self.open_streams.set(count(gauges.open_streams));
        for (state, connections) in [
            ("in_use", gauges.connections_in_use),
            ("idle", gauges.connections_idle),
        ] {
            self.connections
                .with_label_values(&[state])
                .set(count(connections));
        }
        self.connections_max.set(f64::from(gauges.connections_max));
        self.activity_waiting.set(count(gauges.activity_waiting));
        self.uptime.set(self.started_at.elapsed().as_secs_f64());
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// Maps unknown methods to one value, since clients can invent methods.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn boxed<C: Collector + Clone + 'static>(collector: &C) -> Box<dyn Collector> {
    Box::new(collector.clone())
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("{PREFIX}{name}"), help)
}

fn gauge(name: &str, help: &str) -> Gauge {
    expect_valid(Gauge::with_opts(opts(name, help)))
}

fn gauges(name: &str, help: &str, label: &str) -> GaugeVec {
    expect_valid(GaugeVec::new(opts(name, help), &[label]))
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let opts = HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(buckets.to_vec());
    expect_valid(Histogram::with_opts(opts))
}

#[expect(
    clippy::expect_used,
    reason = "names, labels and buckets are written in this file; every test of a portal builds them all"
)]
fn expect_valid<T>(result: prometheus::Result<T>) -> T {
    result.expect("well-formed names, each once")
}
