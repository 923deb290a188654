//! `/dashboard/admin/...`: pages that the server draws (`server::drawn`). Here they get their place, follow the address and
//! the data, and have their forms sent.

use std::time::Duration;

use leptos::{
    ev::{Event, KeyboardEvent, SubmitEvent},
    leptos_dom::helpers::TimeoutHandle,
    prelude::*,
    task::spawn_local,
};
use leptos_router::hooks::use_location;

use crate::{
    error::AppError,
    server_fns::client,
    ui::{
        browser::{self, drawn},
        components::{
            dynamic::{dynamic, effect, waiting},
            notice::Tone,
            page_title::PageTitle,
            trouble::Trouble,
        },
        failure::unless_ended,
        live::{keeper::Keeper, toasts::Toasts},
        loading::{Drawn, Loading},
    },
};

/// The element that the drawn page stands in.
const PLACE: &str = "drawn";

/// How often the page is drawn anew by itself.
const EVERY: Duration = Duration::from_secs(15);

/// How long a pause in typing is taken for its end.
const PAUSE: Duration = Duration::from_millis(250);

/// The page: loading, failed, or what the server drew.
#[component]
pub fn AdminPage() -> impl IntoView {
    let loaded = Loading::<Drawn>::start();
    follow_address(loaded);
    // Each of these pages is a route of its own: the path of one does not change.
    let title = use_location()
        .pathname
        .with_untracked(|path| match path.rsplit('/').next() {
            Some("people") => "People",
            Some("audit") => "Audit log",
            Some("health") => "Health",
            _ => "Sessions",
        });
    let content = waiting(loading, move || async move {
        loaded.settled().await;
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

/// The address is all the state of the page: another query is another page.
fn follow_address(loaded: Loading<Drawn>) {
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
fn Content(loaded: Loading<Drawn>) -> impl IntoView {
    let html = Memo::new(move |before: Option<&String>| match loaded.get() {
        Some(Ok(Drawn(html))) => html,
        // What was there stays when it fails to refresh, but for whoever may see it no more.
        Some(Err(error)) if error.is_failure() => before.cloned().unwrap_or_default(),
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
            _ = unless_ended(error);
        }
    });
    let mut shown = None::<(String, String)>;
    effect(move || {
        let now = (html.get(), browser::here());
        // Whatever else is heard meanwhile, a question stays as it is, with what was typed, until it is answered.
        let is_kept = !now.0.is_empty() && drawn::is_asking(PLACE);
        match &shown {
            Some(before) if *before == now || (is_kept && before.1 == now.1) => return,
            // The first is there already, as the server or the view below put it.
            before => drawn::show(PLACE, before.is_some().then_some(&now.0)),
        }
        shown = Some(now);
    });
    refresh_now_and_then(loaded);
    let typing = StoredValue::new(None::<TimeoutHandle>);
    let follow = move |event: Event| {
        let Some(place) = drawn::filtered(&event) else {
            return;
        };
        typing.update_value(|before| {
            if let Some(before) = before.take() {
                before.clear();
            }
            *before = set_timeout_with_handle(move || drawn::go_to(&place), PAUSE).ok();
        });
    };
    let toasts = expect_context::<Toasts>();
    let keeper = expect_context::<Keeper>();
    let submit = move |event: SubmitEvent| {
        if let Some(place) = drawn::filtered(&event) {
            event.prevent_default();
            drawn::go_to(&place);
        } else if let Some(form) = drawn::sent(&event) {
            event.prevent_default();
            if keeper.may_act_now() {
                spawn_local(send(form, toasts, loaded));
            }
        }
    };
    let key = move |event: KeyboardEvent| {
        if event.key() == "Escape" && drawn::cancel(PLACE) {
            event.prevent_default();
        }
    };
    view! {
        {failed}
        <div
            id=PLACE
            class="drawn"
            on:input=follow
            on:change=follow
            on:submit=submit
            on:keydown=key
            inner_html=html.get_untracked()
        ></div>
    }
}

/// Sends a form until all of it is done, and goes where the answer says.
async fn send(form: drawn::Form, toasts: Toasts, loaded: Loading<Drawn>) {
    if !form.begin() {
        return;
    }
    let (mut ended, mut requests) = (0, 0);
    loop {
        match client::post(&form.action(), form.fields()).await {
            Ok(answer) => {
                let (done, left) = (
                    browser::json_count(&answer, "ended"),
                    browser::json_count(&answer, "left"),
                );
                ended += done;
                requests += 1;
                if left > 0 && done > 0 {
                    form.progress(ended, left);
                    continue;
                }
                let text = |name| browser::json_text(&answer, name).unwrap_or_default();
                form.finish(None);
                let message = match requests {
                    1 => text("message"),
                    // The last answer tells of its own only.
                    _ => format!("{ended} sessions ended."),
                };
                toasts.say(Tone::Success, message);
                let next = text("next");
                if next == browser::here() {
                    loaded.refetch();
                } else {
                    drawn::go_to(&next);
                }
                return;
            }
            Err(error) => {
                form.finish(unless_ended(error).as_ref());
                return;
            }
        }
    }
}

fn refresh_now_and_then(loaded: Loading<Drawn>) {
    let keeper = expect_context::<Keeper>();
    effect(move || {
        let refresh = move || {
            if keeper.may_act_now() && browser::is_visible() && drawn::may_change(PLACE) {
                loaded.refresh();
            }
        };
        if let Ok(interval) = set_interval_with_handle(refresh, EVERY) {
            on_cleanup(move || interval.clear());
        }
    });
}

#[component]
fn Failed(error: AppError, loaded: Loading<Drawn>) -> impl IntoView {
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
        <Trouble title error />
        {again}
    }
}
