//! Logs panics, one line each, with the request id if there is one.

use std::{any::Any, panic};

/// Replaces the standard library's panic output with a log line.
pub fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(panic = message(info.payload()), location, "panicked");
    }));
}

fn message(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
