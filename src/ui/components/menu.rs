//! Behaviour of the header menus, which are `<details>` elements.

use leptos::{
    ev::{Event, KeyboardEvent},
    prelude::*,
};
use leptos_router::hooks::use_location;

use super::{account_menu, dynamic::effect, organization_switcher};
use crate::ui::browser::{self, ListenTarget};

/// Closes the menus when the user clicks or focuses something outside. Call once per page.
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

/// Closes a menu when the user navigates to another page.
pub fn close_on_navigation(menu: &'static str) {
    let path = use_location().pathname;
    let mut is_first = true;
    effect(move || {
        path.track();
        // Not during hydration: the menu may have been opened before.
        if !std::mem::take(&mut is_first) {
            browser::close_menu(menu);
        }
    });
}

/// Closes a menu on Escape and focuses its opener.
pub fn close_on_escape(event: &KeyboardEvent, menu: &str, opener: &str) {
    if event.key() == "Escape" {
        browser::close_menu(menu);
        browser::focus(opener);
    }
}
