//! Recurring work beside requests. Each job is a [`Job`](super::lifecycle::Job), which `serve` starts.

pub mod activity;
pub mod alerts;
pub mod cleanup;
pub mod clock;
pub mod health_check;
pub mod minutes;
pub mod samples;
pub mod seal;
