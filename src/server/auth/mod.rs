//! Who is asking: credentials and what they resolve to.
//!
//! [`credential`] chooses at most one credential per request, which [`identify`] turns into an [`current_session::Identity`] with one
//! statement. Whether that person *may* do a thing is decided by whoever does it.

pub mod client;
pub mod credential;
pub mod current_session;
pub mod identify;
pub mod password;
mod password_hash;
pub mod password_queue;
pub mod password_rules;
pub mod session_store;
pub mod token;
