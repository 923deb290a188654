//! The log.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::ParseError};

const DEFAULT: &str = "warn,broker_portal=info,sqlx=warn,tower_sessions_core=error,opentelemetry-otlp=error";

/// Text on a terminal, one JSON line an event elsewhere; to standard error, so that a command's output stays its own.
/// `RUST_LOG` chooses what is written; without it, our own events at info and others' at warn.
///
/// A line that cannot be written, because the reader is gone or the disk is full, is lost, and nothing else is: the
/// subscriber's own complaint about it would panic.
///
/// # Errors
/// `RUST_LOG` is not usable; the log then is as without it.
#[expect(clippy::disallowed_methods, reason = "its errors are passed over, see above")]
pub fn start() -> Result<(), ParseError> {
    let chosen = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let parsed = if chosen.trim().is_empty() {
        EnvFilter::try_new(DEFAULT)
    } else {
        EnvFilter::try_new(&chosen)
    };
    let (filter, result) = match parsed {
        Ok(filter) => (filter, Ok(())),
        Err(error) => (EnvFilter::new(DEFAULT), Err(error)),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
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
    result
}
