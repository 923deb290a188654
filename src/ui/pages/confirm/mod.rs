//! `/dashboard/settings/sign-out-all`, `/dashboard/settings/sign-out-others` and `/dashboard/confirm-password`: the
//! dialogs as pages, for browsers without JavaScript. The server redirects to the last one when an action requires
//! reauthentication.

mod form;

use leptos::prelude::*;
use leptos_router::hooks::{use_location, use_query_map};

use self::form::{ConfirmForm, ENTER_PASSWORD, NotLoaded, NothingToConfirm, SignOutForm, confirm_form};
use domain::{overview::ActiveSessions, security_notice::SecurityNotice, session::Session};

use crate::ui::{
    components::{
        dynamic::{async_view, empty_view},
        page_title::PageTitle,
    },
    page_data::PageResource,
    sign_out::SignOutTarget,
};

/// One component for three routes, which keeps the browser module small. The password page takes the parameters `for`
/// (the action), `session_id` and `notice_id`.
#[component]
pub fn ConfirmPage() -> impl IntoView {
    let loaded = PageResource::<ActiveSessions>::start();
    let query = use_query_map();
    let param = move |name| query.with_untracked(|query| query.get(name));
    let (title, action) = use_location().pathname.with_untracked(|path| {
        if path.contains("sign-out-all") {
            ("Sign out of all devices", Some("sign_out_all_devices".to_owned()))
        } else if path.contains("sign-out-others") {
            (
                "Sign out of other devices",
                Some("sign_out_other_devices".to_owned()),
            )
        } else {
            ("Enter your password", None)
        }
    });
    let content = async_view(empty_view, move || {
        let asks = action.is_none();
        let action = action.clone().or_else(|| param("for"));
        async move {
            let devices = match loaded.wait().await {
                Ok(devices) => devices,
                Err(error) => return view! { <NotLoaded error /> }.into_any(),
            };
            let view = if action.as_deref() == Some("dismiss_security_notice") {
                let id = param("notice_id");
                let mut notices = devices.notices.iter();
                notices
                    .find(|notice| Some(notice.id.to_string()) == id)
                    .map(confirm_notice)
            } else {
                target_of_action(
                    action.as_deref(),
                    param("session_id").as_deref(),
                    devices.sessions,
                )
                .map(|(target, sessions)| view! { <SignOutForm target sessions asks /> }.into_any())
            };
            view.unwrap_or_else(|| view! { <NothingToConfirm /> }.into_any())
        }
    });
    view! {
        <PageTitle text=title />
        <main class="page narrow confirm" id="content" tabindex="-1">
            <section class="card" aria-labelledby="title">
                {content}
            </section>
        </main>
    }
}

/// The target of the action and the sessions that would end. `None`: invalid, or nothing to end.
fn target_of_action(
    asked: Option<&str>,
    about: Option<&str>,
    mut sessions: Vec<Session>,
) -> Option<(SignOutTarget, Vec<Session>)> {
    let target = match asked? {
        "revoke_session" => {
            sessions.retain(|session| Some(session.id.to_string().as_str()) == about);
            let session = sessions.first()?;
            SignOutTarget::One {
                id: session.id,
                name: session.device_name.clone(),
            }
        }
        "sign_out_other_devices" => {
            sessions.retain(|session| !session.is_current);
            SignOutTarget::Others
        }
        "sign_out_all_devices" => SignOutTarget::All,
        _ => return None,
    };
    (!sessions.is_empty()).then_some((target, sessions))
}

/// Asks for the password before a security notice is confirmed by a session that is in question itself.
fn confirm_notice(notice: &SecurityNotice) -> AnyView {
    confirm_form(ConfirmForm {
        title: ENTER_PASSWORD,
        endpoint: "/api/dismiss_security_notice",
        subject: ("notice_id", notice.id.to_string()),
        text: notice.title(),
        devices: None,
        hint: Some("This browser is new as well, so we ask for your password before it can confirm this."),
        refused: "Your response was not saved.",
        button: "Yes, it was me".to_owned(),
        class: "button primary final",
        pending: "One moment…",
    })
}
