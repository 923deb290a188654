//! Behaviour of the header menus, which are `<details>` elements.

use leptos::{
    ev::{Event, KeyboardEvent},
    prelude::*,
};
use leptos_router::hooks::use_location;

use super::dynamic::effect;
use crate::ui::browser::{self, ListenTarget};

/// The id of the menu of the account.
pub const ACCOUNT_MENU: &str = "menu";

/// The id of the menu of organizations.
pub const ORGANIZATION_MENU: &str = "organizations";

/// Closes the menus when the user clicks or focuses something outside. Call once per page.
pub fn close_on_outside_click() {
    let closes = |event: Event| {
        for menu in [ACCOUNT_MENU, ORGANIZATION_MENU] {
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
