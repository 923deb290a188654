//! Push: each change reaches all open streams on all nodes at once.
//!
//! A change writes its event in its own transaction (`store/events.rs`). The commit wakes the [`listener`] of each node,
//! which reads the event log from its last position, so no event is lost after a disconnect. It passes events to the
//! [`hub`], which delivers them to the streams of its node.

pub mod hub;
pub mod listener;
