//! `/dashboard/settings`: one file a section.

mod active_sessions;
mod organization;

use leptos::prelude::*;
use leptos_meta::Title;

use active_sessions::ActiveSessionsSection;
use organization::OrganizationSection;

/// The person's settings.
#[component]
pub fn SettingsPage() -> impl IntoView {
    view! {
        <Title text="Settings" />
        <main class="page" id="content" tabindex="-1">
            <div class="page-head">
                <h1>"Settings"</h1>
            </div>
            <ActiveSessionsSection />
            <OrganizationSection />
        </main>
    }
}
