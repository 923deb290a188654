//! One file per page. Routes are in [`crate::app`].

pub mod admin;
pub mod confirm;
pub mod dashboard;
pub mod login;
pub mod not_found;
pub mod settings;
