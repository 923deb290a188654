//! Asks for the password when an action requires reauthentication. Without JavaScript the server redirects to a page
//! that asks the same.

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

/// The action that waits for the password.
#[derive(Clone, Debug)]
pub enum PendingAction {
    SignOut(SignOutTarget),
    /// Confirms a security notice from a session that is in question itself.
    ConfirmNotice {
        id: NoticeId,
        device: String,
    },
}

impl PendingAction {
    /// The label of the button.
    fn label(&self) -> String {
        match self {
            PendingAction::SignOut(target) => target.label(),
            PendingAction::ConfirmNotice { .. } => "Yes, it was me".to_owned(),
        }
    }

    /// The action, and why the password is required.
    fn reason(&self) -> (String, &'static str) {
        match self {
            PendingAction::SignOut(target) => (
                target.label(),
                ": you entered your password some time ago, so we ask again before anything is signed out.",
            ),
            PendingAction::ConfirmNotice { device, .. } => (
                format!("It was you on {device}"),
                ": this browser is new as well, so we ask for your password before it can confirm this.",
            ),
        }
    }

    /// Executes the action and returns how many sessions ended.
    async fn execute(&self, password: Option<String>) -> Result<usize, AppError> {
        match self {
            PendingAction::SignOut(target) => target.execute(password).await,
            PendingAction::ConfirmNotice { id, .. } => dismiss_security_notice(id.to_string(), password)
                .await
                .map(|()| 0),
        }
    }
}

/// Gets the result of the action.
pub type ResultCallback = Arc<dyn Fn(Result<usize, AppError>) + Send + Sync>;

/// Executes actions and asks for the password if required. In the context of the settings page, which has one
/// [`ReauthenticationDialog`].
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

    /// Signs out `target`, like [`Self::run`].
    pub fn end(self, target: SignOutTarget, opener: String, on_result: ResultCallback) {
        self.run(PendingAction::SignOut(target), opener, on_result);
    }

    /// Executes the action. `on_result` runs once; or with [`AppError::ReauthRequired`] when the dialog opens, and
    /// again if the user continues. `opener` is the id of the element that gets the focus afterwards.
    pub fn run(self, action: PendingAction, opener: String, on_result: ResultCallback) {
        spawn_local(async move {
            let result = action.execute(None).await;
            let asks = matches!(result, Err(AppError::ReauthRequired));
            on_result(result);
            if asks {
                self.pending.set(Some((action, on_result)));
                // After rendering, because the dialog restores the focus to the opener.
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

/// The dialog of [`Reauthentication`].
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
                Ok(_) | Err(AppError::NotFound(_)) => {
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
    // Rendered anew for each action, so that the password is empty.
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
            (
                "Your response was not saved.",
                "button primary final",
                "One moment…",
            )
        };
        let form = view! {
            <form method="dialog" on:submit=submit>
                <h2 id="step-up-title">"Enter your password to continue"</h2>
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
