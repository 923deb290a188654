//! `/dashboard/settings/sign-out-all`: what the dialog asks, as a page, for browsers without JavaScript.

use leptos::prelude::*;
use leptos_meta::Title;

use crate::{
    domain::session::Session,
    error::AppError,
    ui::{
        components::{
            device_list::{DeviceList, devices, ends_text},
            dynamic::{nothing, waiting},
            pending_button::PendingButton,
            refusal::Refusal,
            trouble::Trouble,
        },
        ending::Ending,
        failure::error_of_form,
        loading::{Devices, Loading},
    },
};

/// Names what will end and asks.
#[component]
pub fn ConfirmSignOutAllPage() -> impl IntoView {
    let loaded = Loading::<Devices>::start();
    let refused = Signal::stored(error_of_form(&[Ending::All.endpoint()]));
    let question = waiting(nothing, move || async move {
        match loaded.ready().await {
            Ok(devices) => view! { <Question sessions=devices.active.sessions refused /> }.into_any(),
            Err(error) => view! { <NotLoaded error /> }.into_any(),
        }
    });
    view! {
        <Title text="Sign out of all devices" />
        <main class="page narrow confirm" id="content" tabindex="-1">
            <section class="card" aria-labelledby="title">
                <header class="card-head">
                    <h1 id="title">"Sign out of all devices?"</h1>
                </header>
                {question}
            </section>
        </main>
    }
}

/// In the question's place when there is no list.
#[component]
pub fn NotLoaded(error: AppError) -> impl IntoView {
    view! {
        <div class="card-body">
            <Trouble title="Your sessions could not be loaded." error />
        </div>
    }
}

#[component]
fn Question(sessions: Vec<Session>, refused: Signal<Option<AppError>>) -> impl IntoView {
    let count = sessions.len();
    view! {
        <div class="card-body">
            <p>{ends_text(count)}</p>
            <DeviceList sessions=Signal::stored(sessions) />
            <Refusal failure=refused />
        </div>
        <form class="card-foot" method="post" action=Ending::All.endpoint()>
            <div class="actions end">
                <a class="button" href="/dashboard/settings#sessions">
                    "Cancel"
                </a>
                <PendingButton
                    class="button danger final"
                    idle=format!("Sign out of {}", devices(count))
                    pending="Signing out…".to_owned()
                    busy=false
                />
            </div>
        </form>
    }
}
