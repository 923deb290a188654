//! What the menus of the header, each a `<details>`, do beyond opening and closing.

use leptos::{
    ev::{Event, KeyboardEvent},
    prelude::*,
};
use leptos_router::hooks::use_location;

use super::{account_menu, dynamic::effect, organization_switcher};
use crate::ui::browser::{self, ListenTarget};

/// Has every menu close when the person touches anything outside of it, or the focus goes there. Once a page.
pub fn close_on_outside_click() {
    let closes = |event: Event| {
        for menu in [account_menu::MENU, organization_switcher::MENU] {
            if !browser::is_within(&event, menu) {
                browser::close_menu(menu);
            }
        }
    };
    for kind in ["pointerdown", "focusin"] {
        browser::listen(ListenTarget::Document, kind, closes);
    }
}

/// Closes the menu of that id when the person goes to another page.
pub fn close_on_navigation(menu: &'static str) {
    let path = use_location().pathname;
    let mut is_first = true;
    effect(move || {
        path.track();
        // Not at hydration: it may have been opened before the script was there.
        if !std::mem::take(&mut is_first) {
            browser::close_menu(menu);
        }
    });
}

/// Closes the menu on Escape, and gives the focus back to what opened it.
pub fn close_on_escape(event: &KeyboardEvent, menu: &str, opener: &str) {
    if event.key() == "Escape" {
        browser::close_menu(menu);
        browser::focus(opener);
    }
}
