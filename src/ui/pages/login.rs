//! The sign-in page.

use domain::{return_path::safe_return_path, session::EndReason};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use crate::elements::{
    icon::Mark,
    notice::{Notice, Tone},
};
use crate::ui::{
    browser,
    components::{
        dynamic::{async_view, effect, empty_view},
        page_title::PageTitle,
        sign_in_form::{SignInForm, SignInFormIds},
    },
    live::tabs::{TabChannel, TabEvent, TabMessage},
    page_data::{PageResource, SignInReason},
};

/// `/login`, with the parameters `next` (where to go afterwards) and `reason` (why the last session ended).
#[component]
pub fn LoginPage() -> impl IntoView {
    let query = use_query_map();
    let next = Signal::derive(move || query.with(|query| query.get("next").unwrap_or_default()));
    let is_going = StoredValue::new(false);
    follow_other_tabs(next, is_going);
    let go_on = move |path: String| {
        is_going.set_value(true);
        TabChannel::open(|_| {}).broadcast(&TabMessage::signed_in());
        browser::go_to(&path);
    };
    view! {
        <PageTitle text="Sign in" />
        <main class="page sign-in" id="content" tabindex="-1">
            <a class="brand" href="/" rel="external">
                <Mark />
                "Broker Portal"
            </a>
            <section class="card" aria-labelledby="title">
                <div class="card-body">
                    <h1 id="title">"Sign in"</h1>
                    <WhyHere />
                    <SignInForm ids=SignInFormIds::PAGE label="Sign in" next on_signed_in=Callback::new(go_on) />
                </div>
            </section>
            <p class="soft small">"No account, or cannot sign in? Ask your administrator."</p>
        </main>
    }
}

/// Continues when the user signs in in another tab of this browser.
fn follow_other_tabs(next: Signal<String>, is_going: StoredValue<bool>) {
    effect(move || {
        let tabs = TabChannel::open(move |message| {
            if message.event == TabEvent::SignedIn && is_going.try_get_value() == Some(false) {
                let next = next.try_get_untracked().unwrap_or_default();
                browser::go_to(safe_return_path(&next).unwrap_or("/dashboard"));
            }
        });
        let tabs = StoredValue::new_local(tabs);
        on_cleanup(move || tabs.dispose());
    });
}

/// Why the session ended: from the cookie's session if possible, otherwise from the URL.
#[component]
fn WhyHere() -> impl IntoView {
    let query = use_query_map();
    let reason = PageResource::<SignInReason>::start();
    let in_address = move || {
        query.with(|query| {
            let reason: EndReason = query.get_str("reason")?.parse().ok()?;
            let by_you = query.get_str("by") == Some("you");
            Some(match reason {
                EndReason::SignedOutEverywhere if by_you => {
                    "All your devices have been signed out.".to_owned()
                }
                reason => reason.message().to_owned(),
            })
        })
    };
    let tone = move || {
        let warns = |reason| matches!(reason, EndReason::TokenReuse | EndReason::ClientChanged);
        let reason = query.with(|query| query.get_str("reason").and_then(|reason| reason.parse().ok()));
        if reason.is_some_and(warns) {
            Tone::Warning
        } else {
            Tone::Info
        }
    };
    async_view(empty_view, move || async move {
        // A database failure is reported when the form is sent.
        let Some(message) = reason
            .wait()
            .await
            .ok()
            .and_then(|reason| reason.0)
            .or_else(in_address)
        else {
            return empty_view();
        };
        let notice = view! {
            <Notice tone=tone()>
                <p>{message}</p>
            </Notice>
        };
        notice.into_any()
    })
}
