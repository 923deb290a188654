//! What a person can end on the settings page: what it is called, and how it is done.

use super::{components::device_list::devices, live::keeper};
use domain::{ids::SessionId, session::EndReason};

use crate::{
    error::AppError,
    server_fns::{revoke_session, sign_out_all_devices, sign_out_other_devices},
};

/// Which sessions to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    One { id: SessionId, name: String },
    Others,
    All,
}

impl Ending {
    /// What the button that does it reads: "Sign out Firefox on macOS".
    pub fn label(&self) -> String {
        match self {
            Ending::One { name, .. } => format!("Sign out {name}"),
            Ending::Others => "Sign out other devices".to_owned(),
            Ending::All => "Sign out of all devices".to_owned(),
        }
    }

    /// What the person is asked before it is done.
    pub fn question(&self) -> &'static str {
        match self {
            Ending::One { .. } => "Sign out this device?",
            Ending::Others => "Sign out of other devices?",
            Ending::All => "Sign out of all devices?",
        }
    }

    /// What it does to `count` sessions, above their list.
    pub fn consequence(&self, count: usize) -> String {
        match self {
            Ending::One { .. } => "This ends the session on:".to_owned(),
            Ending::Others => format!("This signs out {}. This browser stays signed in.", devices(count)),
            Ending::All if count == 1 => "This ends the session in this browser:".to_owned(),
            Ending::All => format!("This ends {count} sessions, this browser included:"),
        }
    }

    /// Where its form is sent to.
    pub fn endpoint(&self) -> &'static str {
        match self {
            Ending::One { .. } => "/api/revoke_session",
            Ending::Others => "/api/sign_out_other_devices",
            Ending::All => "/api/sign_out_all_devices",
        }
    }

    /// Ends them and gives how many others ended. After [`Ending::All`] the page is on its way out.
    ///
    /// # Errors
    /// [`AppError::ReauthRequired`] when it takes the password; the server's, else.
    pub async fn carry_out(&self, password: Option<String>) -> Result<usize, AppError> {
        match self {
            Ending::One { id, .. } => {
                keeper::ends(&[*id]);
                revoke_session(id.to_string(), password).await.map(|()| 1)
            }
            Ending::Others => sign_out_other_devices(password).await,
            Ending::All => sign_out_all_devices(password).await.map(|path| {
                keeper::depart(&path, EndReason::SignedOutEverywhere);
                0
            }),
        }
    }
}
