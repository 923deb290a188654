//! Why nothing was signed out.

use leptos::prelude::*;

use super::{dynamic::dynamic, error_notice::ErrorNotice};
use crate::{error::AppError, ui::errors::is_about_password};

/// Says so while there is a failure that the password's field does not tell of.
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
