//! The user interface: one file per page in [`pages`], shared parts in [`components`].
//!
//! [`browser`] is the only module that calls browser interfaces. Call it from event handlers and effects only, because
//! these do not run on the server. Every form works without JavaScript: it has a method and an action, and a submit
//! handler in addition.

pub mod browser;
pub mod components;
pub mod errors;
pub mod live;
pub mod page_clock;
pub mod page_data;
pub mod pages;
pub mod sign_out;
