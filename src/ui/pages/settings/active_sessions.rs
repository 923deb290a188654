//! The user's active sessions, with buttons to sign out.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{flash::FlashCode, ids::SessionId, overview::ActiveSessions, session::Session};
use leptos::{ev::FocusEvent, prelude::*};

use super::pending_changes::{Outcome, PendingChanges, TITLE};
use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::{Notice, Tone},
    },
    error::AppError,
    server_fns::flash_message,
    ui::{
        browser,
        components::{
            confirm_sign_out::ConfirmSignOut,
            device_list,
            dynamic::{KeyedRow, async_view, dynamic, effect, keyed_rows},
            error_notice::ErrorNotice,
            local_time::Ago,
            session_row::{SessionRow, sign_out_button},
        },
        errors::{filter_session_end, form_error_in_url},
        live::monitor::{self, SessionMonitor},
        page_clock::PageClock,
        page_data::PageResource,
        sign_out::SignOutTarget,
    },
};

/// How often the list is refreshed.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// The section: loading, failed, or the list.
#[component]
pub fn ActiveSessionsSection(loaded: PageResource<ActiveSessions>) -> impl IntoView {
    let flash = StoredValue::new(flash_message(&[
        FlashCode::SignedOutOne,
        FlashCode::SignedOutOthers,
    ]));
    // Waits for the first response only. Later ones change the content of the same list.
    let content = async_view(loading, move || async move {
        loaded.wait_first().await;
        view! { <Content loaded flash=flash.get_value() /> }.into_any()
    });
    view! {
        <section class="card" id="sessions" aria-labelledby=TITLE>
            {content}
        </section>
    }
}

/// The content of the section after the first response.
#[component]
fn Content(loaded: PageResource<ActiveSessions>, flash: Option<String>) -> impl IntoView {
    let devices = loaded.last();
    let changes = PendingChanges {
        hidden: RwSignal::default(),
        failures: RwSignal::default(),
        outcome: RwSignal::new(outcome_of_form(flash)),
        toasts: expect_context(),
        focused: StoredValue::new(None),
        reauthentication: expect_context(),
        loaded,
    };
    let shown = Memo::new(move |before: Option<&Vec<Session>>| {
        let hidden = changes.hidden.read();
        let list = devices.get().map(|devices| devices.sessions).unwrap_or_default();
        let list = list.into_iter().filter(|session| !hidden.contains(&session.id));
        keep_order(list.collect(), before.map(Vec::as_slice).unwrap_or_default())
    });
    let monitor = expect_context::<SessionMonitor>();
    let fresh = announce_changes(devices, changes);
    refresh_periodically(monitor);
    effect(move || {
        if let Some(Err(error)) = loaded.get() {
            _ = filter_session_end(error);
        }
    });
    let count = Signal::derive(move || match shown.with(Vec::len) {
        0 => String::new(),
        count => device_list::devices(count),
    });
    let age = dynamic(move || {
        let server_time = devices.get()?.server_time;
        let is_old = monitor.view().is_unreachable();
        is_old.then(|| view! { <Age server_time /> }.into_any())
    });
    let failed = dynamic(move || {
        let error = loaded
            .get()
            .and_then(Result::err)
            .and_then(unless_session_ended)?;
        Some(view! { <Failed error loaded /> }.into_any())
    });
    // Created once, with the first list.
    let came = Memo::new(move |_| devices.with(Option::is_some));
    let list = dynamic(move || {
        came.get()
            .then(|| view! { <List devices shown fresh changes /> }.into_any())
    });
    view! {
        <header class="card-head">
            <h2 id=TITLE tabindex="-1">"Active sessions"</h2>
            <div class="card-aside">
                <p aria-live="polite">{count}</p>
                {age}
            </div>
        </header>
        {failed}
        {list}
    }
}

/// The age of the list.
#[component]
fn Age(server_time: DateTime<Utc>) -> impl IntoView {
    let clock = PageClock::following(Signal::stored(server_time));
    view! { <p>"Last refreshed " <Ago at=Signal::stored(server_time) clock /></p> }
}

/// The session monitor shows the end of the session.
fn unless_session_ended(error: AppError) -> Option<AppError> {
    (!matches!(error, AppError::SessionEnded { .. })).then_some(error)
}

/// Keeps the order of known rows, because a moved row loses its focus. New rows come after this browser.
fn keep_order(mut list: Vec<Session>, before: &[Session]) -> Vec<Session> {
    let place = |session: &Session| {
        let place = before.iter().position(|known| known.id == session.id);
        (!session.is_current, place.map_or(0, |place| place + 1))
    };
    if !before.is_empty() {
        list.sort_by_key(place);
    }
    list
}

/// Announces sessions that began or ended elsewhere while the page is open. Returns those that began.
fn announce_changes(
    devices: Memo<Option<ActiveSessions>>,
    changes: PendingChanges,
) -> RwSignal<Vec<SessionId>> {
    let fresh = RwSignal::new(Vec::new());
    let mut known = Vec::new();
    effect(move || {
        let Some(now) = devices.get().map(|devices| devices.sessions) else {
            return;
        };
        let known = std::mem::replace(&mut known, now.clone());
        let is_in = |list: &[Session], id| list.iter().any(|session: &Session| session.id == id);
        if !known.is_empty() {
            for session in now
                .iter()
                .filter(|session| !session.is_current && !is_in(&known, session.id))
            {
                fresh.update(|fresh| fresh.push(session.id));
                let text = format!("New sign-in: {}.", session.descriptive_name());
                changes.toasts.show(Tone::Info, text);
            }
            let hidden = changes.hidden.get_untracked();
            let is_by_person = |session: &Session| {
                session.is_current || hidden.contains(&session.id) || monitor::has_just_revoked(session.id)
            };
            for session in known
                .iter()
                .filter(|session| !is_by_person(session) && !is_in(&now, session.id))
            {
                if changes.focused.get_value() == Some(sign_out_button(session.id)) {
                    browser::focus_if_lost(TITLE);
                }
                let text = format!("{} is no longer signed in.", session.descriptive_name());
                changes.toasts.show(Tone::Info, text);
            }
        }
    });
    fresh
}

/// Activity in other sessions sends no event, so reload it periodically.
fn refresh_periodically(monitor: SessionMonitor) {
    effect(move || {
        let refresh = move || {
            if monitor.can_act_now() {
                monitor.refresh_sessions();
            }
        };
        // Without an interval, the list changes with events only.
        if let Ok(interval) = set_interval_with_handle(refresh, REFRESH_INTERVAL) {
            on_cleanup(move || interval.clear());
        }
    });
}

/// The result of a form without JavaScript.
fn outcome_of_form(flash: Option<String>) -> Option<Outcome> {
    form_error_in_url(&["/api/revoke_session", "/api/sign_out_other_devices"])
        .map(Outcome::Failed)
        .or(flash.map(Outcome::Done))
}

fn loading() -> AnyView {
    let bone = || {
        view! {
            <li class="session">
                <span class="tile"></span>
                <div class="session-name">
                    <span class="bone"></span>
                </div>
                <div class="session-facts">
                    <span class="bone long"></span>
                    <span class="bone"></span>
                </div>
            </li>
        }
    };
    let skeleton = view! {
        <header class="card-head">
            <h2 id=TITLE tabindex="-1">"Active sessions"</h2>
        </header>
        <p class="visually-hidden" role="status">
            "Loading sessions…"
        </p>
        <ul class="session-list skeleton" aria-hidden="true">
            {bone()}
            {bone()}
            {bone()}
        </ul>
    };
    skeleton.into_any()
}

#[component]
fn Failed(error: AppError, loaded: PageResource<ActiveSessions>) -> impl IntoView {
    view! {
        <div class="card-body">
            <Notice tone=Tone::Error>
                <p class="notice-title">"Your sessions could not be loaded."</p>
                <p>{error.message()}</p>
                <p class="actions">
                    <a
                        class="button"
                        href="/dashboard/settings"
                        rel="external"
                        on:click=move |event| {
                            // If the session was never loaded, a full load restores everything.
                            if monitor::is_running() {
                                event.prevent_default();
                                loaded.refetch();
                            }
                        }
                    >
                        "Try again"
                    </a>
                </p>
            </Notice>
        </div>
    }
}

#[component]
fn List(
    devices: Memo<Option<ActiveSessions>>,
    shown: Memo<Vec<Session>>,
    fresh: RwSignal<Vec<SessionId>>,
    changes: PendingChanges,
) -> impl IntoView {
    // The list is rendered only with data, so the default is never shown.
    let server_time = Signal::derive(move || {
        devices.with(|devices| {
            devices
                .as_ref()
                .map(|devices| devices.server_time)
                .unwrap_or_default()
        })
    });
    let clock = PageClock::following(server_time);
    let others = Memo::new(move |_| {
        let is_other = |session: &&Session| !session.is_current;
        shown.with(|shown| shown.iter().filter(is_other).cloned().collect::<Vec<_>>())
    });
    let alone = Memo::new(move |_| others.with(Vec::is_empty));
    let foot = Signal::derive(move || {
        if alone.get() {
            "card-foot actions end"
        } else {
            "card-foot actions"
        }
    });
    let outcome =
        dynamic(move || Some(view! { <OutcomeNotice outcome=changes.outcome.get()? /> }.into_any()));
    let row = move |first: Session| KeyedRow {
        key: first.id.to_string(),
        view: Box::new(move || {
            let first = first.clone();
            view! { <Row first shown fresh clock changes /> }.into_any()
        }),
    };
    let list = keyed_rows(move || shown.get().into_iter().map(row).collect());
    // When a focused row disappears, the title gets the focus.
    let focuses = move |event: FocusEvent| changes.focused.set_value(browser::target_id(&event));
    let hint = dynamic(move || {
        let hint = view! {
            <li class="session-hint">
                <Icon name=IconName::Info />
                <p>
                    "Only this browser is signed in. Other browsers and desktop apps appear here when you sign in on \
                     them."
                </p>
            </li>
        };
        alone.get().then(|| hint.into_any())
    });
    let refetch = Callback::new(move |()| changes.loaded.refetch());
    let ended_others = Callback::new(move |ended| {
        let ids: Vec<_> = others.with_untracked(|others| others.iter().map(|session| session.id).collect());
        changes.signed_out_others(&ids, ended);
    });
    let end_others = dynamic(move || {
        (!alone.get()).then(|| {
            view! { <ConfirmSignOut target=SignOutTarget::Others sessions=others on_open=refetch on_done=ended_others /> }
                .into_any()
        })
    });
    view! {
        {outcome}
        <ul class="session-list" on:focusin=focuses>
            {list}
            {hint}
        </ul>
        <footer class=foot>
            {end_others}
            <ConfirmSignOut target=SignOutTarget::All sessions=shown on_open=refetch on_done=Callback::new(|_| {}) />
        </footer>
    }
}

/// A row that follows its session, so that a refresh changes its text and keeps its focus.
#[component]
fn Row(
    first: Session,
    shown: Memo<Vec<Session>>,
    fresh: RwSignal<Vec<SessionId>>,
    clock: PageClock,
    changes: PendingChanges,
) -> impl IntoView {
    let id = first.id;
    let is_new = Memo::new(move |_| fresh.with(|fresh| fresh.contains(&id)));
    let session = Memo::new(move |before: Option<&Session>| {
        let now = shown.with(|shown| shown.iter().find(|session| session.id == id).cloned());
        now.or_else(|| before.cloned()).unwrap_or_else(|| first.clone())
    });
    let failure = Signal::derive(move || {
        changes.failures.with(|failures| {
            failures
                .iter()
                .find(|(of, _)| *of == id)
                .map(|(_, error)| error.clone())
        })
    });
    let sign_out = Callback::new(move |()| session.with_untracked(|session| changes.sign_out_one(session)));
    view! { <SessionRow session is_new clock failure on_sign_out=sign_out /> }
}

#[component]
fn OutcomeNotice(outcome: Outcome) -> impl IntoView {
    let notice = match outcome {
        Outcome::Done(text) => view! {
            <Notice tone=Tone::Success>
                <p>{text}</p>
            </Notice>
        }
        .into_any(),
        Outcome::Failed(error) => view! {
            <ErrorNotice title="Nothing was signed out." error />
        }
        .into_any(),
    };
    view! { <div class="card-body">{notice}</div> }
}
