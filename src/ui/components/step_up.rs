//! Asking for the password in the middle of what a person does, where the server wants a fresh look at it. Without
//! JavaScript the server leads to a page that asks the same.

use std::sync::Arc;

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use super::{password_field::PasswordField, pending_button::PendingButton, refusal::Refusal};
use crate::{
    error::AppError,
    ui::{browser, ending::Ending, failure::unless_ended},
};

const DIALOG: &str = "step-up";
const PASSWORD: &str = "step-up-password";

/// Gets what came of it.
pub type Answered = Arc<dyn Fn(Result<usize, AppError>) + Send + Sync>;

/// Ends sessions, with a question for the password on the way if need be. In the context of the settings page, which
/// has one [`StepUpDialog`].
#[derive(Clone, Copy)]
pub struct StepUp {
    asked: RwSignal<Option<(Ending, Answered)>>,
}

impl StepUp {
    pub fn new() -> Self {
        Self {
            asked: RwSignal::new(None),
        }
    }

    /// Ends what is to be ended. `answered` runs once; or it runs with [`AppError::ReauthRequired`] when the person is
    /// asked, and again only if they go on. `opener` is the id of the control that has the focus after that.
    pub fn end(self, ending: Ending, opener: String, answered: Answered) {
        spawn_local(async move {
            let result = ending.carry_out(None).await;
            let asks = matches!(result, Err(AppError::ReauthRequired));
            answered(result);
            if asks {
                self.asked.set(Some((ending, answered)));
                // Once the page shows the control again: a dialog gives the focus back to where it was.
                request_animation_frame(move || {
                    browser::focus(&opener);
                    browser::open_dialog(DIALOG);
                });
            }
        });
    }
}

impl Default for StepUp {
    fn default() -> Self {
        Self::new()
    }
}

/// The dialog in which [`StepUp`] asks.
#[component]
pub fn StepUpDialog() -> impl IntoView {
    let StepUp { asked } = expect_context();
    let failure = RwSignal::new(None::<AppError>);
    let busy = RwSignal::new(false);

    let closed = move |_| {
        asked.set(None);
        failure.set(None);
        if let Some(field) = browser::field(PASSWORD) {
            field.set_value("");
        }
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some((ending, answered)) = asked.get_untracked() else {
            return;
        };
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        failure.set(None);
        spawn_local(async move {
            let result = ending.carry_out(Some(browser::typed(PASSWORD))).await;
            busy.set(false);
            match result {
                Ok(_) | Err(AppError::NotFound) => {
                    browser::close_dialog(DIALOG);
                    answered(result);
                }
                Err(error) => {
                    failure.set(unless_ended(error));
                    browser::focus_field(PASSWORD);
                }
            }
        });
    };
    let action = Signal::derive(move || {
        asked.with(|asked| {
            asked
                .as_ref()
                .map(|(ending, _)| ending.label())
                .unwrap_or_default()
        })
    });
    view! {
        <dialog
            class="dialog"
            id=DIALOG
            aria-labelledby="step-up-title"
            aria-describedby="step-up-text"
            on:close=closed
        >
            <form method="dialog" on:submit=submit>
                <h2 id="step-up-title">"Enter your password to go on"</h2>
                <div class="dialog-body">
                    <p id="step-up-text">
                        <strong>{action}</strong>
                        ": you entered your password some time ago, so we ask again before anything is signed out."
                    </p>
                    <PasswordField id=PASSWORD failure autofocus=true />
                    <Refusal failure />
                </div>
                <div class="dialog-foot">
                    <div class="actions end">
                        <button class="button" type="button" on:click=|_| browser::close_dialog(DIALOG)>
                            "Cancel"
                        </button>
                        <PendingButton
                            class="button danger final"
                            idle=action
                            pending="Signing out…".to_owned()
                            busy
                        />
                    </div>
                </div>
            </form>
        </dialog>
    }
}
