//! Authentication without I/O: tokens, passwords, the client of a request, and the session that it belongs to.
//!
//! The middleware that reads credentials is in `http`, the lookup in `store`.

pub mod client;
pub mod current_session;
pub mod password;
mod password_hash;
pub mod password_queue;
pub mod password_rules;
pub mod passwords;
pub mod token;
