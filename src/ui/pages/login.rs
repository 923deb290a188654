//! Signing in, and why one has to.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

use crate::{
    domain::session::EndReason,
    error::AppError,
    server_fns::sign_in,
    ui::{
        browser,
        components::{
            dynamic::{dynamic, nothing, waiting},
            icon::{Icon, Mark, Picture},
            notice::{Notice, Tone},
            password_field::PasswordField,
            pending_button::PendingButton,
        },
        failure::error_of_form,
        loading::{Loading, Reason},
    },
};

/// `/login`: takes `next`, where to go afterwards, and `reason`, why the last session ended.
#[component]
pub fn LoginPage() -> impl IntoView {
    view! {
        <Title text="Sign in" />
        <main class="page sign-in" id="content" tabindex="-1">
            <a class="brand" href="/" rel="external">
                <Mark />
                "Broker Portal"
            </a>
            <section class="card" aria-labelledby="title">
                <div class="card-body">
                    <h1 id="title">"Sign in"</h1>
                    <WhyHere />
                    <SignInForm />
                </div>
            </section>
            <p class="soft small">"No account, or no way in? Ask your administrator."</p>
        </main>
    }
}

/// Why the person is here: as the browser's own ended session tells, else as the address says.
#[component]
fn WhyHere() -> impl IntoView {
    let query = use_query_map();
    let reason = Loading::<Reason>::start();
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
    waiting(nothing, move || async move {
        // A database that is away is told by the form, when it is sent.
        let Some(message) = reason
            .ready()
            .await
            .ok()
            .and_then(|reason| reason.0)
            .or_else(in_address)
        else {
            return nothing();
        };
        let notice = view! {
            <Notice tone=tone()>
                <p>{message}</p>
            </Notice>
        };
        notice.into_any()
    })
}

#[component]
fn SignInForm() -> impl IntoView {
    let query = use_query_map();
    let next = Signal::derive(move || query.with(|query| query.get("next").unwrap_or_default()));
    let failure = RwSignal::new(error_of_form(&["/api/sign_in"]));
    let busy = RwSignal::new(false);

    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        let (email, password) = (browser::typed("email"), browser::typed("password"));
        let next = Some(next.get_untracked());
        busy.set(true);
        spawn_local(async move {
            match sign_in(email, password, next).await {
                // Still busy: the page is on its way out.
                Ok(path) => browser::go_to(&path),
                Err(error) => {
                    failure.set(Some(error));
                    busy.set(false);
                    browser::focus("problem");
                }
            }
        });
    };
    let invalid =
        Signal::derive(move || matches!(failure.get(), Some(AppError::InvalidCredentials)).then_some("true"));
    let explanation = dynamic(move || {
        let error = failure.get()?;
        let notice = view! {
            <div class="notice error">
                <Icon picture=Picture::AlertCircle />
                <div>
                    <p class="notice-title">"You are not signed in."</p>
                    <p>{error.message()}</p>
                </div>
            </div>
        };
        Some(notice.into_any())
    });
    view! {
        <div id="problem" role="alert" tabindex="-1">
            {explanation}
        </div>
        <form class="form" method="post" action="/api/sign_in" on:submit=submit>
            <input type="hidden" name="next" value=next />
            <div class="field">
                <label for="email">"Email"</label>
                <input
                    class="input"
                    id="email"
                    name="email"
                    type="email"
                    autocomplete="username"
                    required
                    maxlength="254"
                    aria-invalid=invalid
                    aria-describedby="problem"
                />
            </div>
            <PasswordField id="password" failure told_at="problem" />
            <PendingButton
                class="button primary wide"
                idle="Sign in".to_owned()
                pending="Signing in…".to_owned()
                busy
            />
        </form>
    }
}
