//! The title of the document.

use leptos::prelude::*;
use leptos_meta::Title;

/// Sets the title. A fixed text: the server writes it after rendering, when signals of the page may be disposed of and
/// reading them would panic.
#[component]
pub fn PageTitle(text: &'static str) -> impl IntoView {
    view! { <Title text /> }
}
