//! What the menus of the header, each a `<details>`, do beyond opening and closing.

use leptos::{
    ev::{Event, KeyboardEvent, focusin, pointerdown},
    prelude::*,
};
use leptos_router::hooks::use_location;

use super::dynamic::effect;
use crate::ui::browser;

/// Closes the menu of that id when the person goes to another page, or touches anything outside of it, or the focus goes
/// there.
pub fn closes_by_itself(menu: &'static str) {
    let path = use_location().pathname;
    let mut is_first = true;
    effect(move || {
        path.track();
        // Not at hydration: it may have been opened before the script was there.
        if !std::mem::take(&mut is_first) {
            browser::close_menu(menu);
        }
    });
    effect(move || {
        let closes = move |event: &Event| {
            if !browser::is_within(event, menu) {
                browser::close_menu(menu);
            }
        };
        let touched = window_event_listener(pointerdown, move |event| closes(&event));
        let left = window_event_listener(focusin, move |event| closes(&event));
        on_cleanup(move || {
            touched.remove();
            left.remove();
        });
    });
}

/// Closes the menu on Escape, and gives the focus back to what opened it.
pub fn close_on_escape(event: &KeyboardEvent, menu: &str, opener: &str) {
    if event.key() == "Escape" {
        browser::close_menu(menu);
        browser::focus(opener);
    }
}
