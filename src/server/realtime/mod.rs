//! Push: what changes in the database reaches every open stream, on every node, at once.
//!
//! A change writes its event in its own transaction (`store/events.rs`), whose commit wakes the [`listener`] of each node.
//! It reads on in the event log from where it was, so that nothing is lost while it was cut off, and hands what it finds
//! to the [`hub`], which knows the streams that are open here.

pub mod hub;
pub mod listener;
