//! What requests note in memory and one job writes in batches: no request pays for a write.

pub mod activity;
pub mod minutes;
