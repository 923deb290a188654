//! Security notices: questions to the user about unusual activity.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    ids::{NoticeId, SessionId},
    named_values::named_values,
    time,
};

named_values! {
    /// A rule that raises a security notice. The names are public: the audit log contains them.
    pub enum NoticeRule {
        /// The session was used by another browser, or a desktop token by a browser. The session was revoked.
        ClientChanged = "client_changed";
        /// A refresh token was used twice. The session was revoked.
        TokenReuse = "token_reuse";
        /// Active in two distant networks within minutes.
        FarNetworks = "far_networks";
        /// Several wrong passwords before the correct one.
        FailuresBefore = "failures_before";
        /// The first sign-in with this browser or desktop app.
        NewDevice = "new_device";
        /// The first use of this network.
        NewNetwork = "new_network";
    }
}

named_values! {
    /// The cause of a reused refresh token. The names are public: the audit log contains them.
    pub enum ReuseCause {
        /// The response was probably lost: the new tokens were never used, and the old token was sent again from the
        /// same network.
        LostResponse = "lost_answer";
        /// Two programs hold the token.
        TwoHolders = "two_holders";
    }
}

/// A question to the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityNotice {
    pub id: NoticeId,
    /// The session that the notice is about.
    pub session_id: SessionId,
    pub device_name: String,
    pub ip_address: String,
    #[serde(with = "time::wire")]
    pub at: DateTime<Utc>,
    /// Most significant first; never empty.
    pub rules: Vec<NoticeRule>,
    /// Wrong passwords just before the sign-in.
    pub failures: Option<u32>,
    /// The refresh token was probably reused because a response was lost.
    #[serde(default)]
    pub answer_lost: bool,
    /// The session is live, so the user can sign it out.
    pub is_live: bool,
    /// Whether the current session may confirm without the password. `false` for a new session that has an open notice
    /// itself.
    pub may_confirm: bool,
}

impl SecurityNotice {
    /// One line about the event.
    pub fn title(&self) -> String {
        let device = &self.device_name;
        match self.rules.first() {
            Some(NoticeRule::ClientChanged) => {
                format!("We signed out {device}: its session was used in another browser.")
            }
            Some(NoticeRule::TokenReuse) if self.answer_lost => {
                format!(
                    "We signed out {device}: its sign-in was renewed, but it did not receive the response."
                )
            }
            Some(NoticeRule::TokenReuse) => {
                format!("We signed out {device}: its refresh token was used twice.")
            }
            _ if self.is_about_sign_in() => format!("New sign-in: {device}. Was this you?"),
            _ => format!("{device} was used from another network. Was this you?"),
        }
    }

    /// One or two sentences that explain the title.
    pub fn explanation(&self) -> String {
        match self.rules.first() {
            Some(NoticeRule::TokenReuse) if self.answer_lost => {
                "Most likely a response was lost on the network; the renewed sign-in was never used. Sign in on that device \
                 again. If you do not know the device, change your password."
                    .to_owned()
            }
            Some(NoticeRule::TokenReuse) => {
                "Two programs use the same refresh token, or it was copied. If you did not copy it yourself, change your \
                 password."
                    .to_owned()
            }
            Some(NoticeRule::ClientChanged) => {
                "The session cookie may have been copied. If you did not copy it yourself, change your password."
                    .to_owned()
            }
            Some(NoticeRule::FarNetworks) => {
                "You used a distant network a few minutes earlier.".to_owned()
            }
            Some(NoticeRule::FailuresBefore) => {
                let tries = i64::from(self.failures.unwrap_or_default());
                format!(
                    "{} failed just before this sign-in.",
                    time::pluralize(tries, "attempt")
                )
            }
            Some(NoticeRule::NewDevice) => "You have not signed in on this device before.".to_owned(),
            Some(NoticeRule::NewNetwork) | None => "You have not used this network before.".to_owned(),
        }
    }

    fn is_about_sign_in(&self) -> bool {
        let sign_in_rules = [NoticeRule::NewDevice, NoticeRule::FailuresBefore];
        self.rules.iter().any(|rule| sign_in_rules.contains(rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_message() {
        for rule in NoticeRule::ALL {
            let notice = SecurityNotice {
                id: NoticeId(uuid::Uuid::nil()),
                session_id: SessionId(uuid::Uuid::nil()),
                device_name: "Chrome on Windows".to_owned(),
                ip_address: "203.0.113.7".to_owned(),
                at: DateTime::UNIX_EPOCH,
                rules: vec![rule],
                failures: Some(4),
                answer_lost: false,
                is_live: true,
                may_confirm: true,
            };
            assert!(notice.title().contains("Chrome on Windows"), "{}", notice.title());
            assert!(notice.explanation().ends_with('.'));
        }
    }
}
