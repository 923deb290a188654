//! Open security notices: "Was this you?" One collapsed line; nothing without notices.

use std::sync::Arc;

use domain::{overview::ActiveSessions, security_notice::SecurityNotice, time::pluralize};
use leptos::{ev::SubmitEvent, prelude::*};

use crate::{
    elements::{
        icon::{Icon, IconName},
        notice::{Notice, Tone},
    },
    error::AppError,
    ui::{
        browser,
        components::{
            dynamic::{KeyedRow, async_view, dynamic, empty_view, keyed_rows},
            error_notice::ErrorNotice,
            local_time::LocalTime,
            pending_button::PendingButton,
            reauthentication::{PendingAction, Reauthentication},
        },
        errors::{filter_session_end, form_error_in_url},
        page_data::PageResource,
        sign_out::SignOutTarget,
    },
};

/// The id of the result. It gets the focus after an answer, because the button is removed.
const OUTCOME: &str = "notice-outcome";

/// The action that confirms a notice.
const DISMISS: &str = "/api/dismiss_security_notice";

/// The user's answers.
#[derive(Clone, Copy)]
struct NoticeAnswers {
    /// The device of the last answer, and whether it was signed out.
    last: RwSignal<Option<(String, bool)>>,
    reauthentication: Reauthentication,
    loaded: PageResource<ActiveSessions>,
}

impl NoticeAnswers {
    /// The notice disappears when the list is reloaded. Until then its buttons stay busy.
    fn record(self, device: String, signed_out: bool) {
        self.last.set(Some((device, signed_out)));
        self.loaded.refetch();
        browser::focus_next_frame(OUTCOME);
    }
}

/// The card at the top of the settings.
#[component]
pub fn SecurityNotices(loaded: PageResource<ActiveSessions>) -> impl IntoView {
    async_view(empty_view, move || async move {
        loaded.wait_first().await;
        view! { <Card loaded /> }.into_any()
    })
}

#[component]
fn Card(loaded: PageResource<ActiveSessions>) -> impl IntoView {
    let devices = loaded.last();
    let answers = NoticeAnswers {
        last: RwSignal::default(),
        reauthentication: expect_context(),
        loaded,
    };
    let outcome = dynamic(move || {
        let (device, signed_out) = answers.last.get()?;
        Some(view! { <Outcome device signed_out /> }.into_any())
    });
    let refused = form_error_in_url(&[DISMISS])
        .map(|error| view! { <ErrorNotice title="Your answer was not saved." error /> }.into_any());
    let notices = Memo::new(move |_| devices.get().map(|devices| devices.notices).unwrap_or_default());
    let any = Memo::new(move |_| notices.with(|notices| !notices.is_empty()));
    let count = Signal::derive(move || {
        let count = notices.with(Vec::len);
        pluralize(i64::try_from(count).unwrap_or(i64::MAX), "question")
    });
    let row = move |notice: SecurityNotice| KeyedRow {
        key: format!("{} {} {}", notice.id, notice.is_live, notice.may_confirm),
        view: Box::new(move || {
            let notice = notice.clone();
            view! { <NoticeItem notice answers /> }.into_any()
        }),
    };
    // Created once, so that it stays open and keeps its focus when the list is reloaded.
    let card = dynamic(move || {
        if !any.get() {
            return None;
        }
        let list = keyed_rows(move || notices.get().into_iter().map(row).collect());
        let card = view! {
            <section class="card security-notices" aria-labelledby="notices-title">
                <details>
                    <summary>
                        <Icon name=IconName::AlertTriangle />
                        <h2 id="notices-title">"Unusual activity"</h2>
                        <span class="card-aside">{count}</span>
                        <Icon name=IconName::ChevronDown />
                    </summary>
                    <ul>{list}</ul>
                </details>
            </section>
        };
        Some(card.into_any())
    });
    view! {
        {outcome}
        {refused}
        {card}
    }
}

/// The result of an answer.
#[component]
fn Outcome(device: String, signed_out: bool) -> impl IntoView {
    let text = if signed_out {
        view! {
            <p class="notice-title">{device} " has been signed out."</p>
            <p>
                "Whoever was using it may know your password. "
                <a href="#password" rel="external">
                    "Change your password"
                </a>
                " now."
            </p>
        }
        .into_any()
    } else {
        view! { <p>"Thank you. We will not ask about " {device} " again."</p> }.into_any()
    };
    view! {
        <Notice tone=Tone::Success id=OUTCOME>
            {text}
        </Notice>
    }
}

#[component]
fn NoticeItem(notice: SecurityNotice, answers: NoticeAnswers) -> impl IntoView {
    let failure = RwSignal::new(None::<AppError>);
    // The answer that is being sent.
    let sending = RwSignal::new(None::<&'static str>);
    let problem = dynamic(move || {
        let error = failure.get()?;
        let line = view! {
            <p class="field-error" role="alert">
                <Icon name=IconName::AlertCircle />
                <span>{(!error.has_unknown_outcome()).then_some("Nothing was changed. ")} {error.message()}</span>
            </p>
        };
        Some(line.into_any())
    });
    let button = |action| answer_form(action, &notice, answers, sending, failure);
    let device = notice.device_name.clone();
    let yes = button(PendingAction::ConfirmNotice {
        id: notice.id,
        device: device.clone(),
    });
    // This session may belong to the person that the notice is about.
    let takes_password = (!notice.may_confirm).then(|| {
        view! { <p class="soft small">"Confirming requires your password, because this browser is new as well."</p> }
            .into_any()
    });
    let no = if notice.is_live {
        button(PendingAction::SignOut(SignOutTarget::One {
            id: notice.session_id,
            name: device,
        }))
    } else {
        view! {
            <a class="button small" href="#password" rel="external">
                "Change your password"
            </a>
        }
        .into_any()
    };
    view! {
        <li class="security-notice">
            <Icon name=IconName::AlertTriangle />
            <div>
                <h3>{notice.title()}</h3>
                <p>{notice.explanation()}</p>
                <p class="facts">
                    <span>
                        <LocalTime at=notice.at />
                    </span>
                    <span>{notice.ip_address}</span>
                </p>
                {takes_password}
                {problem}
            </div>
            <div class="actions">
                {yes}
                {no}
            </div>
        </li>
    }
}

/// The button of one answer. Ignored while another answer is being sent.
fn answer_form(
    action: PendingAction,
    notice: &SecurityNotice,
    answers: NoticeAnswers,
    sending: RwSignal<Option<&'static str>>,
    failure: RwSignal<Option<AppError>>,
) -> AnyView {
    let signs_out = matches!(action, PendingAction::SignOut(_));
    let (kind, endpoint, field, about) = if signs_out {
        (
            "deny",
            "/api/revoke_session",
            "session_id",
            notice.session_id.to_string(),
        )
    } else {
        ("confirm", DISMISS, "notice_id", notice.id.to_string())
    };
    let (class, idle, pending) = match (signs_out, notice.is_live) {
        (true, _) => ("button danger small", "No, sign it out", "Signing out…"),
        (false, true) => ("button small", "Yes, it was me", "One moment…"),
        (false, false) => ("button small", "Understood", "One moment…"),
    };
    let id = format!("{kind}-{}", notice.id);
    let opener = id.clone();
    let device = notice.device_name.clone();
    let of = Signal::stored(format!("({device})"));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if sending.get_untracked().is_some() {
            return;
        }
        sending.set(Some(kind));
        failure.set(None);
        let device = device.clone();
        let answered = move |result| match result {
            // Already answered in another tab.
            Ok(_) | Err(AppError::NotFound(_)) => answers.record(device.clone(), signs_out),
            Err(error) => {
                sending.set(None);
                failure.set(filter_session_end(error).filter(|error| *error != AppError::ReauthRequired));
            }
        };
        answers
            .reauthentication
            .run(action.clone(), opener.clone(), Arc::new(answered));
    };
    let busy = Signal::derive(move || sending.get() == Some(kind));
    view! {
        <form method="post" action=endpoint on:submit=submit>
            <input type="hidden" name=field value=about />
            <PendingButton class id idle=idle.to_owned() pending=pending.to_owned() of busy />
        </form>
    }
    .into_any()
}
