//! What users can sign out on the settings page.

use super::{components::device_list::devices, live::monitor};
use domain::{ids::SessionId, session::EndReason};

use crate::{
    error::AppError,
    server_fns::{revoke_session, sign_out_all_devices, sign_out_other_devices},
};

/// The sessions to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignOutTarget {
    One { id: SessionId, name: String },
    Others,
    All,
}

impl SignOutTarget {
    /// The label of the button: "Sign out Firefox on macOS".
    pub fn label(&self) -> String {
        match self {
            SignOutTarget::One { name, .. } => format!("Sign out {name}"),
            SignOutTarget::Others => "Sign out other devices".to_owned(),
            SignOutTarget::All => "Sign out of all devices".to_owned(),
        }
    }

    /// The title of the confirmation.
    pub fn confirm_title(&self) -> &'static str {
        match self {
            SignOutTarget::One { .. } => "Sign out this device?",
            SignOutTarget::Others => "Sign out of other devices?",
            SignOutTarget::All => "Sign out of all devices?",
        }
    }

    /// The effect on `count` sessions, shown above their list.
    pub fn describe_effect(&self, count: usize) -> String {
        match self {
            SignOutTarget::One { .. } => "This ends the session on:".to_owned(),
            SignOutTarget::Others => {
                format!("This signs out {}. This browser stays signed in.", devices(count))
            }
            SignOutTarget::All if count == 1 => "This ends the session in this browser:".to_owned(),
            SignOutTarget::All => format!("This ends {count} sessions, this browser included:"),
        }
    }

    /// The action of the form.
    pub fn endpoint(&self) -> &'static str {
        match self {
            SignOutTarget::One { .. } => "/api/revoke_session",
            SignOutTarget::Others => "/api/sign_out_other_devices",
            SignOutTarget::All => "/api/sign_out_all_devices",
        }
    }

    /// Revokes the sessions and returns how many others ended. After [`SignOutTarget::All`] the page navigates away.
    ///
    /// # Errors
    /// [`AppError::ReauthRequired`] if the password is required; otherwise the error of the server.
    pub async fn execute(&self, password: Option<String>) -> Result<usize, AppError> {
        match self {
            SignOutTarget::One { id, .. } => {
                monitor::announce_revocation(&[*id]);
                revoke_session(id.to_string(), password).await.map(|()| 1)
            }
            SignOutTarget::Others => sign_out_other_devices(password).await,
            SignOutTarget::All => sign_out_all_devices(password).await.map(|path| {
                monitor::leave_page(&path, EndReason::SignedOutEverywhere);
                0
            }),
        }
    }
}
