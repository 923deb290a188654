//! The password section.

use domain::{
    flash::{FlashCode, other_sessions_message},
    overview::ActiveSessions,
};
use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use crate::{
    elements::notice::{Notice, Tone},
    error::AppError,
    server_fns::{change_password, flash_message},
    ui::{
        browser,
        components::{
            dynamic::dynamic, error_notice::ErrorNotice, password_field::PasswordField,
            pending_button::PendingButton,
        },
        errors::{filter_session_end, form_error_in_url, is_about_password},
        live::monitor,
        page_data::PageResource,
    },
};

const CURRENT: &str = "current-password";
const NEW: &str = "new-password";
const KEEP: &str = "keep-others";

/// The form and its result.
#[component]
pub fn PasswordSection(loaded: PageResource<ActiveSessions>) -> impl IntoView {
    let failure = RwSignal::new(form_error_in_url(&["/api/change_password"]));
    let done = RwSignal::new(flash_message(&[
        FlashCode::PasswordChanged,
        FlashCode::PasswordChangedOthersKept,
    ]));
    let busy = RwSignal::new(false);

    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        let keeps = browser::field(KEEP).is_some_and(|keep| keep.checked());
        let others = if keeps { "keep" } else { "end" };
        busy.set(true);
        failure.set(None);
        done.set(None);
        if !keeps && let Some(Ok(devices)) = untrack(|| loaded.get()) {
            let others = devices.sessions.iter().filter(|session| !session.is_current);
            monitor::announce_revocation(&others.map(|session| session.id).collect::<Vec<_>>());
        }
        spawn_local(async move {
            let result = change_password(
                browser::field_value(CURRENT),
                browser::field_value(NEW),
                Some(others.to_owned()),
            )
            .await;
            busy.set(false);
            match result {
                Ok(ended) => {
                    if let Some(form) = browser::field(NEW).and_then(|field| field.form()) {
                        form.reset();
                    }
                    done.set(Some(other_sessions_message(keeps, ended)));
                    loaded.refetch();
                }
                Err(error) => {
                    let field = match error {
                        AppError::UnsuitablePassword(_) => NEW,
                        _ => CURRENT,
                    };
                    failure.set(filter_session_end(error));
                    browser::focus_field(field);
                }
            }
        });
    };
    let of_field = move |is_new: bool| {
        Signal::derive(move || {
            failure
                .get()
                .filter(|error| matches!(error, AppError::UnsuitablePassword(_)) == is_new)
        })
    };
    let outcome = dynamic(move || {
        let text = done.get()?;
        let notice = view! {
            <Notice tone=Tone::Success>
                <p class="notice-title">"Your password has been changed."</p>
                <p>{text}</p>
            </Notice>
        };
        Some(notice.into_any())
    });
    let problem = dynamic(move || {
        let error = failure.get().filter(|error| !is_about_password(error))?;
        Some(view! { <ErrorNotice title="Your password was not changed." error /> }.into_any())
    });
    view! {
        <section class="card" id="password" aria-labelledby="password-title">
            <header class="card-head">
                <h2 id="password-title">"Password"</h2>
            </header>
            // The form's user name is in the user menu. The browser keeps the fragment of the URL over the redirect.
            <form id="password-form" method="post" action="/api/change_password#password" on:submit=submit>
                <div class="card-body form short">
                    {outcome}
                    <PasswordField
                        id=CURRENT
                        name="current_password"
                        label="Current password"
                        failure=of_field(false)
                        wrong="That is not your current password."
                    />
                    <PasswordField
                        id=NEW
                        name="new_password"
                        label="New password"
                        autocomplete="new-password"
                        failure=of_field(true)
                        hint="At least 8 characters. Several unrelated words are strong and easy to remember."
                    />
                    <fieldset class="options">
                        <legend>"Your other devices"</legend>
                        <label class="option">
                            <input type="radio" name="other_sessions" value="end" checked />
                            <span>
                                "Sign them out"
                                <span class="field-hint">
                                    "Every other browser and desktop app must sign in again with the new password. This \
                                     browser stays signed in."
                                </span>
                            </span>
                        </label>
                        <label class="option">
                            <input type="radio" name="other_sessions" value="keep" id=KEEP />
                            <span>
                                "Keep them signed in"
                                <span class="field-hint">
                                    "They stay signed in without the new password. Choose this only if you know \
                                     every device in the list above."
                                </span>
                            </span>
                        </label>
                    </fieldset>
                    {problem}
                </div>
                <div class="card-foot actions">
                    <PendingButton
                        class="button primary"
                        idle="Change password".to_owned()
                        pending="Changing…".to_owned()
                        busy
                    />
                </div>
            </form>
        </section>
    }
}
