//! One file a page. To add one: the file, a line below, a route in [`crate::app`].

pub mod admin;
pub mod confirm;
pub mod dashboard;
pub mod login;
pub mod not_found;
pub mod settings;
