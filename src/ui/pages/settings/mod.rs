//! `/dashboard/settings`, one file per section.

mod active_sessions;
mod organization;
mod password;
mod pending_changes;
mod security_notices;

use leptos::prelude::*;

use crate::ui::{
    components::{
        page_title::PageTitle,
        reauthentication::{Reauthentication, ReauthenticationDialog},
    },
    page_data::PageResource,
};
use active_sessions::ActiveSessionsSection;
use domain::overview::ActiveSessions;
use organization::OrganizationSection;
use password::PasswordSection;
use security_notices::SecurityNotices;

#[component]
pub fn SettingsPage() -> impl IntoView {
    let loaded = PageResource::<ActiveSessions>::start();
    provide_context(Reauthentication::new());
    view! {
        <PageTitle text="Settings" />
        <main class="page" id="content" tabindex="-1">
            <div class="page-head">
                <h1>"Settings"</h1>
            </div>
            <SecurityNotices loaded />
            <ActiveSessionsSection loaded />
            <PasswordSection loaded />
            <OrganizationSection />
            <ReauthenticationDialog />
        </main>
    }
}
