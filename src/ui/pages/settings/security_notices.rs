//! "Was this you?": what was unusual about the person's sessions, to be answered. Nothing at all where nothing was.

use std::sync::Arc;

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use crate::{
    domain::{overview::ActiveSessions, security_notice::SecurityNotice},
    error::AppError,
    server_fns::dismiss_security_notice,
    ui::{
        browser,
        components::{
            dynamic::{dynamic, nothing, rows, waiting},
            icon::{Icon, Picture},
            local_time::LocalTime,
            notice::{Notice, Tone},
            pending_button::PendingButton,
            step_up::StepUp,
            trouble::Trouble,
        },
        ending::Ending,
        failure::{error_of_form, unless_ended},
        loading::Loading,
    },
};

/// The id of what is said after an answer: the focus goes there, since the button that had it is gone.
const OUTCOME: &str = "notice-outcome";

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
    let refused = error_of_form(&["/api/dismiss_security_notice"])
        .map(|error| view! { <Trouble title="Your answer was not kept." error /> }.into_any());
    let card = dynamic(move || {
        let open = devices.get()?.notices;
        if open.is_empty() {
            return None;
        }
        let list = rows(open, |notice| view! { <Question notice answers /> }.into_any());
        let card = view! {
            <section class="card questions" aria-labelledby="notices-title">
                <header class="card-head">
                    <h2 id="notices-title">"Unusual activity"</h2>
                </header>
                <ul>{list}</ul>
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
    let (id, session_id) = (notice.id, notice.session_id);
    let failure = RwSignal::new(None::<AppError>);
    let (dismissing, ending) = (RwSignal::new(false), RwSignal::new(false));
    let title = notice.title();
    let explanation = notice.explanation();
    let device = notice.device_name.clone();
    let of_device = Signal::stored(format!("({device})"));

    let dismiss = {
        let device = device.clone();
        move |event: SubmitEvent| {
            event.prevent_default();
            if dismissing.get_untracked() || ending.get_untracked() {
                return;
            }
            let device = device.clone();
            dismissing.set(true);
            failure.set(None);
            spawn_local(async move {
                match dismiss_security_notice(id.to_string()).await {
                    // Answered in another tab: just as well.
                    Ok(()) | Err(AppError::NotFound | AppError::NoSuch(_)) => answers.given(device, false),
                    Err(error) => {
                        dismissing.set(false);
                        failure.set(unless_ended(error));
                    }
                }
            });
        }
    };
    let button = format!("deny-{id}");
    let opener = button.clone();
    let deny = {
        let device = device.clone();
        move |event: SubmitEvent| {
            event.prevent_default();
            if dismissing.get_untracked() || ending.get_untracked() {
                return;
            }
            let device = device.clone();
            ending.set(true);
            failure.set(None);
            let what = Ending::One {
                id: session_id,
                name: device.clone(),
            };
            let answered = move |result| match result {
                Ok(_) | Err(AppError::NotFound) => answers.given(device.clone(), true),
                Err(error) => {
                    ending.set(false);
                    failure.set(unless_ended(error).filter(|error| *error != AppError::ReauthRequired));
                }
            };
            answers.step_up.end(what, opener.clone(), Arc::new(answered));
        }
    };
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
    let yes = if notice.is_live {
        "Yes, it was me"
    } else {
        "Understood"
    };
    let yes = notice.may_confirm.then(|| {
        view! {
            <form method="post" action="/api/dismiss_security_notice" on:submit=dismiss>
                <input type="hidden" name="notice_id" value=id.to_string() />
                <PendingButton
                    class="button small"
                    idle=yes.to_owned()
                    pending="One moment…".to_owned()
                    of=of_device
                    busy=dismissing
                />
            </form>
        }
        .into_any()
    });
    // Whoever has just signed in here may be the one who did that as well.
    let elsewhere = (!notice.may_confirm).then(|| {
        view! { <p class="soft small">"If it was you, say so in a browser that you used before."</p> }
            .into_any()
    });
    let no = if notice.is_live {
        view! {
            <form method="post" action="/api/revoke_session" on:submit=deny>
                <input type="hidden" name="session_id" value=session_id.to_string() />
                <PendingButton
                    class="button danger small"
                    id=button
                    idle="No, sign it out".to_owned()
                    pending="Signing out…".to_owned()
                    of=of_device
                    busy=ending
                />
            </form>
        }
        .into_any()
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
                <h3>{title}</h3>
                <p>{explanation}</p>
                <p class="facts">
                    <span>
                        <LocalTime at=notice.at />
                    </span>
                    <span>{notice.ip_address}</span>
                </p>
                {elsewhere}
                {problem}
            </div>
            <div class="actions">
                {yes}
                {no}
            </div>
        </li>
    }
}
