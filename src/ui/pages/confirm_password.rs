//! `/dashboard/confirm-password`: what the dialog asks in the middle of an action, as a page, for browsers without
//! JavaScript. The server leads here when the last look at the password is too long ago.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

use super::confirm_sign_out_all::NotLoaded;
use crate::{
    domain::session::Session,
    ui::{
        components::{
            device_list::{DeviceList, devices, ends_text},
            dynamic::{nothing, waiting},
            password_field::PasswordField,
            pending_button::PendingButton,
            refusal::Refusal,
        },
        ending::Ending,
        failure::error_of_form,
        loading::{Devices, Loading},
    },
};

/// Takes `for`, the action to go on with, and `session_id` where it is about one.
#[component]
pub fn ConfirmPasswordPage() -> impl IntoView {
    let loaded = Loading::<Devices>::start();
    let query = use_query_map();
    let content = waiting(nothing, move || async move {
        let asked = query.with_untracked(|query| query.get("for"));
        let about = query.with_untracked(|query| query.get("session_id"));
        match loaded.ready().await {
            Ok(devices) => match asked_for(asked.as_deref(), about.as_deref(), devices.active.sessions) {
                Some((ending, sessions)) => view! { <Question ending sessions /> }.into_any(),
                None => view! { <NothingToConfirm /> }.into_any(),
            },
            Err(error) => view! {
                <h1 class="visually-hidden">"Enter your password to go on"</h1>
                <NotLoaded error />
            }
            .into_any(),
        }
    });
    view! {
        <Title text="Enter your password" />
        <main class="page narrow confirm" id="content" tabindex="-1">
            <section class="card" aria-labelledby="title">
                {content}
            </section>
        </main>
    }
}

/// What the address asks to go on with, and the sessions that it would end. `None`: nothing of the kind can be done.
fn asked_for(
    asked: Option<&str>,
    about: Option<&str>,
    mut sessions: Vec<Session>,
) -> Option<(Ending, Vec<Session>)> {
    let ending = match asked? {
        "revoke_session" => {
            sessions.retain(|session| Some(session.id.to_string().as_str()) == about);
            let session = sessions.first()?;
            Ending::One {
                id: session.id,
                name: session.device_name.clone(),
            }
        }
        "sign_out_other_devices" => {
            sessions.retain(|session| !session.is_current);
            Ending::Others
        }
        "sign_out_all_devices" => Ending::All,
        _ => return None,
    };
    (!sessions.is_empty()).then_some((ending, sessions))
}

#[component]
fn Question(ending: Ending, sessions: Vec<Session>) -> impl IntoView {
    let endpoint = ending.endpoint();
    let refused = Signal::stored(error_of_form(&[endpoint]));
    let (text, button) = match &ending {
        Ending::One { .. } => ("This ends the session on:".to_owned(), ending.label()),
        Ending::Others => (
            format!(
                "This signs out {}. This browser stays signed in.",
                devices(sessions.len())
            ),
            ending.label(),
        ),
        Ending::All => (
            ends_text(sessions.len()),
            format!("Sign out of {}", devices(sessions.len())),
        ),
    };
    let session_id = match ending {
        Ending::One { id, .. } => {
            Some(view! { <input type="hidden" name="session_id" value=id.to_string() /> })
        }
        _ => None,
    };
    view! {
        <header class="card-head">
            <h1 id="title">"Enter your password to go on"</h1>
        </header>
        <form method="post" action=endpoint>
            {session_id}
            <div class="card-body">
                <p>{text}</p>
                <DeviceList sessions=Signal::stored(sessions) />
                <PasswordField
                    id="password"
                    failure=refused
                    hint="You entered it some time ago, so we ask again before anything is signed out."
                    autofocus=true
                />
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

#[component]
fn NothingToConfirm() -> impl IntoView {
    view! {
        <header class="card-head">
            <h1 id="title">"There is nothing to confirm here"</h1>
        </header>
        <div class="card-body">
            <p>"The device may be signed out already, or the address is misspelt. Nothing was changed."</p>
            <p class="actions">
                <a class="button primary" href="/dashboard/settings#sessions">
                    "Back to your sessions"
                </a>
            </p>
        </div>
    }
}
