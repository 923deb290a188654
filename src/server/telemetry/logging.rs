//! The log of the process.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::ParseError};

const DEFAULT: &str = "warn,broker_portal=info,sqlx=warn,tower_sessions_core=error,opentelemetry-otlp=error";

/// Starts logging to standard error: text on a terminal, else one JSON line per event. `RUST_LOG` selects the events;
/// its default is our events at info and others at warn.
///
/// A line that cannot be written, because the reader is gone or the disk is full, is dropped silently: the subscriber's
/// own error message would panic.
///
/// # Errors
/// `RUST_LOG` is invalid; the default applies.
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
