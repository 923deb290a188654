//! The routes.

use leptos::prelude::*;
use leptos_meta::{Title, provide_meta_context};
use leptos_router::{
    SsrMode,
    components::{FlatRoutes, Route, Router},
    path,
};

use crate::ui::{
    components::frame::Frame,
    pages::{
        admin::AdminPage, confirm::ConfirmPage, dashboard::DashboardPage, login::LoginPage,
        not_found::NotFoundPage, settings::SettingsPage,
    },
};

/// The application. Every page waits for its data on the server (`SsrMode::Async`), so that status and content are
/// right without JavaScript too.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    view! {
        <Title formatter=|title| format!("{title} · Broker Portal") />
        <Router>
            <Frame>
                <FlatRoutes fallback=NotFoundPage>
                    <Route path=path!("/login") view=LoginPage ssr=SsrMode::Async />
                    <Route path=path!("/dashboard") view=DashboardPage ssr=SsrMode::Async />
                    <Route path=path!("/dashboard/settings") view=SettingsPage ssr=SsrMode::Async />
                    <Route
                        path=path!("/dashboard/settings/sign-out-all")
                        view=ConfirmPage
                        ssr=SsrMode::Async
                    />
                    <Route
                        path=path!("/dashboard/settings/sign-out-others")
                        view=ConfirmPage
                        ssr=SsrMode::Async
                    />
                    <Route path=path!("/dashboard/admin/sessions") view=AdminPage ssr=SsrMode::Async />
                    <Route path=path!("/dashboard/admin/people") view=AdminPage ssr=SsrMode::Async />
                    <Route path=path!("/dashboard/admin/audit") view=AdminPage ssr=SsrMode::Async />
                    <Route path=path!("/dashboard/admin/health") view=AdminPage ssr=SsrMode::Async />
                    <Route path=path!("/dashboard/confirm-password") view=ConfirmPage ssr=SsrMode::Async />
                </FlatRoutes>
            </Frame>
        </Router>
    }
}
