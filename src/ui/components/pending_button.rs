//! A submit button that shows when it is busy, without moving the layout.

use leptos::{ev::MouseEvent, prelude::*};

use crate::ui::{browser, live::monitor::SessionMonitor};

/// Shows `idle` until `busy`, then `pending`; the size fits both. While busy it keeps the focus, and its form's
/// handler must ignore it. A double click counts once. While the portal is unreachable it is disabled, and the session
/// monitor stops the form.
#[component]
pub fn PendingButton(
    class: &'static str,
    #[prop(into)] idle: Signal<String>,
    #[prop(into)] pending: Signal<String>,
    /// The object of the action, for screen readers: "of Firefox on macOS".
    #[prop(optional, into)]
    of: Option<Signal<String>>,
    #[prop(optional, into)] id: Option<String>,
    #[prop(into)] busy: Signal<bool>,
    /// Enabled in every state of the session.
    #[prop(optional)]
    always_enabled: bool,
) -> impl IntoView {
    let monitor = use_context::<SessionMonitor>().filter(|_| !always_enabled);
    let can_act = Memo::new(move |_| monitor.is_none_or(|monitor| monitor.view().can_act()));
    let when_busy = Signal::derive(move || busy.get().then_some("true"));
    let when_disabled = Signal::derive(move || (busy.get() || !can_act.get()).then_some("true"));
    let spoken = move || of.map(|of| view! { <span class="visually-hidden">" " {of}</span> }.into_any());
    view! {
        <button
            class=class
            type="submit"
            id=id
            aria-busy=when_busy
            aria-disabled=when_disabled
            on:click=|event: MouseEvent| browser::drop_second_click(&event)
        >
            <span class="idle">{idle} {spoken()}</span>
            <span class="pending">{pending} {spoken()}</span>
        </button>
    }
}
