//! Broker Portal: shows users where they are signed in, and lets them sign out anywhere.
//!
//! The main idea: **a session is a row, and every credential refers to it.** A request is authenticated if that row is
//! live. Signing out is one transaction that ends rows.
//!
//! Modules are divided by what their code may depend on:
//!
//! - `domain` (a crate of its own): types and rules. Pure, on both targets.
//! - [`error`]: the error type that reaches clients.
//! - [`elements`]: icons and notices.
//! - [`server_fns`]: authenticate, authorize, call a service, return a view type.
//! - [`ui`]: pages and components; [`app`] has the routes.
//! - `server`: everything else on the server; compiled with the feature `ssr` only.
//!
//! Dependencies: `ui -> server_fns -> services -> store`. Everything may use `domain`.

// The types of nested views are deep.
#![recursion_limit = "512"]

pub mod app;
pub mod elements;
pub mod error;
pub mod server_fns;
pub mod ui;
pub mod wire;

#[cfg(feature = "ssr")]
pub mod server;

/// Starts the application in the browser on the page that the server rendered.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    // A release build has no panic messages. The client guard reports its failures.
    #[cfg(debug_assertions)]
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(app::App);
}
