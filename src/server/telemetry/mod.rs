//! What operators see of a running server: log, metrics and traces.
//!
//! Services report what happened in one line. Format, names and counting are defined here.

pub mod labels;
pub mod log_limit;
pub mod logging;
pub mod metrics;
pub mod panics;
pub mod traces;
