//! The frame of every page behind sign-in: header, navigation, user menu, footer.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

use super::{
    account_menu::AccountMenu,
    dynamic::{async_view, effect, empty_view},
    live::{
        ended::EndedDialog, toast_region::ToastRegion, unreachable::UnreachableBanner, warning::WarningBanner,
    },
    menu,
    organization_switcher::{OrganizationSwitch, OrganizationSwitcher},
};
use domain::{admin_permission::AdminScope, overview::Viewer};

use crate::{
    elements::icon::Mark,
    error::AppError,
    ui::{
        browser,
        errors::filter_session_end,
        live::{
            monitor::{self, SessionMonitor},
            toasts::Toasts,
        },
        page_data::PageResource,
    },
};

/// The page, with the frame if it is behind sign-in. Navigation between the two kinds of pages is always a full load.
#[component]
pub fn Frame(children: Children) -> impl IntoView {
    let path = use_location().pathname;
    if path.with_untracked(|path| is_behind_sign_in(path)) {
        view! { <AppFrame>{children()}</AppFrame> }.into_any()
    } else {
        children().into_any()
    }
}

/// The frame with the page in it. Provides the signed-in user (`PageResource<Viewer>`), the [`SessionMonitor`] and
/// [`Toasts`] as context.
#[component]
fn AppFrame(children: Children) -> impl IntoView {
    let toasts = Toasts::default();
    provide_context(toasts);
    let monitor = SessionMonitor::new(toasts);
    provide_context(monitor);
    on_cleanup(monitor::stop);
    let viewer = PageResource::<Viewer>::start();
    provide_context(viewer);
    provide_context(OrganizationSwitch::new(monitor, toasts));
    let path = use_location().pathname;
    effect(move || {
        if let Some(Ok(viewer)) = viewer.get() {
            monitor.set_shown(viewer.state);
        }
    });
    effect(move || {
        if monitor.view().is_content_hidden() {
            toasts.clear();
            browser::remove_embedded_data();
        }
    });
    effect(menu::close_on_outside_click);
    let screen = Signal::derive(move || {
        if monitor.view().is_content_hidden() {
            "screen gone"
        } else {
            "screen"
        }
    });
    let person = async_view(empty_view, move || async move {
        match viewer.wait().await {
            Ok(viewer) => view! {
                <OrganizationSwitcher viewer=viewer.clone() />
                <AccountMenu viewer />
            }
            .into_any(),
            Err(error) => view! { <SessionGone error /> }.into_any(),
        }
    });
    let administration = async_view(empty_view, move || async move {
        let is_administrator = viewer.wait().await.is_ok_and(|viewer| {
            let organization = viewer.state.organization.map(|organization| organization.id);
            AdminScope::for_session(viewer.state.user.role, organization).is_some()
        });
        let link = || {
            let is_shown = Signal::derive(move || {
                path.with(|path| path.starts_with("/dashboard/admin/"))
                    .then_some("page")
            });
            view! {
                // A full load, because the server renders the page for its URL.
                <a href="/dashboard/admin/sessions" rel="external" aria-current=is_shown>
                    "Admin"
                </a>
            }
            .into_any()
        };
        if is_administrator { link() } else { empty_view() }
    });
    view! {
        <div class=screen>
            // `external`: as a navigation of the router, the link would not move the focus.
            <a class="skip-link" href="#content" rel="external">
                "Skip to the content"
            </a>
            <header class="app-header">
                <div class="bar">
                    <a class="brand" href="/dashboard">
                        <Mark />
                        "Broker Portal"
                    </a>
                    <nav class="app-nav" aria-label="Main">
                        <a href="/dashboard" aria-current=current("/dashboard")>
                            "Dashboard"
                        </a>
                        <a href="/dashboard/settings" aria-current=current("/dashboard/settings")>
                            "Settings"
                        </a>
                        {administration}
                    </nav>
                    {person}
                </div>
            </header>
            <WarningBanner />
            <UnreachableBanner />
            {children()}
            <footer class="app-footer">
                <div class="bar">
                    <p>"Broker Portal"</p>
                    <p>"Questions? Ask your administrator."</p>
                </div>
            </footer>
        </div>
        <EndedDialog />
        <ToastRegion />
    }
}

fn is_behind_sign_in(path: &str) -> bool {
    path == "/dashboard" || path.starts_with("/dashboard/")
}

/// Marks the link of the current page.
fn current(path: &'static str) -> Signal<Option<&'static str>> {
    let shown = use_location().pathname;
    Signal::derive(move || shown.with(|shown| shown == path).then_some("page"))
}

/// Replaces the header parts if the session is unknown. The page below shows the reason.
#[component]
fn SessionGone(error: AppError) -> impl IntoView {
    effect(move || _ = filter_session_end(error.clone()));
}
