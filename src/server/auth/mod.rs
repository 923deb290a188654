//! Who is asking: credentials and what they resolve to.
//!
//! A request carries at most one credential, which [`identify`] turns into an [`current_session::Identity`] with one
//! statement. Whether that person *may* do a thing is decided by whoever does it.

pub mod client;
pub mod current_session;
pub mod identify;
pub mod password;
pub mod password_rules;
pub mod session_store;
pub mod token;
