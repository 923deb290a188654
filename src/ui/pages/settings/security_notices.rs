//! "Was this you?": what was unusual about the person's sessions, to be answered. One line that opens; nothing at all where
//! nothing was.

use std::sync::Arc;

use domain::{overview::ActiveSessions, security_notice::SecurityNotice, time::plural};
use leptos::{ev::SubmitEvent, prelude::*};

use crate::{
    error::AppError,
    ui::{
        browser,
        components::{
            dynamic::{KeyedRow, dynamic, keyed_rows, nothing, waiting},
            icon::{Icon, Picture},
            local_time::LocalTime,
            notice::{Notice, Tone},
            pending_button::PendingButton,
            step_up::{PendingAction, StepUp},
            trouble::Trouble,
        },
        ending::Ending,
        failure::{error_of_form, unless_ended},
        loading::Loading,
    },
};

/// The id of what is said after an answer: the focus goes there, since the button that had it is gone.
const OUTCOME: &str = "notice-outcome";

/// Where a yes is sent to.
const DISMISS: &str = "/api/dismiss_security_notice";

/// What the person has answered.
#[derive(Clone, Copy)]
struct Answers {
    /// The device of the last answer, and whether it was signed out for it.
    last: RwSignal<Option<(String, bool)>>,
    step_up: StepUp,
    loaded: Loading<ActiveSessions>,
}

impl Answers {
    /// The question goes with the next list that comes; until then its buttons stay at work.
    fn given(self, device: String, signed_out: bool) {
        self.last.set(Some((device, signed_out)));
        self.loaded.refetch();
        browser::focus_soon(OUTCOME);
    }
}

/// The card at the top of the settings.
#[component]
pub fn SecurityNotices(loaded: Loading<ActiveSessions>) -> impl IntoView {
    waiting(nothing, move || async move {
        loaded.settled().await;
        view! { <Card loaded /> }.into_any()
    })
}

#[component]
fn Card(loaded: Loading<ActiveSessions>) -> impl IntoView {
    let devices = loaded.last();
    let answers = Answers {
        last: RwSignal::default(),
        step_up: expect_context(),
        loaded,
    };
    let outcome = dynamic(move || {
        let (device, signed_out) = answers.last.get()?;
        Some(view! { <Outcome device signed_out /> }.into_any())
    });
    let refused = error_of_form(&[DISMISS])
        .map(|error| view! { <Trouble title="Your answer was not kept." error /> }.into_any());
    let notices = Memo::new(move |_| devices.get().map(|devices| devices.notices).unwrap_or_default());
    let any = Memo::new(move |_| notices.with(|notices| !notices.is_empty()));
    let count = Signal::derive(move || {
        let count = notices.with(Vec::len);
        plural(i64::try_from(count).unwrap_or(i64::MAX), "question")
    });
    let question = move |notice: SecurityNotice| KeyedRow {
        key: format!("{} {} {}", notice.id, notice.is_live, notice.may_confirm),
        view: Box::new(move || {
            let notice = notice.clone();
            view! { <Question notice answers /> }.into_any()
        }),
    };
    // Made once: it stays open, with the focus that is in it, when the list is loaded anew.
    let card = dynamic(move || {
        if !any.get() {
            return None;
        }
        let list = keyed_rows(move || notices.get().into_iter().map(question).collect());
        let card = view! {
            <section class="card questions" aria-labelledby="notices-title">
                <details>
                    <summary>
                        <Icon picture=Picture::AlertTriangle />
                        <h2 id="notices-title">"Unusual activity"</h2>
                        <span class="card-aside">{count}</span>
                        <Icon picture=Picture::ChevronDown />
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

/// What came of an answer.
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
fn Question(notice: SecurityNotice, answers: Answers) -> impl IntoView {
    let failure = RwSignal::new(None::<AppError>);
    // The one of the two answers that is on its way.
    let doing = RwSignal::new(None::<&'static str>);
    let problem = dynamic(move || {
        let error = failure.get()?;
        let line = view! {
            <p class="field-error" role="alert">
                <Icon picture=Picture::AlertCircle />
                <span>{(!error.is_uncertain()).then_some("Nothing was changed. ")} {error.message()}</span>
            </p>
        };
        Some(line.into_any())
    });
    let button = |action| answer_form(action, &notice, answers, doing, failure);
    let device = notice.device_name.clone();
    let yes = button(PendingAction::ConfirmNotice {
        id: notice.id,
        device: device.clone(),
    });
    // Whoever has just signed in here may be the one who did that as well.
    let takes_password = (!notice.may_confirm).then(|| {
        view! { <p class="soft small">"Yes takes your password, since this browser is new as well."</p> }
            .into_any()
    });
    let no = if notice.is_live {
        button(PendingAction::End(Ending::One {
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
        <li class="question">
            <Icon picture=Picture::AlertTriangle />
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

/// The button of one answer. It does nothing while either answer is on its way.
fn answer_form(
    action: PendingAction,
    notice: &SecurityNotice,
    answers: Answers,
    doing: RwSignal<Option<&'static str>>,
    failure: RwSignal<Option<AppError>>,
) -> AnyView {
    let signs_out = matches!(action, PendingAction::End(_));
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
        if doing.get_untracked().is_some() {
            return;
        }
        doing.set(Some(kind));
        failure.set(None);
        let device = device.clone();
        let answered = move |result| match result {
            // Done in another tab: just as well.
            Ok(_) | Err(AppError::NotFound | AppError::NoSuch(_)) => answers.given(device.clone(), signs_out),
            Err(error) => {
                doing.set(None);
                failure.set(unless_ended(error).filter(|error| *error != AppError::ReauthRequired));
            }
        };
        answers
            .step_up
            .run(action.clone(), opener.clone(), Arc::new(answered));
    };
    let busy = Signal::derive(move || doing.get() == Some(kind));
    view! {
        <form method="post" action=endpoint on:submit=submit>
            <input type="hidden" name=field value=about />
            <PendingButton class id idle=idle.to_owned() pending=pending.to_owned() of busy />
        </form>
    }
    .into_any()
}
