//! The user's menu in the header: name, theme, and sign-out of this browser.

use leptos::{
    ev::{KeyboardEvent, SubmitEvent},
    prelude::*,
    task::spawn_local,
};

use super::{
    dynamic::{dynamic, rows},
    menu::{self, ACCOUNT_MENU},
};
use domain::{overview::Viewer, session::EndReason, session_state::SessionState, theme::Theme};

use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::{Notice, Tone},
    },
    error::AppError,
    server_fns::{choose_theme, sign_out},
    ui::{
        browser,
        errors::filter_session_end,
        live::monitor::{self, SessionMonitor},
    },
};

const MENU_OPENER: &str = "menu-opener";

#[component]
pub fn AccountMenu(viewer: Viewer) -> impl IntoView {
    let Viewer { state, theme, .. } = viewer;
    let SessionState {
        user, organization, ..
    } = state;
    let monitor = expect_context::<SessionMonitor>();
    let position = match &organization {
        Some(organization) => format!("{} at {}", user.role.label(), organization.name),
        None => user.role.label().to_owned(),
    };
    let when_away = Signal::derive(move || (!monitor.view().can_act()).then_some("true"));
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
        monitor.announce_sign_out();
        spawn_local(async move {
            match sign_out().await {
                Ok(path) => monitor::leave_page(&path, EndReason::SignedOut),
                Err(error) => {
                    monitor.cancel_sign_out();
                    failure.set(filter_session_end(error));
                }
            }
        });
    };
    menu::close_on_navigation(ACCOUNT_MENU);
    let escape = |event: KeyboardEvent| menu::close_on_escape(&event, ACCOUNT_MENU, MENU_OPENER);
    view! {
        <details class="menu" id=ACCOUNT_MENU on:keydown=escape>
            <summary id=MENU_OPENER>
                <Icon name=IconName::User />
                <span class="visually-hidden">"Your account: "</span>
                <span class="menu-name">{user.display_name.clone()}</span>
                <Icon name=IconName::ChevronDown />
            </summary>
            <div class="menu-panel">
                <div class="menu-section menu-user">
                    <p>
                        <strong>{user.display_name.clone()}</strong>
                    </p>
                    <p>{user.email.clone()}</p>
                    // The user name for password managers, part of the page's password form.
                    <input type="text" form="password-form" autocomplete="username" value=user.email hidden />
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
                        <button class="menu-item" type="submit" aria-disabled=when_away>
                            <Icon name=IconName::SignOut />
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

/// A button for one theme. Applied at once, reverted if it cannot be stored.
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
    let name = match choice {
        Theme::Light => IconName::Sun,
        Theme::Dark => IconName::Moon,
        Theme::System => IconName::System,
    };
    view! {
        <button
            type="submit"
            name="theme"
            value=choice.as_str()
            aria-pressed=pressed
            on:click=choose
        >
            <Icon name />
            {choice.label()}
        </button>
    }
}
