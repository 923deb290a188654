//! How recurring jobs run, report and stop.

pub mod heartbeat;
