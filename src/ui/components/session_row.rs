//! One session in the list.

use leptos::{ev::SubmitEvent, prelude::*};

use super::{
    dynamic::{dynamic, rows},
    local_time::{Ago, LocalTime},
    pending_button::PendingButton,
};
use crate::elements::icon::{Icon, IconName};
use crate::{error::AppError, ui::page_clock::PageClock};
use domain::{
    ids::SessionId,
    session::{ClientKind, Session},
};

/// The id of the sign-out button.
pub fn sign_out_button(session: SessionId) -> String {
    format!("sign-out-{session}")
}

/// Shows a session, with a sign-out button unless it is the current one.
///
/// `on_sign_out` runs instead of sending the form; `failure` is the last error.
#[component]
pub fn SessionRow(
    #[prop(into)] session: Signal<Session>,
    /// The session was created while the page was open.
    #[prop(into)]
    is_new: Signal<bool>,
    clock: PageClock,
    #[prop(into)] failure: Signal<Option<AppError>>,
    #[prop(into)] on_sign_out: Callback<()>,
) -> impl IntoView {
    let is_current = session.with_untracked(|session| session.is_current);
    let id = session.with_untracked(|session| session.id.to_string());
    let name = Signal::derive(move || session.with(|session| session.device_name.clone()));
    let facts = dynamic(move || {
        let facts = session.with(|session| {
            let kind = match session.kind {
                ClientKind::Browser => "Browser",
                ClientKind::Desktop => "Desktop app",
            };
            // For browsers the icon shows the platform.
            let platform = session
                .platform
                .clone()
                .filter(|_| session.kind == ClientKind::Desktop);
            let facts = [
                session.browser.clone(),
                session.os.clone(),
                platform,
                Some(kind.to_owned()),
                Some(session.ip_address.clone()),
            ];
            rows(facts.into_iter().flatten(), |fact| {
                view! { <span>{fact}</span> }.into_any()
            })
        });
        Some(facts)
    });
    let problem = dynamic(move || {
        let error = failure.get()?;
        let what = if error.has_unknown_outcome() {
            format!("It is not known whether {} was signed out. ", name.get())
        } else {
            format!("{} could not be signed out. ", name.get())
        };
        let line = view! {
            <p class="session-error" role="alert">
                <Icon name=IconName::AlertCircle />
                <span>{what} {error.message()}</span>
            </p>
        };
        Some(line.into_any())
    });
    let badge = dynamic(move || {
        let badge = view! { <span class="badge accent">"New"</span> };
        is_new.get().then(|| badge.into_any())
    });
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        on_sign_out.run(());
    };
    view! {
        <li class="session">
            <span class=if is_current { "tile accent" } else { "tile" }>
                <Icon name=session.with_untracked(IconName::of) />
            </span>
            <h3 class="session-name">
                {name} " "
                {is_current.then(|| view! { <span class="badge accent">"This browser"</span> }.into_any())}
                {badge}
            </h3>
            <div class="session-facts">
                <p class="facts">{facts}</p>
                <p class="facts">
                    {if is_current {
                        view! { <span><span class="live">"Active now"</span></span> }.into_any()
                    } else {
                        let at = Signal::derive(move || session.with(|session| session.last_active_at));
                        view! { <span class="key">"Last active " <Ago at clock /></span> }.into_any()
                    }}
                    <span>
                        "Signed in "
                        <LocalTime at=Signal::derive(move || session.with(|session| session.created_at)) />
                    </span>
                </p>
            </div>
            {(!is_current)
                .then(|| {
                    view! {
                        <form class="session-action" method="post" action="/api/revoke_session" on:submit=submit>
                            <input type="hidden" name="session_id" value=id />
                            <PendingButton
                                class="button small"
                                idle="Sign out".to_owned()
                                pending="Signing out…".to_owned()
                                of=Signal::derive(move || format!("of {}", name.get()))
                                id=sign_out_button(session.with_untracked(|session| session.id))
                                busy=false
                            />
                        </form>
                    }
                        .into_any()
                })}
            {problem}
        </li>
    }
}
