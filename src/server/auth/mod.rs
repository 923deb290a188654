//! Authentication without I/O: tokens, passwords, what a request tells of its client, and the session it resolves to.
//!
//! The middleware that reads a request's credential is in `http`, the lookup in `store`.

pub mod client;
pub mod current_session;
pub mod password;
mod password_hash;
pub mod password_queue;
pub mod password_rules;
pub mod token;
