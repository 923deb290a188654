//! Pages that the server draws whole, as HTML: what administrators and operators look at.
//!
//! They are tables, forms and charts of data that only the server has. Drawn here, they cost the browser's part nothing, work
//! without JavaScript, and what the address says is all their state. The browser's part ([`crate::ui::pages::admin`]) puts
//! the HTML in its place, fetches it anew when the address or the data changes, and sends the forms:
//!
//! - `form[data-live]`: its fields are the address's query; it follows what is typed.
//! - `form[data-send]`: is sent in the background. Its answer says where to go; `[data-problem]` tells what went wrong,
//!   `[data-password]` is shown when the password is asked for, `[data-progress]` says how far it has come.
//! - `a[data-noscroll]`: leads to another state of the same page, and the page does not jump (the router's own).
//! - `dialog[data-modal]`: stands over the page; `[data-cancel]` in it is the link that closes it.
//! - `[data-focus]`: gets the focus when it comes; its value is the id of the link that has it when it goes.
//!
//! Text goes through views, which escape it; nothing is put together by hand.

pub mod audit;
mod chart;
pub mod ending;
pub mod health;
mod panel;
pub mod people;
pub mod person;
pub mod sessions;
mod words;

use leptos::prelude::*;

/// The way between the administrator's pages.
fn tabs(here: &str) -> AnyView {
    let pages = [
        (sessions::PATH, "Sessions"),
        (people::PATH, "People"),
        (audit::PATH, "Audit log"),
        (health::PATH, "Health"),
    ];
    let links = pages
        .into_iter()
        .map(|(path, label)| {
            view! {
                // Loaded whole: each of these pages is drawn for its own address.
                <a href=path rel="external" aria-current=(path == here).then_some("page")>
                    {label}
                </a>
            }
        })
        .collect::<Vec<_>>();
    view! {
        <nav class="tabs" aria-label="Administration">
            {links}
        </nav>
    }
    .into_any()
}

/// A view as text, with nothing in it that a browser would run.
fn drawn(view: impl IntoView) -> String {
    view.into_any().to_html()
}
