//! What went wrong, in the same shape everywhere: what was not done, and why.

use leptos::prelude::*;

use super::notice::{Notice, Tone};
use crate::error::AppError;

/// `title` says what was not done; the error says why and what to do.
#[component]
pub fn Trouble(title: &'static str, error: AppError) -> impl IntoView {
    view! {
        <Notice tone=Tone::Error>
            <p class="notice-title">{title}</p>
            <p>{error.message()}</p>
        </Notice>
    }
}
