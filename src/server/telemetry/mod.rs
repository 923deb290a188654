//! What operators see of a running server: its log, its metrics, its traces.
//!
//! Services say in one line what happened; how it is written, named and counted is decided here.

pub mod log_limit;
pub mod logging;
pub mod metrics;
pub mod panics;
pub mod traces;
