//! Flash messages: the result of a form, shown once by the next page. They are stored with the session, because anyone
//! can write a URL.

use std::{fmt, str::FromStr};

use super::{named_values::named_values, time::pluralize};

named_values! {
    /// The result of the form.
    pub enum FlashCode {
        /// An administrator revoked all selected sessions.
        SessionsEnded = "sessions_ended";
        /// An administrator revoked sessions; others remain.
        SessionsLeft = "sessions_left";
        AccountDisabled = "account_disabled";
        AccountEnabled = "account_enabled";
        PasswordRequired = "password_required";
        RoleChanged = "role_changed";
        TestAlertSent = "test_alert_sent";
        SignedOutOne = "signed_out_one";
        SignedOutOthers = "signed_out_others";
        /// The other devices were signed out.
        PasswordChanged = "password_changed";
        PasswordChangedOthersKept = "password_changed_others_kept";
    }
}

/// A code with a count. Text form: `code:count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flash {
    pub code: FlashCode,
    /// Sessions that ended.
    pub count: usize,
}

impl Flash {
    /// The message that the user reads.
    pub fn message(self) -> String {
        let words = match self.code {
            FlashCode::SessionsEnded if self.count == 0 => "No session was left to end.",
            FlashCode::SessionsEnded => return format!("{} ended.", sessions(self.count)),
            FlashCode::SessionsLeft => {
                return format!("{} ended. More sessions remain.", sessions(self.count));
            }
            FlashCode::AccountDisabled => "The account is disabled and signed out everywhere.",
            FlashCode::AccountEnabled => "The account can sign in again.",
            FlashCode::PasswordRequired => {
                "The user is signed out everywhere and must choose a new password at the next sign-in."
            }
            FlashCode::RoleChanged => "The role has been changed. It applies from now on.",
            FlashCode::TestAlertSent => "A test alert has been queued. Its delivery is shown here.",
            FlashCode::SignedOutOne => {
                "The device has been signed out. If someone else was using it, change your password now."
            }
            FlashCode::SignedOutOthers => {
                "All other devices have been signed out. This browser stays signed in."
            }
            FlashCode::PasswordChanged => return other_sessions_message(false, self.count),
            FlashCode::PasswordChangedOthersKept => return other_sessions_message(true, self.count),
        };
        words.to_owned()
    }
}

/// The result for the user's other sessions after a password change.
pub fn other_sessions_message(kept: bool, ended: usize) -> String {
    match ended {
        _ if kept => "Your other devices stay signed in.".to_owned(),
        0 => "No other device was signed in.".to_owned(),
        1 => "1 other device has been signed out.".to_owned(),
        _ => format!("{ended} other devices have been signed out."),
    }
}

fn sessions(count: usize) -> String {
    pluralize(i64::try_from(count).unwrap_or(i64::MAX), "session")
}

impl fmt::Display for Flash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.code.as_str(), self.count)
    }
}

/// The text is not a flash message of this version. A newer server may have written it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFlash;

impl FromStr for Flash {
    type Err = UnknownFlash;

    fn from_str(text: &str) -> Result<Self, UnknownFlash> {
        let (code, count) = text.split_once(':').ok_or(UnknownFlash)?;
        Ok(Self {
            code: code.parse().map_err(|_| UnknownFlash)?,
            count: count.parse().map_err(|_| UnknownFlash)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flash_round_trips_through_text() {
        for code in FlashCode::ALL {
            let flash = Flash { code, count: 7 };
            assert_eq!(flash.to_string().parse(), Ok(flash));
            assert!(flash.message().ends_with('.'), "{}", flash.message());
        }
        for text in [
            "",
            "role_changed",
            "role_changed:x",
            "nothing:1",
            "role_changed:-1",
        ] {
            assert_eq!(text.parse::<Flash>(), Err(UnknownFlash), "{text}");
        }
    }
}
