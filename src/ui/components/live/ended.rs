//! The dialog over the page when the session has ended: the reason, and sign-in in place. Text in forms of the page is
//! kept.

use domain::{session::EndReason, state_machine::SessionEnd};
use leptos::{ev::Event as BrowserEvent, prelude::*, task::spawn_local};

use crate::{
    server_fns::{client::run_in_background, sign_in_notice},
    ui::{
        browser,
        components::{
            dynamic::{dynamic, effect},
            sign_in_form::{SignInForm, SignInFormIds},
        },
        live::monitor::SessionMonitor,
    },
};

const DIALOG: &str = "session-ended";
const TITLE: &str = "session-ended-title";

/// Open while the session has ended or should have expired.
#[component]
pub fn EndedDialog() -> impl IntoView {
    let monitor = expect_context::<SessionMonitor>();
    let is_ended_or_overdue = Memo::new(move |_| monitor.view().is_ended_or_overdue());
    let end = Memo::new(move |_| monitor.view().end());
    // The server's text, with the administrator's note.
    let server_message = RwSignal::new(None::<String>);
    let has_typed = RwSignal::new(false);
    let mut title_of_page = None;
    let mut was_ended = false;
    effect(move || {
        let was_ended = std::mem::replace(&mut was_ended, is_ended_or_overdue.get());
        if is_ended_or_overdue.get() {
            has_typed.set(browser::has_unsaved_input());
            browser::open_dialog(DIALOG);
            // Not an input: the user may be typing text for another one.
            browser::focus(TITLE);
        } else {
            browser::close_dialog(DIALOG);
            // The dialog restores the focus, but that element may be gone.
            if was_ended {
                browser::focus_if_lost("content");
            }
        }
    });
    effect(move || {
        if end.get().is_some() {
            let title = browser::set_title("Signed out · Broker Portal");
            title_of_page.get_or_insert(title);
        } else if let Some(title) = title_of_page.take() {
            browser::set_title(&title);
        }
    });
    effect(move || {
        server_message.set(None);
        if end
            .get()
            .is_some_and(|end| end.reason == EndReason::RevokedByAdmin)
        {
            spawn_local(async move {
                if let Ok(notice) = run_in_background(Box::pin(sign_in_notice())).await {
                    server_message.set(notice);
                }
            });
        }
    });
    let title = Signal::derive(move || {
        if is_ended_or_overdue.get() && end.get().is_none() {
            "Your session may be over".to_owned()
        } else {
            "You are signed out".to_owned()
        }
    });
    let why = Signal::derive(move || {
        match end.get() {
        Some(end) => server_message.get().unwrap_or_else(|| end_message(end, monitor.limits())),
        None => "It should have ended by now, but the portal cannot be reached to confirm this. This page continues as \
                 soon as the portal can be reached."
            .to_owned(),
    }
    });
    let can_sign_in = Memo::new(move |_| {
        end.get()
            .is_some_and(|end| end.reason != EndReason::AccountDisabled)
    });
    let hint = Signal::derive(move || {
        let is_kept = has_typed.get() && can_sign_in.get();
        let text = "What you typed on this page is still there when you sign in again.";
        if is_kept { text.to_owned() } else { String::new() }
    });
    let form = dynamic(move || {
        let form = view! {
            <SignInForm
                ids=SignInFormIds::DIALOG
                label="Sign in again"
                next=String::new()
                on_signed_in=Callback::new(move |_| monitor.after_sign_in())
            />
        };
        can_sign_in.get().then(|| form.into_any())
    });
    // The dialog cannot be closed, because the page behind it is hidden.
    let prevent_close = |event: BrowserEvent| event.prevent_default();
    let reopen = move |_| {
        if is_ended_or_overdue.get_untracked() {
            browser::open_dialog(DIALOG);
        }
    };
    view! {
        <dialog
            class="dialog ended"
            id=DIALOG
            closedby="none"
            aria-labelledby=TITLE
            aria-describedby="session-ended-why"
            on:cancel=prevent_close
            on:close=reopen
        >
            <h2 id=TITLE tabindex="-1">
                {title}
            </h2>
            <div class="dialog-body">
                <p id="session-ended-why">{why}</p>
                <p class="soft">{hint}</p>
                {form}
            </div>
            <div class="dialog-foot">
                <p class="small">
                    <a href="/login" rel="external">
                        "Go to the sign-in page"
                    </a>
                </p>
            </div>
        </dialog>
    }
}

fn end_message(end: SessionEnd, limits: Option<(i64, i64)>) -> String {
    match (end.reason, limits) {
        (EndReason::SignedOutEverywhere, _) if end.by_this_browser => {
            "All your devices have been signed out.".to_owned()
        }
        (reason, Some((idle, lifetime))) => reason.message_with_limits(idle, lifetime),
        (reason, None) => reason.message().to_owned(),
    }
}
