//! Broker Portal: where people see where they are signed in, and end any of it.
//!
//! One idea carries it: **a session is a row, and every credential points at it.** Checking a request is "is that row
//! live?"; signing out is one transaction that ends rows.
//!
//! The rooms are cut by what the code in them may know:
//!
//! - [`domain`]: the words and rules. Pure, on both targets, without I/O or a clock.
//! - [`error`]: what can go wrong, as a person and a client are told.
//! - [`server_fns`]: the border. Authenticate, authorize, call a service, return a view type.
//! - [`ui`]: pages and components; [`app`] is the route table.
//! - `server`: everything behind the border; compiled with the feature `ssr` only.
//!
//! Knowledge goes one way: `ui -> server_fns -> services -> store`; everyone may know `domain`.

// Pages nest deeply, and their types with them.
#![recursion_limit = "512"]

pub mod app;
pub mod error;
pub mod server_fns;
pub mod ui;
pub mod wire;

#[cfg(feature = "ssr")]
pub mod server;

/// Where the browser begins: takes over the page that the server rendered.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    // A release build panics with a bare trap and never gets to a hook; the client guard reports it.
    #[cfg(debug_assertions)]
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(app::App);
}
