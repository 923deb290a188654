//! Work that goes on beside requests. Each job survives its own errors and says what it did.

pub mod alerts;
pub mod cleanup;
pub mod clock;
pub mod samples;
pub mod seal;
pub mod watch;
