//! Where toasts are shown.

use leptos::prelude::*;

use crate::ui::{
    components::{
        dynamic::{KeyedRow, keyed_rows},
        icon::{Icon, Picture},
        notice::Tone,
    },
    live::{
        keeper::Keeper,
        toasts::{Toast, Toasts},
    },
};

/// The place at the bottom of the page. Announced when there is time.
#[component]
pub fn ToastRegion() -> impl IntoView {
    let toasts = expect_context::<Toasts>();
    let keeper = expect_context::<Keeper>();
    // What comes after the end may tell of what is nobody's to read any more.
    let shown = move || {
        if keeper.view().is_gone() {
            Vec::new()
        } else {
            toasts.list()
        }
    };
    let row = move |toast: Toast| KeyedRow {
        key: toast.number.to_string(),
        view: Box::new(move || {
            let toast = toast.clone();
            view! { <Shown toast toasts /> }.into_any()
        }),
    };
    view! {
        <div
            class="toast-region"
            role="status"
            on:pointerenter=move |_| toasts.hold(true)
            on:pointerleave=move |_| toasts.hold(false)
            on:focusin=move |_| toasts.hold(true)
            on:focusout=move |_| toasts.hold(false)
        >
            {keyed_rows(move || shown().into_iter().map(row).collect())}
        </div>
    }
}

#[component]
fn Shown(toast: Toast, toasts: Toasts) -> impl IntoView {
    let Toast { number, tone, text } = toast;
    let (class, picture) = match tone {
        Tone::Info => ("toast", Picture::Info),
        Tone::Success => ("toast success", Picture::Check),
        Tone::Warning => ("toast warning", Picture::AlertTriangle),
        Tone::Error => ("toast error", Picture::AlertCircle),
    };
    view! {
        <div class=class>
            <Icon picture />
            <p>{text}</p>
            <button
                class="button quiet square"
                type="button"
                on:click=move |_| {
                    toasts.hold(false);
                    toasts.dismiss(number);
                }
            >
                <Icon picture=Picture::Close />
                <span class="visually-hidden">"Dismiss this message"</span>
            </button>
        </div>
    }
}
