//! Shows toasts.

use leptos::prelude::*;

use crate::elements::{
    icon::{Icon, IconName},
    notice::Tone,
};
use crate::ui::{
    components::dynamic::{KeyedRow, keyed_rows},
    live::{
        monitor::SessionMonitor,
        toasts::{Toast, Toasts},
    },
};

/// The region at the bottom of the page. Screen readers announce it politely.
#[component]
pub fn ToastRegion() -> impl IntoView {
    let toasts = expect_context::<Toasts>();
    let monitor = expect_context::<SessionMonitor>();
    // After the end of the session, a toast might show private data.
    let shown = move || {
        if monitor.view().is_content_hidden() {
            Vec::new()
        } else {
            toasts.list()
        }
    };
    let row = move |toast: Toast| KeyedRow {
        key: toast.number.to_string(),
        view: Box::new(move || {
            let toast = toast.clone();
            view! { <ToastView toast toasts /> }.into_any()
        }),
    };
    view! {
        <div
            class="toast-region"
            role="status"
            on:pointerenter=move |_| toasts.set_paused(true)
            on:pointerleave=move |_| toasts.set_paused(false)
            on:focusin=move |_| toasts.set_paused(true)
            on:focusout=move |_| toasts.set_paused(false)
        >
            {keyed_rows(move || shown().into_iter().map(row).collect())}
        </div>
    }
}

#[component]
fn ToastView(toast: Toast, toasts: Toasts) -> impl IntoView {
    let Toast { number, tone, text } = toast;
    let (class, name) = match tone {
        Tone::Info => ("toast", IconName::Info),
        Tone::Success => ("toast success", IconName::Check),
        Tone::Warning => ("toast warning", IconName::AlertTriangle),
        Tone::Error => ("toast error", IconName::AlertCircle),
    };
    view! {
        <div class=class>
            <Icon name />
            <p>{text}</p>
            <button
                class="button quiet square"
                type="button"
                on:click=move |_| {
                    toasts.set_paused(false);
                    toasts.dismiss(number);
                }
            >
                <Icon name=IconName::Close />
                <span class="visually-hidden">"Dismiss this message"</span>
            </button>
        </div>
    }
}
