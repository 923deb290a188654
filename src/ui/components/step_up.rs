//! Asking for the password in the middle of what a person does, where the server wants a fresh look at it. Without
//! JavaScript the server leads to a page that asks the same.

use std::sync::Arc;

use leptos::{
    ev::SubmitEvent,
    html::{Dialog, Input},
    prelude::*,
    task::spawn_local,
};

use super::{
    password_field::{PasswordField, focus_field, typed},
    pending_button::PendingButton,
    refusal::Refusal,
};
use crate::{
    error::AppError,
    ui::{browser, ending::Ending, failure::leave_if_ended},
};

/// Gets what came of it.
pub type Answered = Arc<dyn Fn(Result<usize, AppError>) + Send + Sync>;

/// Ends sessions, with a question for the password on the way if need be. In the context of the settings page, which
/// has one [`StepUpDialog`].
#[derive(Clone, Copy)]
pub struct StepUp {
    asked: RwSignal<Option<(Ending, Answered)>>,
    dialog: NodeRef<Dialog>,
}

impl StepUp {
    pub fn new() -> Self {
        Self {
            asked: RwSignal::new(None),
            dialog: NodeRef::new(),
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
                    if let Some(dialog) = self.dialog.get_untracked() {
                        _ = dialog.show_modal();
                    }
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
    let StepUp { asked, dialog } = expect_context();
    let password = NodeRef::<Input>::new();
    let failure = RwSignal::new(None::<AppError>);
    let busy = RwSignal::new(false);

    let close = move || {
        if let Some(dialog) = dialog.get_untracked() {
            dialog.close();
        }
    };
    let closed = move |_| {
        asked.set(None);
        failure.set(None);
        if let Some(password) = password.get_untracked() {
            password.set_value("");
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
            let result = ending.carry_out(Some(typed(password))).await;
            busy.set(false);
            match result {
                Ok(_) | Err(AppError::NotFound) => {
                    close();
                    answered(result);
                }
                Err(error) => {
                    failure.set(leave_if_ended(error));
                    focus_field(password);
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
            node_ref=dialog
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
                    <PasswordField id="step-up-password" node_ref=password failure autofocus=true />
                    <Refusal failure />
                </div>
                <div class="dialog-foot">
                    <div class="actions end">
                        <button class="button" type="button" on:click=move |_| close()>
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
