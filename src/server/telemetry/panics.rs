//! Panics in the log: one line each, with the request's id where one was being answered.

use std::{any::Any, panic};

/// Has every panic of the process logged, in place of the standard library's lines on standard error.
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
