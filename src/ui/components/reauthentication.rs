//! Asking for the password in the middle of what a person does, where the server wants a fresh look at it. Without
//! JavaScript the server leads to a page that asks the same.

use std::sync::Arc;

use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

use super::{
    dynamic::dynamic, form_error::FormError, password_field::PasswordField, pending_button::PendingButton,
};
use domain::ids::NoticeId;

use crate::{
    error::AppError,
    server_fns::dismiss_security_notice,
    ui::{browser, errors::filter_session_end, sign_out::SignOutTarget},
};

const DIALOG: &str = "step-up";
const PASSWORD: &str = "step-up-password";

/// What goes on once the password is right.
#[derive(Clone, Debug)]
pub enum PendingAction {
    SignOut(SignOutTarget),
    /// "This was me", said by a session that is in question itself.
    ConfirmNotice {
        id: NoticeId,
        device: String,
    },
}

impl PendingAction {
    /// What the button that does it reads.
    fn label(&self) -> String {
        match self {
            PendingAction::SignOut(target) => target.label(),
            PendingAction::ConfirmNotice { .. } => "Yes, it was me".to_owned(),
        }
    }

    /// What is done, and why the password is needed.
    fn reason(&self) -> (String, &'static str) {
        match self {
            PendingAction::SignOut(target) => (
                target.label(),
                ": you entered your password some time ago, so we ask again before anything is signed out.",
            ),
            PendingAction::ConfirmNotice { device, .. } => (
                format!("It was you on {device}"),
                ": this browser is new as well, so we ask for your password before we take its word.",
            ),
        }
    }

    /// Does it and gives how many sessions ended.
    async fn execute(&self, password: Option<String>) -> Result<usize, AppError> {
        match self {
            PendingAction::SignOut(target) => target.execute(password).await,
            PendingAction::ConfirmNotice { id, .. } => dismiss_security_notice(id.to_string(), password)
                .await
                .map(|()| 0),
        }
    }
}

/// Gets what came of it.
pub type ResultCallback = Arc<dyn Fn(Result<usize, AppError>) + Send + Sync>;

/// Does what may need the password, with a question for the password on the way if need be. In the context of the settings page, which
/// has one [`ReauthenticationDialog`].
#[derive(Clone, Copy)]
pub struct Reauthentication {
    pending: RwSignal<Option<(PendingAction, ResultCallback)>>,
}

impl Reauthentication {
    pub fn new() -> Self {
        Self {
            pending: RwSignal::new(None),
        }
    }

    /// Ends what is to be ended; else as [`Self::run`].
    pub fn end(self, target: SignOutTarget, opener: String, on_result: ResultCallback) {
        self.run(PendingAction::SignOut(target), opener, on_result);
    }

    /// Does it. `on_result` runs once; or it runs with [`AppError::ReauthRequired`] when the person is asked, and again only
    /// if they go on. `opener` is the id of the control that has the focus after that.
    pub fn run(self, action: PendingAction, opener: String, on_result: ResultCallback) {
        spawn_local(async move {
            let result = action.execute(None).await;
            let asks = matches!(result, Err(AppError::ReauthRequired));
            on_result(result);
            if asks {
                self.pending.set(Some((action, on_result)));
                // Once the page shows the control again: a dialog gives the focus back to where it was.
                request_animation_frame(move || {
                    browser::focus(&opener);
                    browser::open_dialog(DIALOG);
                });
            }
        });
    }
}

impl Default for Reauthentication {
    fn default() -> Self {
        Self::new()
    }
}

/// The dialog in which [`Reauthentication`] asks.
#[component]
pub fn ReauthenticationDialog() -> impl IntoView {
    let Reauthentication { pending } = expect_context();
    let failure = RwSignal::new(None::<AppError>);
    let busy = RwSignal::new(false);

    let closed = move |_| {
        pending.set(None);
        failure.set(None);
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Some((action, on_result)) = pending.get_untracked() else {
            return;
        };
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        failure.set(None);
        spawn_local(async move {
            let result = action.execute(Some(browser::field_value(PASSWORD))).await;
            busy.set(false);
            match result {
                Ok(_) | Err(AppError::SessionNotFound | AppError::ResourceNotFound(_)) => {
                    browser::close_dialog(DIALOG);
                    on_result(result);
                }
                Err(error) => {
                    failure.set(filter_session_end(error));
                    browser::focus_field(PASSWORD);
                }
            }
        });
    };
    // Made anew for each action: what was typed for the last one is gone.
    let form = dynamic(move || {
        let (what, why, label, ends) = pending.with(|pending| {
            let (action, _) = pending.as_ref()?;
            let (what, why) = action.reason();
            Some((
                what,
                why,
                action.label(),
                matches!(action, PendingAction::SignOut(_)),
            ))
        })?;
        let (title, class, pending) = if ends {
            ("Nothing was signed out.", "button danger final", "Signing out…")
        } else {
            ("Your answer was not kept.", "button primary final", "One moment…")
        };
        let form = view! {
            <form method="dialog" on:submit=submit>
                <h2 id="step-up-title">"Enter your password to go on"</h2>
                <div class="dialog-body">
                    <p id="step-up-text">
                        <strong>{what}</strong>
                        {why}
                    </p>
                    <PasswordField id=PASSWORD failure autofocus=true />
                    <FormError failure title />
                </div>
                <div class="dialog-foot">
                    <div class="actions end">
                        <button class="button" type="button" on:click=|_| browser::close_dialog(DIALOG)>
                            "Cancel"
                        </button>
                        <PendingButton class idle=label pending=pending.to_owned() busy />
                    </div>
                </div>
            </form>
        };
        Some(form.into_any())
    });
    view! {
        <dialog
            class="dialog"
            id=DIALOG
            aria-labelledby="step-up-title"
            aria-describedby="step-up-text"
            on:close=closed
        >
            {form}
        </dialog>
    }
}
