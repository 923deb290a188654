//! The banner while the portal is unreachable.

use leptos::prelude::*;

use domain::state_machine::Input;

use crate::elements::{
    icon::{Icon, IconName},
    notice::Tone,
};
use crate::ui::{
    browser,
    components::dynamic::{dynamic, effect},
    live::{monitor::SessionMonitor, toasts::Toasts},
};

/// Shown at the top of the page.
#[component]
pub fn UnreachableBanner() -> impl IntoView {
    let monitor = expect_context::<SessionMonitor>();
    let toasts = expect_context::<Toasts>();
    let is_away = Memo::new(move |_| monitor.view().is_unreachable());
    let mut was_away = false;
    effect(move || {
        let is_away = is_away.get();
        if std::mem::replace(&mut was_away, is_away) && !is_away && monitor.view().can_act() {
            // Remove the outdated "Nothing was sent".
            toasts.clear();
            toasts.show(
                Tone::Info,
                "The portal can be reached again. This page is up to date.",
            );
        }
    });
    let banner = dynamic(move || {
        if !is_away.get() {
            return None;
        }
        let what = if browser::is_online() {
            "The portal cannot be reached right now."
        } else {
            "You are offline."
        };
        let banner = view! {
            <div class="banner">
                <Icon name=IconName::Unreachable />
                <p>
                    <strong>{what}</strong>
                    " What you see may be out of date. This page refreshes by itself as soon as the portal can be reached."
                </p>
                <button
                    class="button small"
                    type="button"
                    on:click=move |_| monitor.handle(Input::CameOnline)
                >
                    "Try now"
                </button>
            </div>
        };
        Some(banner.into_any())
    });
    view! { <div class="banner-place" role="status">{banner}</div> }
}
