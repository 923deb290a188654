//! How recurring jobs run, report and stop.

mod jobs;

pub use jobs::{Job, Jobs, LONG, SHORT};
