//! The active organization in the header, with a menu to select another. Without JavaScript each organization is a
//! button of a form.

use leptos::{
    ev::{KeyboardEvent, MouseEvent},
    prelude::*,
    task::spawn_local,
};
use leptos_router::hooks::use_location;

use super::{
    dynamic::{dynamic, effect, rows},
    menu::{self, ORGANIZATION_MENU},
};
use domain::{
    organization::{Membership, Organization},
    overview::Viewer,
    session_state::SessionState,
};

use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::Tone,
    },
    error::AppError,
    server_fns::switch_organization,
    ui::{
        browser,
        errors::{filter_session_end, form_error_in_url},
        live::{monitor::SessionMonitor, toasts::Toasts},
    },
};

const OPENER: &str = "organizations-opener";

/// A selected organization that the server has not stored yet. In the context of every page behind sign-in.
#[derive(Clone, Copy, Debug)]
pub struct OrganizationSwitch {
    /// Shown at once, until the page shows it or the server refuses.
    chosen: RwSignal<Option<Organization>>,
    /// The last selection. Requests are sent one after the other, so that the last one wins.
    pending: StoredValue<Option<Organization>>,
    is_sending: StoredValue<bool>,
    monitor: SessionMonitor,
    toasts: Toasts,
}

impl OrganizationSwitch {
    pub fn new(monitor: SessionMonitor, toasts: Toasts) -> Self {
        Self {
            chosen: RwSignal::new(None),
            pending: StoredValue::new(None),
            is_sending: StoredValue::new(false),
            monitor,
            toasts,
        }
    }

    fn choose(self, organization: Organization) {
        self.chosen.set(Some(organization.clone()));
        self.pending.set_value(Some(organization));
        if !self.is_sending.get_value() {
            self.is_sending.set_value(true);
            spawn_local(async move {
                self.send_all().await;
                self.is_sending.set_value(false);
            });
        }
    }

    async fn send_all(self) {
        while let Some(organization) = self.take_pending() {
            let response = switch_organization(organization.id.to_string(), None).await;
            if self.pending.with_value(Option::is_some) {
                // The user has selected again meanwhile, so ignore this result.
                continue;
            }
            if let Err(error) = response {
                self.chosen.set(None);
                if let Some(error) = filter_session_end(error) {
                    self.toasts
                        .show(Tone::Error, switch_error(&organization.name, &error));
                }
            }
            // Reload everything for the active organization.
            self.monitor.refresh();
        }
    }

    fn take_pending(self) -> Option<Organization> {
        self.pending.try_update_value(Option::take).flatten()
    }

    /// Shows the organization of the server when no request is in flight.
    fn clear_choice(self) {
        if !self.is_sending.get_value() && self.chosen.with_untracked(Option::is_some) {
            self.chosen.set(None);
        }
    }
}

fn switch_error(name: &str, error: &AppError) -> String {
    let why = match error {
        AppError::NotFound(_) => "You no longer belong to it.".to_owned(),
        error => error.message(),
    };
    format!("You were not switched to {name}. {why}")
}

/// The name of the active organization. A menu if the user has others.
#[component]
pub fn OrganizationSwitcher(viewer: Viewer) -> impl IntoView {
    let Viewer {
        state, memberships, ..
    } = viewer;
    let SessionState { organization, .. } = state;
    let switching = expect_context::<OrganizationSwitch>();
    let current = organization.as_ref().map(|organization| organization.id);
    effect(move || switching.clear_choice());
    let is_alone = memberships
        .iter()
        .all(|membership| Some(membership.organization.id) == current);
    if is_alone {
        return organization
            .map(|organization| {
                view! {
                    <p class="organization">
                        <Icon name=IconName::Building />
                        <span class="visually-hidden">"Organization: "</span>
                        <span title=organization.name.clone()>{organization.name.clone()}</span>
                    </p>
                }
                .into_any()
            })
            .into_any();
    }
    let shown = Memo::new(move |_| switching.chosen.get().or_else(|| organization.clone()));
    let name = Signal::derive(move || match shown.get() {
        Some(organization) => organization.name,
        None => "No organization".to_owned(),
    });
    let path = use_location().pathname;
    let escape = |event: KeyboardEvent| menu::close_on_escape(&event, ORGANIZATION_MENU, OPENER);
    menu::close_on_navigation(ORGANIZATION_MENU);
    let refused = form_error_in_url(&["/api/switch_organization"]);
    let problem = dynamic(move || {
        let words = switch_error("the other organization", &refused.clone()?);
        Some(view! { <p class="menu-section" role="alert">{words}</p> }.into_any())
    });
    let choices = rows(memberships, move |membership| {
        view! { <Choice membership shown switching /> }.into_any()
    });
    view! {
        <details class="menu organization-menu" id=ORGANIZATION_MENU on:keydown=escape>
            <summary id=OPENER>
                <Icon name=IconName::Building />
                <span class="visually-hidden">"Organization: "</span>
                <span class="menu-name" title=name>
                    {name}
                </span>
                <Icon name=IconName::ChevronDown />
            </summary>
            <div class="menu-panel">
                {problem}
                <form
                    class="menu-section"
                    method="post"
                    action="/api/switch_organization"
                    aria-label="Switch organization"
                >
                    <input type="hidden" name="next" value=path />
                    {choices}
                </form>
            </div>
        </details>
    }
    .into_any()
}

#[component]
fn Choice(
    membership: Membership,
    shown: Memo<Option<Organization>>,
    switching: OrganizationSwitch,
) -> impl IntoView {
    let Membership { organization, role } = membership;
    let id = organization.id;
    let is_this = move |shown: &Option<Organization>| shown.as_ref().is_some_and(|shown| shown.id == id);
    let is_shown = Memo::new(move |_| shown.with(is_this));
    let marks = Signal::derive(move || is_shown.get().then_some("true"));
    let mark = dynamic(move || {
        is_shown
            .get()
            .then(|| view! { <Icon name=IconName::Check /> }.into_any())
    });
    let name = organization.name.clone();
    let choose = move |event: MouseEvent| {
        event.prevent_default();
        browser::close_menu(ORGANIZATION_MENU);
        browser::focus(OPENER);
        if !is_shown.get_untracked() {
            switching.choose(organization.clone());
        }
    };
    view! {
        <button
            class="menu-item"
            type="submit"
            name="organization_id"
            value=id.to_string()
            aria-current=marks
            on:click=choose
        >
            <span class="menu-choice">
                <span>{name}</span>
                <span class="menu-note">{role.label()}</span>
            </span>
            {mark}
        </button>
    }
}
