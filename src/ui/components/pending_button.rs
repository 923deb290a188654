//! A submit button that says when it is at work, without the page moving.

use leptos::{ev::MouseEvent, prelude::*};

use crate::ui::browser;

/// Shows `idle` until `busy`, then `pending`; both take their room from the start. While busy it stays focusable, and
/// its form's handler is to ignore it. A double click is one click.
#[component]
pub fn PendingButton(
    class: &'static str,
    #[prop(into)] idle: Signal<String>,
    #[prop(into)] pending: Signal<String>,
    /// What it acts on, for those who cannot see what it stands beside: "of Firefox on macOS".
    #[prop(optional, into)]
    of: Option<Signal<String>>,
    #[prop(optional, into)] id: Option<String>,
    #[prop(into)] busy: Signal<bool>,
) -> impl IntoView {
    let when_busy = Signal::derive(move || busy.get().then_some("true"));
    let spoken = move || of.map(|of| view! { <span class="visually-hidden">" " {of}</span> }.into_any());
    view! {
        <button
            class=class
            type="submit"
            id=id
            aria-busy=when_busy
            aria-disabled=when_busy
            on:click=|event: MouseEvent| browser::drop_second_click(&event)
        >
            <span class="idle">{idle} {spoken()}</span>
            <span class="pending">{pending} {spoken()}</span>
        </button>
    }
}
