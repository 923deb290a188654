//! `/dashboard/confirm-password`: what the dialog asks in the middle of an action, as a page, for browsers without
//! JavaScript. The server leads here when the last look at the password is too long ago.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::confirm_sign_out_all::{NotLoaded, Question};
use crate::{
    domain::{overview::ActiveSessions, session::Session},
    ui::{
        components::{
            dynamic::{nothing, waiting},
            page_title::PageTitle,
        },
        ending::Ending,
        loading::Loading,
    },
};

/// Takes `for`, the action to go on with, and `session_id` where it is about one.
#[component]
pub fn ConfirmPasswordPage() -> impl IntoView {
    let loaded = Loading::<ActiveSessions>::start();
    let query = use_query_map();
    let content = waiting(nothing, move || async move {
        let asked = query.with_untracked(|query| query.get("for"));
        let about = query.with_untracked(|query| query.get("session_id"));
        match loaded.ready().await {
            Ok(devices) => match asked_for(asked.as_deref(), about.as_deref(), devices.sessions) {
                Some((ending, sessions)) => view! { <Question ending sessions asks=true /> }.into_any(),
                None => view! { <NothingToConfirm /> }.into_any(),
            },
            Err(error) => view! { <NotLoaded error /> }.into_any(),
        }
    });
    view! {
        <PageTitle text="Enter your password" />
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
