//! `/dashboard/admin/...`: pages that the server renders as HTML fragments. This module inserts them, reloads them
//! when the URL or the data changes, and sends their forms.

use std::time::Duration;

use leptos::{
    ev::{Event, KeyboardEvent, SubmitEvent},
    leptos_dom::helpers::TimeoutHandle,
    prelude::*,
    task::spawn_local,
};
use leptos_router::hooks::use_location;

use crate::{
    elements::notice::Tone,
    error::AppError,
    server_fns::client,
    ui::{
        browser::{self, fragment},
        components::{
            dynamic::{async_view, dynamic, effect},
            error_notice::ErrorNotice,
            page_title::PageTitle,
        },
        errors::filter_session_end,
        live::{monitor::SessionMonitor, toasts::Toasts},
        page_data::{Fragment, PageResource},
    },
};

/// The id of the element with the fragment.
const FRAGMENT: &str = "fragment";

/// How often the fragment is refreshed.
const REFRESH_INTERVAL: Duration = Duration::from_secs(15);

/// How long to wait for further typing.
const TYPING_PAUSE: Duration = Duration::from_millis(250);

/// The page: loading, failed, or the fragment.
#[component]
pub fn AdminPage() -> impl IntoView {
    let loaded = PageResource::<Fragment>::start();
    follow_address(loaded);
    // Each admin page has its own route, so its path does not change.
    let title = use_location()
        .pathname
        .with_untracked(|path| match path.rsplit('/').next() {
            Some("people") => "People",
            Some("audit") => "Audit log",
            Some("health") => "Health",
            _ => "Sessions",
        });
    let content = async_view(loading, move || async move {
        loaded.wait_first().await;
        view! { <Content loaded /> }.into_any()
    });
    view! {
        <PageTitle text=title />
        <main class="page wide" id="content" tabindex="-1">
            {content}
        </main>
    }
}

fn loading() -> AnyView {
    view! {
        <div class="skeleton" role="status">
            <span class="visually-hidden">"Loading…"</span>
            <span class="bone long"></span>
            <span class="bone"></span>
        </div>
    }
    .into_any()
}

/// Reloads the page when its query changes.
fn follow_address(loaded: PageResource<Fragment>) {
    let search = use_location().search;
    let mut shown = None;
    effect(move || {
        let wanted = search.get();
        if shown.replace(wanted.clone()).is_some_and(|shown| shown != wanted) {
            loaded.refetch();
        }
    });
}

#[component]
fn Content(loaded: PageResource<Fragment>) -> impl IntoView {
    let html = Memo::new(move |before: Option<&String>| match loaded.get() {
        Some(Ok(Fragment(html))) => html,
        // The previous content stays if a refresh fails, unless the user may no longer see it.
        Some(Err(error)) if error.is_server_error() => before.cloned().unwrap_or_default(),
        _ => String::new(),
    });
    let failed = dynamic(move || {
        let error = loaded
            .get()
            .and_then(Result::err)
            .filter(|error| !matches!(error, AppError::SessionEnded { .. }))?;
        Some(view! { <Failed error loaded /> }.into_any())
    });
    effect(move || {
        if let Some(Err(error)) = loaded.get() {
            _ = filter_session_end(error);
        }
    });
    let mut shown = None::<(String, String)>;
    effect(move || {
        let now = (html.get(), browser::current_path());
        // Keep an open dialog and typed text during a refresh.
        let is_kept = !now.0.is_empty() && fragment::has_open_form(FRAGMENT);
        match &shown {
            Some(before) if *before == now || (is_kept && before.1 == now.1) => return,
            // The first content is rendered by the server or by the view below.
            before => fragment::replace(FRAGMENT, before.is_some().then_some(&now.0)),
        }
        shown = Some(now);
    });
    refresh_periodically(loaded);
    let typing = StoredValue::new(None::<TimeoutHandle>);
    let follow = move |event: Event| {
        let Some(place) = fragment::filter_url(&event) else {
            return;
        };
        typing.update_value(|before| {
            if let Some(before) = before.take() {
                before.clear();
            }
            *before = set_timeout_with_handle(move || fragment::navigate(&place), TYPING_PAUSE).ok();
        });
    };
    let toasts = expect_context::<Toasts>();
    let monitor = expect_context::<SessionMonitor>();
    let submit = move |event: SubmitEvent| {
        if let Some(place) = fragment::filter_url(&event) {
            event.prevent_default();
            fragment::navigate(&place);
        } else if let Some(form) = fragment::submitted_form(&event) {
            event.prevent_default();
            if monitor.can_act_now() {
                spawn_local(send(form, toasts, loaded));
            }
        }
    };
    let key = move |event: KeyboardEvent| {
        if event.key() == "Escape" && fragment::cancel_dialog(FRAGMENT) {
            event.prevent_default();
        }
    };
    view! {
        {failed}
        <div
            id=FRAGMENT
            class="fragment"
            on:input=follow
            on:change=follow
            on:submit=submit
            on:keydown=key
            inner_html=html.get_untracked()
        ></div>
    }
}

/// Sends a form until everything is done, then navigates as the response says.
async fn send(form: fragment::FragmentForm, toasts: Toasts, loaded: PageResource<Fragment>) {
    if !form.start() {
        return;
    }
    let (mut ended, mut requests) = (0, 0);
    loop {
        match client::post(&form.action(), form.fields()).await {
            Ok(response) => {
                let (done, left) = (
                    browser::json_count(&response, "ended"),
                    browser::json_count(&response, "left"),
                );
                ended += done;
                requests += 1;
                if left > 0 && done > 0 {
                    form.progress(ended, left);
                    continue;
                }
                let text = |name| browser::json_text(&response, name).unwrap_or_default();
                form.finish(None);
                let message = match requests {
                    1 => text("message"),
                    // The last response counts its own sessions only.
                    _ => format!("{ended} sessions ended."),
                };
                toasts.show(Tone::Success, message);
                let next = text("next");
                if next == browser::current_path() {
                    loaded.refetch();
                } else {
                    fragment::navigate(&next);
                }
                return;
            }
            Err(error) => {
                form.finish(filter_session_end(error).as_ref());
                return;
            }
        }
    }
}

fn refresh_periodically(loaded: PageResource<Fragment>) {
    let monitor = expect_context::<SessionMonitor>();
    effect(move || {
        let refresh = move || {
            if monitor.can_act_now() && browser::is_visible() && fragment::can_refresh(FRAGMENT) {
                loaded.refresh();
            }
        };
        if let Ok(interval) = set_interval_with_handle(refresh, REFRESH_INTERVAL) {
            on_cleanup(move || interval.clear());
        }
    });
}

#[component]
fn Failed(error: AppError, loaded: PageResource<Fragment>) -> impl IntoView {
    let is_forbidden = error == AppError::Forbidden;
    let title = if is_forbidden {
        "This page is for administrators."
    } else {
        "The page could not be loaded."
    };
    let again = (!is_forbidden).then(|| {
        view! {
            <p class="actions">
                <a
                    class="button"
                    href=""
                    rel="external"
                    on:click=move |event| {
                        event.prevent_default();
                        loaded.refetch();
                    }
                >
                    "Try again"
                </a>
            </p>
        }
        .into_any()
    });
    view! {
        <ErrorNotice title error />
        {again}
    }
}
