//! What Prometheus is told, in the text format 0.0.4. Every name and every label stands here; `docs/operations/metrics.md`
//! says what they mean.
//!
//! Each server has a registry of its own. Label values come from closed sets ([`Label`]; for requests the router's own
//! patterns), so that nobody's name, address or id can get into one. A node counts what it did itself: the sum over
//! all nodes is what happened.

use std::{
    marker::PhantomData,
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder,
    core::Collector,
};

use domain::session::EndReason;

/// What the text is called in a `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Before every name.
const PREFIX: &str = "broker_portal_";

/// Seconds that a request may take.
const REQUEST_BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Seconds until something reaches the last one concerned; the promise is one.
const PUSH_BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0,
];

/// Seconds that a connection may be waited for; after three nobody waits on.
const WAIT_BUCKETS: [f64; 9] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.25, 1.0, 3.0];

/// A closed set of label values.
pub trait Label: Copy + 'static {
    const ALL: &'static [Self];
    fn label(self) -> &'static str;
}

/// A set that exists only to be counted by.
macro_rules! label {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $value:ident => $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $value,)+
        }

        impl Label for $name {
            const ALL: &'static [Self] = &[$($name::$value),+];

            fn label(self) -> &'static str {
                match self {
                    $($name::$value => $text,)+
                }
            }
        }
    };
}

label! {
    /// What a look at a request's credential found.
    SessionCheck {
        Live => "live",
        Ended => "ended",
        /// A credential that no session has, or has any more.
        Unknown => "unknown",
        /// No credential was shown.
        Anonymous => "anonymous",
        /// The database did not answer.
        Unavailable => "unavailable",
        Failed => "failed",
    }
}

label! {
    /// What came of a sign-in.
    SignIn {
        SignedIn => "signed_in",
        /// Wrong password, unknown email, disabled account: who asks is told the same.
        Refused => "refused",
        /// Too many refused passwords: not looked at.
        Throttled => "throttled",
        /// Too many passwords wait to be looked at.
        Busy => "busy",
        Unavailable => "unavailable",
        Failed => "failed",
    }
}

label! {
    /// What came of a refresh token.
    Refresh {
        Exchanged => "exchanged",
        /// The answer before was lost: the same tokens again.
        Repeated => "repeated",
        /// Unknown, or of a session that is over.
        Refused => "refused",
        /// Shown a second time: its session was ended.
        Reused => "reused",
        /// Shown by another program: its session was ended.
        ClientChanged => "client_changed",
        Unavailable => "unavailable",
        Failed => "failed",
    }
}

label! {
    /// Why there was no connection to the database.
    NoConnection {
        /// None came free in time.
        TimedOut => "timed_out",
        /// The database did not let us in, or did not answer.
        Unreachable => "unreachable",
        /// The server stops.
        Closed => "closed",
    }
}

label! {
    /// What came of a turn to clean up.
    CleanupRun {
        Finished => "finished",
        Failed => "failed",
        /// Another node had done it.
        NotOurTurn => "not_our_turn",
    }
}

label! {
    /// Where code panicked while a request was answered.
    PanicIn {
        /// Before the head of the answer: the client gets a 500.
        Handler => "handler",
        /// In a body that was being sent: it is cut off.
        Body => "body",
        /// In a task that the request started, such as an export or the loading of a page's data.
        Task => "task",
    }
}

label! {
    /// How far the client application of a page had come when it failed.
    ClientFailure {
        /// The module did not load, or may not run.
        Load => "load",
        Hydration => "hydration",
        Running => "running",
        /// One of too many reports, of whatever stage.
        NotLogged => "not_logged",
    }
}

impl Label for EndReason {
    const ALL: &'static [Self] = &EndReason::ALL;

    fn label(self) -> &'static str {
        self.as_str()
    }
}

/// Counts by one closed set. All values are there from the start, at zero, so that the first one is seen as a rise.
#[derive(Clone, Debug)]
pub struct Counter<L> {
    vector: IntCounterVec,
    of: PhantomData<L>,
}

impl<L: Label> Counter<L> {
    fn new(name: &str, help: &str, label: &str) -> Self {
        let vector = built(IntCounterVec::new(opts(name, help), &[label]));
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

/// What the connections to the database measure, and what transactions did, once they are committed.
#[derive(Clone, Debug)]
pub struct DatabaseMeters {
    pub connection_wait: Histogram,
    pub no_connection: Counter<NoConnection>,
    pub sessions_ended: Counter<EndReason>,
}

impl Default for DatabaseMeters {
    fn default() -> Self {
        Self {
            connection_wait: histogram(
                "database_connection_wait_seconds",
                "Seconds that a connection to the database was waited for.",
                &WAIT_BUCKETS,
            ),
            no_connection: Counter::new(
                "database_connection_failures_total",
                "How often there was no connection to the database, by reason.",
                "reason",
            ),
            sessions_ended: Counter::new(
                "sessions_ended_total",
                "Sessions that this server ended, by reason; counted once the end is committed.",
                "reason",
            ),
        }
    }
}

/// What the hub measures.
#[derive(Clone, Debug)]
pub struct StreamMeters {
    pub event_age: Histogram,
    pub close_delay: Histogram,
}

impl Default for StreamMeters {
    fn default() -> Self {
        Self {
            event_age: histogram(
                "event_age_seconds",
                "Seconds from a change to when this server's listener read of it.",
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

/// How things stand at the moment of a scrape.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub open_streams: usize,
    pub connections_in_use: usize,
    pub connections_idle: usize,
    pub connections_max: u32,
    pub activity_waiting: usize,
}

/// A server's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    began: Instant,
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
    /// The metrics of a server with this database and these streams.
    pub fn new(database: &DatabaseMeters, streams: &StreamMeters) -> Self {
        let metrics = Self {
            registry: Registry::new(),
            began: Instant::now(),
            requests: built(IntCounterVec::new(
                opts(
                    "http_requests_total",
                    "Requests that were answered, by the route's pattern, method and status.",
                ),
                &["method", "route", "status"],
            )),
            request_duration: built(HistogramVec::new(
                HistogramOpts::new(
                    format!("{PREFIX}http_request_duration_seconds"),
                    "Seconds from a request to the head of its answer; a stream goes on after that.",
                )
                .buckets(REQUEST_BUCKETS.to_vec()),
                &["method", "route"],
            )),
            session_checks: Counter::new(
                "session_checks_total",
                "Looks at the credential of a request, by what was found.",
                "outcome",
            ),
            sign_ins: Counter::new("sign_ins_total", "Sign-ins, by what came of them.", "outcome"),
            refreshes: Counter::new(
                "refreshes_total",
                "Refresh tokens that were shown, by what came of it.",
                "outcome",
            ),
            cleanup_runs: Counter::new(
                "cleanup_runs_total",
                "Turns of this server to clean up, by what came of them.",
                "outcome",
            ),
            panics: Counter::new(
                "panics_total",
                "Panics while a request was answered, by where they happened.",
                "part",
            ),
            client_failures: Counter::new(
                "client_failures_total",
                "Reports of pages whose client application failed, by how far it had come.",
                "stage",
            ),
            open_streams: gauge("open_streams", "Event streams that are open on this server."),
            connections: gauges(
                "database_connections",
                "Connections to the database, by what they do.",
                "state",
            ),
            connections_max: gauge(
                "database_connections_max",
                "How many connections to the database there may be.",
            ),
            activity_waiting: gauge(
                "activity_waiting_sessions",
                "Sessions whose last activity is noted in memory and not yet written.",
            ),
            since_cleanup: gauge(
                "cleanup_last_finished_age_seconds",
                "Seconds since a clean-up last finished, on whichever server; NaN while that is not known.",
            ),
            uptime: gauge("uptime_seconds", "Seconds since this server started."),
            audit_unsealed: gauge(
                "audit_unsealed_rows",
                "Audit rows that wait to be sealed; told up to 10000.",
            ),
            audit_unsealed_age: gauge(
                "audit_unsealed_age_seconds",
                "Age in seconds of the oldest audit row that waits to be sealed; 0 for none.",
            ),
            ready: gauge(
                "ready",
                "1 when /readyz would answer 200, else 0; looked at every ten seconds.",
            ),
            checks: gauges(
                "check_ok",
                "1 when this check of /readyz is well, else 0; looked at every ten seconds.",
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
        metrics.gather_from([
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

    fn gather_from(&self, collectors: impl IntoIterator<Item = Box<dyn Collector>>) {
        for collector in collectors {
            built(self.registry.register(collector));
        }
    }

    /// A request was answered. `route` is the router's pattern; `None`: none of them.
    pub fn request(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration) {
        let (method, route) = (of_method(method), route.unwrap_or("other"));
        self.requests
            .with_label_values(&[method, route, status.as_str()])
            .inc();
        self.request_duration
            .with_label_values(&[method, route])
            .observe(took.as_secs_f64());
    }

    /// Whether the server is ready, and each check by its name.
    pub fn readiness(&self, ready: bool, checks: impl IntoIterator<Item = (&'static str, bool)>) {
        self.ready.set(f64::from(u8::from(ready)));
        for (check, ok) in checks {
            self.checks
                .with_label_values(&[check])
                .set(f64::from(u8::from(ok)));
        }
    }

    /// How long ago a clean-up was finished.
    pub fn cleaned_up(&self, since: Duration) {
        self.since_cleanup.set(since.as_secs_f64());
    }

    /// How many audit rows wait to be sealed, and how long the oldest does.
    pub fn unsealed(&self, rows: i64, age: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "it is told up to 10000")]
        self.audit_unsealed.set(rows as f64);
        self.audit_unsealed_age.set(age.as_secs_f64());
    }

    /// Everything, as Prometheus reads it.
    ///
    /// # Errors
    /// A metric that cannot be written, which is a mistake in this file.
    pub fn text(&self, standing: &Standing) -> prometheus::Result<String> {
        let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        self.open_streams.set(count(standing.open_streams));
        for (state, connections) in [
            ("in_use", standing.connections_in_use),
            ("idle", standing.connections_idle),
        ] {
            self.connections
                .with_label_values(&[state])
                .set(count(connections));
        }
        self.connections_max.set(f64::from(standing.connections_max));
        self.activity_waiting.set(count(standing.activity_waiting));
        self.uptime.set(self.began.elapsed().as_secs_f64());
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// Anyone may invent a method.
pub(super) fn of_method(method: &Method) -> &'static str {
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
    built(Gauge::with_opts(opts(name, help)))
}

fn gauges(name: &str, help: &str, label: &str) -> GaugeVec {
    built(GaugeVec::new(opts(name, help), &[label]))
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let opts = HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(buckets.to_vec());
    built(Histogram::with_opts(opts))
}

#[expect(
    clippy::expect_used,
    reason = "names, labels and buckets are written in this file; every test of a portal builds them all"
)]
fn built<T>(result: prometheus::Result<T>) -> T {
    result.expect("well-formed names, each once")
}
