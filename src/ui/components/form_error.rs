//! The error of a form with a password field.

use leptos::prelude::*;

use super::{dynamic::dynamic, error_notice::ErrorNotice};
use crate::{error::AppError, ui::errors::is_about_password};

/// Shows an error that the password field does not show.
#[component]
pub fn FormError(
    #[prop(into)] failure: Signal<Option<AppError>>,
    #[prop(default = "Nothing was signed out.")] title: &'static str,
) -> impl IntoView {
    dynamic(move || {
        let error = failure.get().filter(|error| !is_about_password(error))?;
        Some(view! { <ErrorNotice title error /> }.into_any())
    })
}
