//! Security notices: questions to the user about unusual activity.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    ids::{NoticeId, SessionId},
    time,
};

/// Why a notice was raised. The names are public: the audit log contains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "snake_case")]
pub enum NoticeRule {
    /// The session was used by another browser, or a desktop token by a browser. The session was revoked.
    ClientChanged,
    /// A refresh token was used twice. The session was revoked.
    TokenReuse,
    /// Active in two distant networks within minutes.
    FarNetworks,
    /// Several wrong passwords before the correct one.
    FailuresBefore,
    /// The first sign-in with this browser or desktop app.
    NewDevice,
    /// The first use of this network.
    NewNetwork,
}

impl NoticeRule {
    const ALL: [NoticeRule; 6] = [
        NoticeRule::ClientChanged,
        NoticeRule::TokenReuse,
        NoticeRule::FarNetworks,
        NoticeRule::FailuresBefore,
        NoticeRule::NewDevice,
        NoticeRule::NewNetwork,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            NoticeRule::ClientChanged => "client_changed",
            NoticeRule::TokenReuse => "token_reuse",
            NoticeRule::FarNetworks => "far_networks",
            NoticeRule::FailuresBefore => "failures_before",
            NoticeRule::NewDevice => "new_device",
            NoticeRule::NewNetwork => "new_network",
        }
    }
}

/// The text is not the name of a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown rule {0:?}")]
pub struct UnknownNoticeRule(pub String);

/// Parsed from its name, because a derived deserializer is many times larger in the browser module.
impl TryFrom<String> for NoticeRule {
    type Error = UnknownNoticeRule;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for NoticeRule {
    type Err = UnknownNoticeRule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = NoticeRule::ALL.into_iter().find(|rule| rule.as_str() == text);
        known.ok_or_else(|| UnknownNoticeRule(text.to_owned()))
    }
}

/// Why a refresh token was used again. The names are public: the audit log contains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReuseCause {
    /// Probably the response was lost: the new tokens were not used, and the old token came again from the same
    /// network.
    LostAnswer,
    /// Two programs hold the token.
    TwoHolders,
}

impl ReuseCause {
    pub fn as_str(self) -> &'static str {
        match self {
            ReuseCause::LostAnswer => "lost_answer",
            ReuseCause::TwoHolders => "two_holders",
        }
    }
}

/// A question to the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityNotice {
    pub id: NoticeId,
    /// The session that it concerns.
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
    /// The current session may confirm without the password. It may not if it is in question itself.
    pub may_confirm: bool,
}

impl SecurityNotice {
    /// One line that says what happened.
    pub fn title(&self) -> String {
        let device = &self.device_name;
        match self.rules.first() {
            Some(NoticeRule::ClientChanged) => {
                format!("We signed out {device}: its session was used in another browser.")
            }
            Some(NoticeRule::TokenReuse) if self.answer_lost => {
                format!("We signed out {device}: it did not receive its new key.")
            }
            Some(NoticeRule::TokenReuse) => format!("We signed out {device}: its key was used twice."),
            _ if self.is_sign_in() => format!("New sign-in: {device}. Was this you?"),
            _ => format!("{device} was used in another network. Was this you?"),
        }
    }

    /// One or two sentences that explain it.
    pub fn explanation(&self) -> String {
        match self.rules.first() {
            Some(NoticeRule::TokenReuse) if self.answer_lost => {
                "Most likely an answer was lost on the network: nobody has used the new key. Sign in there again. If you \
                 do not know this device, change your password."
                    .to_owned()
            }
            Some(NoticeRule::TokenReuse) => {
                "Two programs use the same key, or someone has a copy of it. If you did not copy it yourself, change your \
                 password."
                    .to_owned()
            }
            Some(NoticeRule::ClientChanged) => {
                "Someone may have a copy of it. If you did not move it yourself, change your password."
                    .to_owned()
            }
            Some(NoticeRule::FarNetworks) => {
                "You were active in a different network minutes before.".to_owned()
            }
            Some(NoticeRule::FailuresBefore) => {
                let tries = i64::from(self.failures.unwrap_or_default());
                format!(
                    "{} failed just before the password was right.",
                    time::pluralize(tries, "attempt")
                )
            }
            Some(NoticeRule::NewDevice) => "You have not signed in there before.".to_owned(),
            Some(NoticeRule::NewNetwork) | None => "You have not used this network before.".to_owned(),
        }
    }

    fn is_sign_in(&self) -> bool {
        let of_sign_in = [NoticeRule::NewDevice, NoticeRule::FailuresBefore];
        self.rules.iter().any(|rule| of_sign_in.contains(rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_round_trips_and_has_a_message() {
        for rule in NoticeRule::ALL {
            assert_eq!(rule.as_str().parse(), Ok(rule));
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
        assert!("because".parse::<NoticeRule>().is_err());
    }
}
