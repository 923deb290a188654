//! The log.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Text on a terminal, one JSON line an event elsewhere; to standard error, so that a command's output stays its own.
/// `RUST_LOG` chooses what is written; without it, our own events at info and others' at warn.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new("warn,broker_portal=info,sqlx=warn,tower_sessions_core=error,opentelemetry-otlp=error")
    });
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.with_target(false).init();
    } else {
        log.json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(true)
            .init();
    }
}
