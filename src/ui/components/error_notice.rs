//! An error message: what was not done, and why.

use leptos::prelude::*;

use crate::elements::notice::{Notice, Tone};
use crate::error::AppError;

/// `title` says what was not done; the error says why and what to do.
#[component]
pub fn ErrorNotice(title: &'static str, error: AppError) -> impl IntoView {
    let title = if error.has_unknown_outcome() {
        "It is not known whether this was done."
    } else {
        title
    };
    view! {
        <Notice tone=Tone::Error>
            <p class="notice-title">{title}</p>
            <p>{error.message()}</p>
        </Notice>
    }
}
