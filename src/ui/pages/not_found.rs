//! The page for unknown paths.

use leptos::prelude::*;

use crate::ui::components::page_title::PageTitle;

#[component]
pub fn NotFoundPage() -> impl IntoView {
    view! {
        <PageTitle text="Not found" />
        <main class="page narrow status" id="content" tabindex="-1">
            <p class="status-code">"404"</p>
            <h1>"This page does not exist"</h1>
            <p class="soft">"The address may be misspelled, or the page has moved."</p>
            <p class="actions">
                <a class="button primary" href="/dashboard" rel="external">
                    "Go to the dashboard"
                </a>
            </p>
        </main>
    }
}
