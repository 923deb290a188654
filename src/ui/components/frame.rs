//! What stands around every page behind sign-in: header, navigation, the person's menu, footer.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

use super::{
    account_menu::AccountMenu,
    dynamic::{effect, nothing, waiting},
    icon::Mark,
    live::{
        ended::EndedDialog, toast_region::ToastRegion, unreachable::UnreachableBanner, warning::WarningBanner,
    },
    menu,
    organization_switcher::{OrganizationSwitcher, Switching},
};
use domain::overview::Viewer;

use crate::{
    error::AppError,
    ui::{
        browser,
        failure::unless_ended,
        live::{
            keeper::{self, Keeper},
            toasts::Toasts,
        },
        loading::Loading,
    },
};

/// The page, with the frame around it where it is behind sign-in. One comes from there to elsewhere and back with a full
/// load only.
#[component]
pub fn Frame(children: Children) -> impl IntoView {
    let path = use_location().pathname;
    if path.with_untracked(|path| is_behind_sign_in(path)) {
        view! { <Framed>{children()}</Framed> }.into_any()
    } else {
        children().into_any()
    }
}

/// The frame with the page in it. In the context of the page: who is signed in (`Loading<Viewer>`), the [`Keeper`] of
/// the session, and [`Toasts`].
#[component]
fn Framed(children: Children) -> impl IntoView {
    let toasts = Toasts::default();
    provide_context(toasts);
    let keeper = Keeper::new(toasts);
    provide_context(keeper);
    on_cleanup(keeper::stop);
    let viewer = Loading::<Viewer>::start();
    provide_context(viewer);
    provide_context(Switching::new(keeper, toasts));
    let path = use_location().pathname;
    effect(move || {
        if let Some(Ok(viewer)) = viewer.get() {
            keeper.shows(viewer.state);
        }
    });
    effect(move || {
        if keeper.view().is_gone() {
            toasts.clear();
            browser::forget_data_of_page();
        }
    });
    effect(menu::close_when_left);
    let screen = Signal::derive(move || {
        if keeper.view().is_gone() {
            "screen gone"
        } else {
            "screen"
        }
    });
    let person = waiting(nothing, move || async move {
        match viewer.ready().await {
            Ok(viewer) => view! {
                <OrganizationSwitcher viewer=viewer.clone() />
                <AccountMenu viewer />
            }
            .into_any(),
            Err(error) => view! { <Gone error /> }.into_any(),
        }
    });
    let administration = waiting(nothing, move || async move {
        let is_administrator = viewer.ready().await.is_ok_and(|viewer| {
            let has_organization = viewer.state.organization.is_some();
            viewer.state.user.role.administers(has_organization)
        });
        let link = || {
            let is_shown = Signal::derive(move || {
                path.with(|path| path.starts_with("/dashboard/admin/"))
                    .then_some("page")
            });
            view! {
                // Loaded whole: the server draws the page for its address.
                <a href="/dashboard/admin/sessions" rel="external" aria-current=is_shown>
                    "Admin"
                </a>
            }
            .into_any()
        };
        if is_administrator { link() } else { nothing() }
    });
    view! {
        <div class=screen>
            // `external`: the router would take the jump for a navigation and leave the focus where it is.
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

/// Marks the link of the page that is shown.
fn current(path: &'static str) -> Signal<Option<&'static str>> {
    let shown = use_location().pathname;
    Signal::derive(move || shown.with(|shown| shown == path).then_some("page"))
}

/// The header of someone who is not known: the page below says why.
#[component]
fn Gone(error: AppError) -> impl IntoView {
    effect(move || _ = unless_ended(error.clone()));
}
