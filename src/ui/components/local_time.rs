//! Times for users. Rendered in UTC, then converted to the browser's time zone: the server does not know it, and
//! hydration does not replace differing text.

use chrono::{DateTime, Utc};
use leptos::prelude::*;

use super::dynamic::effect;
use domain::time::{format_rfc3339, format_utc, relative_time};

use crate::ui::{browser, page_clock::PageClock};

/// A time: "Fri, 20 Nov, 17:42", with the complete time as title.
#[component]
pub fn LocalTime(#[prop(into)] at: Signal<DateTime<Utc>>) -> impl IntoView {
    let is_local = is_local();
    let text = Signal::derive(move || {
        if is_local.get() {
            browser::local_time(at.get())
        } else {
            format_utc(at.get())
        }
    });
    let datetime = Signal::derive(move || format_rfc3339(at.get()));
    view! {
        <time datetime=datetime title=exact(at, is_local)>
            {text}
        </time>
    }
}

/// An age that is updated, with the complete time as title and for screen readers.
#[component]
pub fn Ago(#[prop(into)] at: Signal<DateTime<Utc>>, clock: PageClock) -> impl IntoView {
    let exact = exact(at, is_local());
    let datetime = Signal::derive(move || format_rfc3339(at.get()));
    let age = Signal::derive(move || relative_time(at.get(), clock.now()));
    view! {
        <time datetime=datetime title=exact>
            {age}
            <span class="visually-hidden">", " {exact}</span>
        </time>
    }
}

/// False on the server and during hydration, then true.
fn is_local() -> RwSignal<bool> {
    let is_local = RwSignal::new(false);
    effect(move || is_local.set(true));
    is_local
}

fn exact(at: Signal<DateTime<Utc>>, is_local: RwSignal<bool>) -> Signal<String> {
    Signal::derive(move || {
        if is_local.get() {
            browser::exact_local_time(at.get())
        } else {
            format_utc(at.get())
        }
    })
}
