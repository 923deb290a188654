//! The banner before the session expires, with "Stay signed in".

use std::time::Duration;

use domain::{
    state_machine::{ExpiryWarning, Input},
    time::{format_countdown, format_duration},
};
use leptos::{prelude::*, task::spawn_local};

use crate::{
    elements::icon::{Icon, IconName},
    error::AppError,
    server_fns::extend_session,
    ui::{browser, components::dynamic::dynamic, errors::filter_session_end, live::monitor::SessionMonitor},
};

const SECOND: Duration = Duration::from_secs(1);

/// Shown at the top of the page. Screen readers announce it once, without the countdown.
#[component]
pub fn WarningBanner() -> impl IntoView {
    let monitor = expect_context::<SessionMonitor>();
    let warning = Memo::new(move |_| monitor.view().warning);
    // Changes only with the text: each response moves the expiry time a little.
    let is_final = Memo::new(move |_| warning.get().map(|warning| warning.is_final));
    let failure = RwSignal::new(None::<AppError>);
    let busy = RwSignal::new(false);
    let stay = move |_| {
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        failure.set(None);
        spawn_local(async move {
            match extend_session().await {
                Ok(state) => {
                    monitor.apply_extension(&state);
                    browser::focus_if_lost("content");
                }
                Err(error) => failure.set(filter_session_end(error)),
            }
            busy.set(false);
        });
    };
    let problem = move || {
        dynamic(move || {
            let error = failure.get()?;
            Some(view! { <p>{error.message()}</p> }.into_any())
        })
    };
    let when_busy = Signal::derive(move || busy.get().then_some("true"));
    let banner = dynamic(move || {
        let is_final = is_final.get()?;
        let left = seconds_left(warning);
        let soon = format_duration(match left.get_untracked() {
            seconds @ ..60 => seconds,
            seconds => (seconds + 30) / 60 * 60,
        });
        let seconds = Signal::derive(move || format_countdown(left.get()));
        let text = if is_final {
            "It then reaches its maximum length and cannot be extended. Finish what you are doing, then sign in again."
        } else {
            "There has been no activity for some time."
        };
        let stay = (!is_final).then(|| {
            view! {
                <button class="button small primary" type="button" aria-busy=when_busy aria-disabled=when_busy on:click=stay>
                    "Stay signed in"
                </button>
            }
            .into_any()
        });
        let banner = view! {
            <div class="banner warning">
                <Icon name=IconName::Clock />
                <div>
                    <p>
                        <strong>
                            "Your session ends in "
                            <span class="countdown" aria-hidden="true">
                                {seconds}
                            </span>
                            <span class="visually-hidden">{soon}</span>
                            "."
                        </strong>
                        " "
                        {text}
                    </p>
                    {problem()}
                </div>
                <div class="actions">
                    {stay}
                    <button
                        class="button small"
                        type="button"
                        on:click=move |_| {
                            monitor.handle(Input::WarningDismissed);
                            browser::focus_if_lost("content");
                        }
                    >
                        "Dismiss"
                    </button>
                </div>
            </div>
        };
        Some(banner.into_any())
    });
    view! {
        <div class="banner-place" role="status" id="session-warning">
            {banner}
        </div>
    }
}

/// Counts down the seconds, as long as the caller's owner exists.
fn seconds_left(warning: Memo<Option<ExpiryWarning>>) -> RwSignal<i64> {
    let count = move || {
        let expires_at = warning
            .try_get_untracked()
            .flatten()
            .map_or(0, |warning| warning.expires_at);
        ((expires_at - browser::monotonic_ms()).max(0) + 999) / 1000
    };
    let left = RwSignal::new(count());
    // Without an interval the number stands still.
    if let Ok(interval) = set_interval_with_handle(move || _ = left.try_set(count()), SECOND) {
        on_cleanup(move || interval.clear());
    }
    left
}
