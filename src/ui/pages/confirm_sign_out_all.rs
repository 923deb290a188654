//! `/dashboard/settings/sign-out-all`: what the dialog asks, as a page, for browsers without JavaScript.

use leptos::prelude::*;
use leptos_meta::Title;

use crate::{
    domain::overview::ActiveSessions,
    error::AppError,
    server_fns::list_active_sessions,
    ui::{
        components::{
            device_list::{DeviceList, devices, ends_text},
            dynamic::{nothing, waiting},
            notice::{Notice, Tone},
            pending_button::PendingButton,
        },
        failure::error_in_address,
    },
};

/// Names what will end and asks.
#[component]
pub fn ConfirmSignOutAllPage() -> impl IntoView {
    let sessions = Resource::new_blocking(|| (), |()| list_active_sessions());
    let refused = error_in_address();
    let question = waiting(nothing, move || async move {
        match sessions.await {
            Ok(active) => view! { <Question active refused=refused.get_untracked() /> }.into_any(),
            Err(error) => view! {
                <div class="card-body">
                    <Notice tone=Tone::Error>
                        <p class="notice-title">"Your sessions could not be loaded."</p>
                        <p>{error.message()}</p>
                    </Notice>
                </div>
            }
            .into_any(),
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

#[component]
fn Question(active: ActiveSessions, refused: Option<AppError>) -> impl IntoView {
    let count = active.sessions.len();
    view! {
        <div class="card-body">
            <p>{ends_text(count)}</p>
            <DeviceList sessions=Signal::stored(active.sessions) />
            {refused
                .map(|error| {
                    view! {
                        <Notice tone=Tone::Error>
                            <p class="notice-title">"Nothing was signed out."</p>
                            <p>{error.message()}</p>
                        </Notice>
                    }
                })}
        </div>
        <form class="card-foot" method="post" action="/api/sign_out_all_devices">
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
