//! A submit button that says when it is at work, without the page moving.

use leptos::prelude::*;

/// Shows `idle` until `busy`, then `pending`; both take their room from the start. While busy it stays focusable, and
/// its form's handler is to ignore it.
#[component]
pub fn PendingButton(
    class: &'static str,
    #[prop(into)] idle: Signal<String>,
    #[prop(into)] pending: Signal<String>,
    /// What it acts on, for those who cannot see the row that it stands in.
    #[prop(optional, into)]
    of: Option<Signal<String>>,
    #[prop(into)] busy: Signal<bool>,
) -> impl IntoView {
    let when_busy = Signal::derive(move || busy.get().then_some("true"));
    let spoken = move || of.map(|of| view! { <span class="visually-hidden">" of " {of}</span> });
    view! {
        <button
            class=class
            type="submit"
            aria-busy=when_busy
            aria-disabled=when_busy
        >
            <span class="idle">{idle} {spoken()}</span>
            <span class="pending">{pending} {spoken()}</span>
        </button>
    }
}
