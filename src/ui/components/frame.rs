//! What stands around every page behind sign-in: header, navigation, the person's menu, footer.

use leptos::{
    ev::{KeyboardEvent, SubmitEvent, pointerdown},
    prelude::*,
    task::spawn_local,
};
use leptos_router::{components::Outlet, hooks::use_location};

use super::{
    dynamic::{dynamic, nothing, rows, waiting},
    icon::{Icon, Mark, Picture},
    notice::{Notice, Tone},
};
use crate::{
    domain::{overview::Viewer, session_state::SessionState, theme::Theme},
    error::AppError,
    server_fns::{choose_theme, sign_out},
    ui::{browser, failure::leave_if_ended, loading::Loading},
};

const MENU: &str = "menu";
const MENU_OPENER: &str = "menu-opener";

/// The frame with the page in it. Who is signed in is in the context as `Loading<Viewer>`.
#[component]
pub fn Frame() -> impl IntoView {
    let viewer = Loading::<Viewer>::start();
    provide_context(viewer);
    let person = waiting(nothing, move || async move {
        match viewer.ready().await {
            Ok(viewer) => view! { <Person viewer /> }.into_any(),
            Err(error) => view! { <Gone error /> }.into_any(),
        }
    });
    view! {
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
                </nav>
                {person}
            </div>
        </header>
        <Outlet />
        <footer class="app-footer">
            <div class="bar">
                <p>"Broker Portal"</p>
                <p>"Questions? Ask your administrator."</p>
            </div>
        </footer>
    }
}

/// Marks the link of the page that is shown.
fn current(path: &'static str) -> Signal<Option<&'static str>> {
    let shown = use_location().pathname;
    Signal::derive(move || shown.with(|shown| shown == path).then_some("page"))
}

/// The header of someone who is not known: the page below says why.
#[component]
fn Gone(error: AppError) -> impl IntoView {
    Effect::new(move || _ = leave_if_ended(error.clone()));
}

/// The organization and the person's menu.
#[component]
fn Person(viewer: Viewer) -> impl IntoView {
    let Viewer { state, theme, .. } = viewer;
    let SessionState {
        user, organization, ..
    } = state;
    let position = match &organization {
        Some(organization) => format!("{} at {}", user.role.label(), organization.name),
        None => user.role.label().to_owned(),
    };
    let theme = RwSignal::new(theme);
    let failure = RwSignal::new(None::<AppError>);
    let problem = dynamic(move || {
        let error = failure.get()?;
        let notice = view! {
            <Notice tone=Tone::Error>
                <p>{error.message()}</p>
            </Notice>
        };
        Some(notice.into_any())
    });
    let leave = move |event: SubmitEvent| {
        event.prevent_default();
        spawn_local(async move {
            match sign_out().await {
                Ok(path) => browser::go_to(&path),
                Err(error) => failure.set(leave_if_ended(error)),
            }
        });
    };
    close_menu_by_itself();
    let escape = |event: KeyboardEvent| {
        if event.key() == "Escape" {
            browser::close_menu(MENU);
            browser::focus(MENU_OPENER);
        }
    };
    view! {
        {organization
            .map(|organization| {
                view! {
                    <p class="organization">
                        <Icon picture=Picture::Building />
                        <span class="visually-hidden">"Organization: "</span>
                        <span title=organization.name.clone()>{organization.name.clone()}</span>
                    </p>
                }
                    .into_any()
            })}
        <details class="menu" id=MENU on:keydown=escape>
            <summary id=MENU_OPENER>
                <Icon picture=Picture::User />
                <span class="visually-hidden">"Your account: "</span>
                <span class="menu-name">{user.display_name.clone()}</span>
                <Icon picture=Picture::ChevronDown />
            </summary>
            <div class="menu-panel">
                <div class="menu-section menu-person">
                    <p>
                        <strong>{user.display_name.clone()}</strong>
                    </p>
                    <p>{user.email.clone()}</p>
                    <p>{position}</p>
                </div>
                <form class="menu-section" method="post" action="/api/choose_theme">
                    <p class="choices-label" id="theme-label">
                        "Theme"
                    </p>
                    <div class="choices" role="group" aria-labelledby="theme-label">
                        {rows(Theme::ALL, move |choice| view! { <ThemeButton choice theme failure /> }.into_any())}
                    </div>
                </form>
                <div class="menu-section">
                    <form method="post" action="/api/sign_out" on:submit=leave>
                        <button class="menu-item" type="submit">
                            <Icon picture=Picture::SignOut />
                            <span>"Sign out"</span>
                            " "
                            <span class="menu-note">"this browser"</span>
                        </button>
                    </form>
                    {problem}
                </div>
            </div>
        </details>
    }
}

/// Closes the menu when the person goes to another page, or touches anything outside of it.
fn close_menu_by_itself() {
    let path = use_location().pathname;
    Effect::new(move |before: Option<()>| {
        path.track();
        // Not at hydration: it may have been opened before the script was there.
        if before.is_some() {
            browser::close_menu(MENU);
        }
    });
    Effect::new(move || {
        let touched = window_event_listener(pointerdown, move |event| {
            if !browser::is_within(&event, MENU) {
                browser::close_menu(MENU);
            }
        });
        on_cleanup(move || touched.remove());
    });
}

/// One choice of theme: shown at once, put back if it could not be kept.
#[component]
fn ThemeButton(choice: Theme, theme: RwSignal<Theme>, failure: RwSignal<Option<AppError>>) -> impl IntoView {
    let choose = move |event: leptos::ev::MouseEvent| {
        event.prevent_default();
        let before = theme.get_untracked();
        theme.set(choice);
        browser::show_theme(choice);
        spawn_local(async move {
            if let Err(error) = choose_theme(choice).await {
                theme.set(before);
                browser::show_theme(before);
                failure.set(Some(error));
            }
        });
    };
    let pressed = Signal::derive(move || if theme.get() == choice { "true" } else { "false" });
    let picture = match choice {
        Theme::Light => Picture::Sun,
        Theme::Dark => Picture::Moon,
        Theme::System => Picture::System,
    };
    view! {
        <button
            type="submit"
            name="theme"
            value=choice.as_str()
            aria-pressed=pressed
            on:click=choose
        >
            <Icon picture />
            {choice.label()}
        </button>
    }
}
