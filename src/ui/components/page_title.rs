//! The title of the document.

use leptos::prelude::*;
use leptos_meta::Title;

/// Names the page. A fixed text: the server writes the title once the page is rendered, when a signal of the page may have
/// been disposed of, and reading that would panic.
#[component]
pub fn PageTitle(text: &'static str) -> impl IntoView {
    view! { <Title text /> }
}
