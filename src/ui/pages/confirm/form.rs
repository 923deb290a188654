//! The content of a confirmation page.

use domain::session::Session;
use leptos::prelude::*;

use crate::{
    error::AppError,
    ui::{
        components::{
            device_list::{DeviceList, devices},
            error_notice::ErrorNotice,
            form_error::FormError,
            password_field::PasswordField,
            pending_button::PendingButton,
        },
        errors::form_error_in_url,
        sign_out::SignOutTarget,
    },
};

/// Shown if the sessions could not be loaded.
#[component]
pub fn NotLoaded(error: AppError) -> impl IntoView {
    view! {
        <header class="card-head">
            <h1 id="title">"Sign out"</h1>
        </header>
        <div class="card-body">
            <ErrorNotice title="Your sessions could not be loaded." error />
        </div>
    }
}

/// Shown if there is nothing to sign out.
#[component]
pub fn NothingToConfirm() -> impl IntoView {
    view! {
        <header class="card-head">
            <h1 id="title">"There is nothing to confirm here"</h1>
        </header>
        <div class="card-body">
            <p>"The device may be signed out already, or the address is misspelled. Nothing was changed."</p>
            <p class="actions">
                <a class="button primary" href="/dashboard/settings#sessions">
                    "Back to your sessions"
                </a>
            </p>
        </div>
    }
}

/// Lists what will end, with a password field if the server requires it.
#[component]
pub fn SignOutForm(target: SignOutTarget, sessions: Vec<Session>, asks: bool) -> impl IntoView {
    let count = devices(sessions.len());
    let session_id = match &target {
        SignOutTarget::One { id, .. } => id.to_string(),
        _ => String::new(),
    };
    confirm_form(ConfirmForm {
        title: if asks {
            ENTER_PASSWORD
        } else {
            target.confirm_title()
        },
        endpoint: target.endpoint(),
        subject: ("session_id", session_id),
        text: target.describe_effect(sessions.len()),
        devices: Some(view! { <DeviceList sessions=Signal::stored(sessions) /> }.into_any()),
        hint: asks.then_some("You entered it some time ago, so we ask again before anything is signed out."),
        refused: "Nothing was signed out.",
        button: match &target {
            SignOutTarget::One { .. } => target.label(),
            SignOutTarget::Others | SignOutTarget::All => format!("Sign out of {count}"),
        },
        class: "button danger final",
        pending: "Signing out…",
    })
}

/// The title of a page that asks for the password.
pub const ENTER_PASSWORD: &str = "Enter your password to continue";

/// A confirmation form.
pub struct ConfirmForm {
    pub title: &'static str,
    pub endpoint: &'static str,
    /// The hidden field that names the subject, and its value.
    pub subject: (&'static str, String),
    pub text: String,
    pub devices: Option<AnyView>,
    /// Why the password is required, if it is.
    pub hint: Option<&'static str>,
    /// What was not done after an error.
    pub refused: &'static str,
    pub button: String,
    pub class: &'static str,
    pub pending: &'static str,
}

/// Renders the form with the last error.
pub fn confirm_form(form: ConfirmForm) -> AnyView {
    let failure = Signal::stored(form_error_in_url(&[form.endpoint]));
    let password = form
        .hint
        .map(|hint| view! { <PasswordField id="password" failure hint autofocus=true /> }.into_any());
    let (name, value) = form.subject;
    view! {
        <header class="card-head">
            <h1 id="title">{form.title}</h1>
        </header>
        <form method="post" action=form.endpoint>
            <input type="hidden" name=name value=value />
            <div class="card-body">
                <p>{form.text}</p>
                {form.devices}
                {password}
                <FormError failure title=form.refused />
            </div>
            <div class="card-foot actions end">
                <a class="button" href="/dashboard/settings#sessions">
                    "Cancel"
                </a>
                <PendingButton class=form.class idle=form.button pending=form.pending.to_owned() busy=false />
            </div>
        </form>
    }
    .into_any()
}
