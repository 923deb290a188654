//! What a person sees.
//!
//! [`pages`] holds one file a page, [`components`] what they share. [`browser`] is the only place that talks to the
//! browser's own interfaces; call it from event handlers and effects only, which do not run on the server.
//! Every form works without JavaScript: it has a method and an action, and a submit handler on top.

pub mod browser;
pub mod components;
pub mod errors;
pub mod live;
pub mod page_clock;
pub mod page_data;
pub mod pages;
pub mod sign_out;
