//! The sign-in form: email and password.

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use super::{dynamic::dynamic, password_field::PasswordField, pending_button::PendingButton};
use crate::{
    elements::icon::{Icon, IconName},
    error::AppError,
    server_fns::{sign_in, typed_email},
    ui::{browser, errors::form_error_in_url},
};

/// The ids of the form's elements.
#[derive(Clone, Copy, Debug)]
pub struct SignInFormIds {
    email: &'static str,
    password: &'static str,
    new_password: &'static str,
    problem: &'static str,
    /// The page is left after sign-in.
    leaves: bool,
}

impl SignInFormIds {
    /// For the sign-in page.
    pub const PAGE: SignInFormIds = SignInFormIds {
        email: "email",
        password: "password",
        new_password: "new-password",
        problem: "problem",
        leaves: true,
    };

    /// For the dialog over another page.
    pub const DIALOG: SignInFormIds = SignInFormIds {
        email: "again-email",
        password: "again-password",
        new_password: "again-new-password",
        problem: "again-problem",
        leaves: false,
    };
}

/// `on_signed_in` gets the path to navigate to.
#[component]
pub fn SignInForm(
    ids: SignInFormIds,
    label: &'static str,
    #[prop(into)] next: Signal<String>,
    on_signed_in: Callback<String>,
) -> impl IntoView {
    let failure = RwSignal::new(form_error_in_url(&["/api/sign_in"]));
    let busy = RwSignal::new(false);

    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if busy.get_untracked() {
            return;
        }
        let (email, password) = (
            browser::field_value(ids.email),
            browser::field_value(ids.password),
        );
        let new_password = browser::field(ids.new_password).map(|field| field.value());
        let next = Some(next.get_untracked());
        busy.set(true);
        spawn_local(async move {
            match sign_in(email, password, new_password, next, Some(true)).await {
                Ok(path) => {
                    failure.set(None);
                    // Stay busy if the page is being left.
                    busy.set(ids.leaves);
                    on_signed_in.run(path);
                }
                Err(error) => {
                    failure.set(Some(error));
                    busy.set(false);
                    browser::focus(ids.problem);
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
                <Icon name=IconName::AlertCircle />
                <div>{error.message()}</div>
            </div>
        };
        Some(notice.into_any())
    });
    // Stays visible after the first time.
    let asks_new = Memo::new(move |before: Option<&bool>| {
        before == Some(&true)
            || matches!(
                failure.get(),
                Some(AppError::PasswordChangeRequired | AppError::UnsuitablePassword(_))
            )
    });
    let new_password = dynamic(move || {
        let field = view! {
            <PasswordField
                id=ids.new_password
                name="new_password"
                label="New password"
                autocomplete="new-password"
                failure
                error_id=ids.problem
            />
        };
        asks_new.get().then(|| field.into_any())
    });
    view! {
        <div id=ids.problem role="alert" tabindex="-1">
            {explanation}
        </div>
        <form class="form" method="post" action="/api/sign_in" on:submit=submit>
            <input type="hidden" name="next" value=next />
            <input type="hidden" name="expects_cookie" value="true" />
            <div class="field">
                <label for=ids.email>"Email"</label>
                <input
                    class="input"
                    id=ids.email
                    name="email"
                    type="email"
                    autocomplete="username"
                    required
                    value=typed_email()
                    maxlength="254"
                    aria-invalid=invalid
                    aria-describedby=ids.problem
                />
            </div>
            <PasswordField id=ids.password failure error_id=ids.problem />
            {new_password}
            <PendingButton
                class="button primary wide"
                idle=label.to_owned()
                pending="Signing in…".to_owned()
                busy
                always_enabled=true
            />
        </form>
    }
}
