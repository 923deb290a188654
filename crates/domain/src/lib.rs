//! The words and rules of the portal, without I/O, without a clock of their own, the same on server and browser.
//!
//! A type belongs here when a broker or an operator would use its name. To add one: a file by its name, a line
//! below. Nothing in here may know Leptos, HTTP or SQL.

pub mod admin;
pub mod alert;
pub mod audit;
pub mod flash;
pub mod ids;
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
