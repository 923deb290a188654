//! A password field with its error and a button that shows the text.

use leptos::prelude::*;

use super::dynamic::dynamic;
use crate::elements::icon::{Icon, IconName};
use crate::{error::AppError, ui::errors::is_about_password};

/// `id` is unique in the page; `name` and `autocomplete` are for the form and password managers.
#[component]
pub fn PasswordField(
    id: &'static str,
    #[prop(default = "password")] name: &'static str,
    #[prop(default = "Password")] label: &'static str,
    #[prop(default = "current-password")] autocomplete: &'static str,
    /// The last error. Only errors about the password are shown here.
    #[prop(into)]
    failure: Signal<Option<AppError>>,
    /// The text for [`AppError::InvalidCredentials`].
    #[prop(default = "That password is wrong.")]
    wrong: &'static str,
    #[prop(optional)] hint: Option<&'static str>,
    /// The id of the element that shows the error, if it is not this field.
    #[prop(optional)]
    error_id: Option<&'static str>,
    #[prop(optional)] autofocus: bool,
) -> impl IntoView {
    let visible = RwSignal::new(false);
    let kind = Signal::derive(move || if visible.get() { "text" } else { "password" });
    let toggle = Signal::derive(move || if visible.get() { "Hide" } else { "Show" });
    let invalid = Signal::derive(move || {
        failure.with(|failure| match failure {
            Some(AppError::InvalidCredentials | AppError::UnsuitablePassword(_)) => Some("true"),
            _ => None,
        })
    });
    let described = match error_id {
        Some(place) => place.to_owned(),
        None => format!("{id}-hint {id}-problem"),
    };
    let hint = hint.map(|hint| {
        view! {
            <p class="field-hint" id=format!("{id}-hint")>
                {hint}
            </p>
        }
        .into_any()
    });
    let problem = dynamic(move || {
        let words = match failure
            .get()
            .filter(|error| error_id.is_none() && is_about_password(error))?
        {
            AppError::InvalidCredentials => wrong.to_owned(),
            other => other.message(),
        };
        let line = view! {
            <p class="field-error">
                <Icon name=IconName::AlertCircle />
                <span>{words}</span>
            </p>
        };
        Some(line.into_any())
    });
    view! {
        <div class="field">
            <label for=id>{label}</label>
            <div class="input-group">
                <input
                    class="input"
                    id=id
                    name=name
                    type=kind
                    autocomplete=autocomplete
                    required
                    autofocus=autofocus
                    aria-invalid=invalid
                    aria-describedby=described
                />
                <button
                    class="input-toggle needs-script"
                    type="button"
                    aria-controls=id
                    on:click=move |_| visible.update(|visible| *visible = !*visible)
                >
                    {toggle}
                    <span class="visually-hidden">" " {label.to_ascii_lowercase()}</span>
                </button>
            </div>
            {hint}
            <div role="alert" id=format!("{id}-problem")>
                {problem}
            </div>
        </div>
    }
}
