//! Changes of the list of active sessions that the server has not confirmed yet.

use std::sync::Arc;

use domain::{ids::SessionId, overview::ActiveSessions, session::Session};
use leptos::prelude::*;

use crate::{
    elements::notice::Tone,
    error::{AppError, Resource},
    ui::{
        browser,
        components::{device_list, reauthentication::Reauthentication, session_row::sign_out_button},
        errors::filter_session_end,
        live::toasts::Toasts,
        page_data::PageResource,
        sign_out::SignOutTarget,
    },
};

/// Gets the focus when the focused button is removed.
pub const TITLE: &str = "sessions-title";

/// The result of the last action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done(String),
    Failed(AppError),
}

/// Changes of the list that the server has not confirmed yet, and its errors.
#[derive(Clone, Copy)]
pub struct PendingChanges {
    /// Rows that are hidden already.
    pub hidden: RwSignal<Vec<SessionId>>,
    pub failures: RwSignal<Vec<(SessionId, AppError)>>,
    pub outcome: RwSignal<Option<Outcome>>,
    pub toasts: Toasts,
    /// The id of the element that had the focus in the list.
    pub focused: StoredValue<Option<String>>,
    pub reauthentication: Reauthentication,
    pub loaded: PageResource<ActiveSessions>,
}

impl PendingChanges {
    /// Signs out one session. Its row disappears at once, and returns with an error if the server refuses, or if it
    /// requires the password.
    pub fn sign_out_one(self, session: &Session) {
        let (id, name) = (session.id, session.device_name.clone());
        self.failures
            .update(|failures| failures.retain(|(of, _)| *of != id));
        self.hide(&[id]);
        let target = SignOutTarget::One {
            id,
            name: name.clone(),
        };
        let answered = move |result| match result {
            // The session has already ended, as intended.
            Ok(_) | Err(AppError::NotFound(Resource::Session)) => {
                self.finish(&[id], format!("{name} has been signed out."));
            }
            Err(error) => {
                if let Some(error) = self.revert(&[id], error) {
                    self.failures.update(|failures| failures.push((id, error)));
                }
            }
        };
        self.reauthentication
            .end(target, sign_out_button(id), Arc::new(answered));
    }

    /// All other sessions have been signed out; `ended` is their number.
    pub fn signed_out_others(self, others: &[SessionId], ended: usize) {
        self.failures.set(Vec::new());
        let have = if ended == 1 { "has" } else { "have" };
        let text = format!(
            "{} {have} been signed out. This browser stays signed in.",
            device_list::devices(ended)
        );
        self.finish(others, text);
    }

    /// Hides rows and moves the focus to the title. Rows that are hidden already leave the focus where the user moved it.
    fn hide(self, gone: &[SessionId]) {
        let is_hidden = |id: &SessionId| self.hidden.with_untracked(|hidden| hidden.contains(id));
        if !gone.iter().all(is_hidden) {
            self.hidden.update(|hidden| hidden.extend(gone));
            browser::focus(TITLE);
        }
    }

    fn finish(self, gone: &[SessionId], text: String) {
        // The rows returned while the password was requested.
        self.hide(gone);
        self.outcome.set(None);
        self.toasts.show(Tone::Success, text);
        self.loaded.refetch();
    }

    /// Shows the rows again and returns the error to show. `None` if the session ended or the password is required.
    pub fn revert(self, back: &[SessionId], error: AppError) -> Option<AppError> {
        self.hidden
            .update(|hidden| hidden.retain(|id| !back.contains(id)));
        filter_session_end(error).filter(|error| *error != AppError::ReauthRequired)
    }
}
