//! `/dashboard/settings/sign-out-all`: what the dialog asks, as a page, for browsers without JavaScript.

use leptos::prelude::*;

use crate::{
    domain::{overview::ActiveSessions, session::Session},
    error::AppError,
    ui::{
        components::{
            device_list::{DeviceList, devices, ends_text},
            dynamic::{nothing, waiting},
            page_title::PageTitle,
            password_field::PasswordField,
            pending_button::PendingButton,
            refusal::Refusal,
            trouble::Trouble,
        },
        ending::Ending,
        failure::error_of_form,
        loading::Loading,
    },
};

/// Names what will end and asks.
#[component]
pub fn ConfirmSignOutAllPage() -> impl IntoView {
    let loaded = Loading::<ActiveSessions>::start();
    let question = waiting(nothing, move || async move {
        match loaded.ready().await {
            Ok(devices) => {
                view! { <Question ending=Ending::All sessions=devices.sessions asks=false /> }.into_any()
            }
            Err(error) => view! { <NotLoaded error /> }.into_any(),
        }
    });
    view! {
        <PageTitle text="Sign out of all devices" />
        <main class="page narrow confirm" id="content" tabindex="-1">
            <section class="card" aria-labelledby="title">
                {question}
            </section>
        </main>
    }
}

/// In the question's place when there is no list.
#[component]
pub fn NotLoaded(error: AppError) -> impl IntoView {
    view! {
        <header class="card-head">
            <h1 id="title">"Sign out"</h1>
        </header>
        <div class="card-body">
            <Trouble title="Your sessions could not be loaded." error />
        </div>
    }
}

/// Names what will end and sends it on its way, with the password if the server asks for it.
#[component]
pub fn Question(ending: Ending, sessions: Vec<Session>, asks: bool) -> impl IntoView {
    let endpoint = ending.endpoint();
    let refused = Signal::stored(error_of_form(&[endpoint]));
    let count = devices(sessions.len());
    let (text, button) = match &ending {
        Ending::One { .. } => ("This ends the session on:".to_owned(), ending.label()),
        Ending::Others => (
            format!("This signs out {count}. This browser stays signed in."),
            ending.label(),
        ),
        Ending::All => (ends_text(sessions.len()), format!("Sign out of {count}")),
    };
    let session_id = match ending {
        Ending::One { id, .. } => id.to_string(),
        _ => String::new(),
    };
    let title = if asks {
        "Enter your password to go on"
    } else {
        "Sign out of all devices?"
    };
    let password = asks.then(|| {
        view! {
            <PasswordField
                id="password"
                failure=refused
                hint="You entered it some time ago, so we ask again before anything is signed out."
                autofocus=true
            />
        }
        .into_any()
    });
    view! {
        <header class="card-head">
            <h1 id="title">{title}</h1>
        </header>
        <form method="post" action=endpoint>
            <input type="hidden" name="session_id" value=session_id />
            <div class="card-body">
                <p>{text}</p>
                <DeviceList sessions=Signal::stored(sessions) />
                {password}
                <Refusal failure=refused />
            </div>
            <div class="card-foot actions end">
                <a class="button" href="/dashboard/settings#sessions">
                    "Cancel"
                </a>
                <PendingButton
                    class="button danger final"
                    idle=button
                    pending="Signing out…".to_owned()
                    busy=false
                />
            </div>
        </form>
    }
}
