//! Types and rules of the portal, shared by server and browser. No I/O and no clock.
//!
//! Put a type here if it is a concept of the product (see `docs/glossary.md`), not of the implementation. This crate must not depend on Leptos or HTTP. For the server,
//! ids and named values are also types of the database.

pub mod admin;
pub mod admin_permission;
pub mod alert;
pub mod audit;
pub mod filter;
pub mod flash;
pub mod ids;
pub mod named_values;
pub mod organization;
pub mod overview;
pub mod password;
pub mod people_filter;
pub mod plain_text;
pub mod policy;
pub mod query;
pub mod return_path;
pub mod security_notice;
pub mod session;
pub mod session_filter;
pub mod session_state;
pub mod state_machine;
pub mod statistics;
pub mod theme;
pub mod time;
pub mod user;
