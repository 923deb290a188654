//! What the portal raises the alarm about, and how an alarm is shown.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ids::AlertId, time};

/// What can be wrong. The names are public: webhooks carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "snake_case")]
pub enum AlertRule {
    /// Of the sign-ins of the last minutes, too many failed.
    SignInFailures,
    /// A refresh token was shown again: an answer was lost, or someone has a copy.
    TokenReuse,
    /// People turned up in networks far apart, too soon after each other.
    FarSignIns,
    /// The clean-up has not come to its end for too long.
    CleanupOverdue,
    /// A node does not hear of what happens in the database.
    ListenerDown,
    /// The audit log is not what was sealed.
    AuditChainBroken,
}

impl AlertRule {
    pub const ALL: [AlertRule; 6] = [
        AlertRule::SignInFailures,
        AlertRule::TokenReuse,
        AlertRule::FarSignIns,
        AlertRule::CleanupOverdue,
        AlertRule::ListenerDown,
        AlertRule::AuditChainBroken,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            AlertRule::SignInFailures => "sign_in_failures",
            AlertRule::TokenReuse => "token_reuse",
            AlertRule::FarSignIns => "far_sign_ins",
            AlertRule::CleanupOverdue => "cleanup_overdue",
            AlertRule::ListenerDown => "listener_down",
            AlertRule::AuditChainBroken => "audit_chain_broken",
        }
    }

    /// What a person reads above it.
    pub fn label(self) -> &'static str {
        match self {
            AlertRule::SignInFailures => "Many failed sign-ins",
            AlertRule::TokenReuse => "A refresh token was used twice",
            AlertRule::FarSignIns => "Sign-ins far apart",
            AlertRule::CleanupOverdue => "Clean-up is overdue",
            AlertRule::ListenerDown => "A server hears nothing of the database",
            AlertRule::AuditChainBroken => "The audit log was changed",
        }
    }
}

impl fmt::Display for AlertRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no alert has the rule {0:?}")]
pub struct UnknownAlertRule(pub String);

impl TryFrom<String> for AlertRule {
    type Error = UnknownAlertRule;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for AlertRule {
    type Err = UnknownAlertRule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        AlertRule::ALL
            .into_iter()
            .find(|rule| rule.as_str() == text)
            .ok_or_else(|| UnknownAlertRule(text.to_owned()))
    }
}

/// Something that is wrong, or was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub id: AlertId,
    pub rule: AlertRule,
    /// What it is about, where a rule can be about several: the name of a server. Empty for the portal as a whole.
    pub key: String,
    /// One sentence, with the figures.
    pub message: String,
    #[serde(with = "time::wire")]
    pub raised_at: DateTime<Utc>,
    /// It was still so.
    #[serde(with = "time::wire")]
    pub last_seen_at: DateTime<Utc>,
    /// `None`: it is open.
    #[serde(with = "optional_time")]
    pub cleared_at: Option<DateTime<Utc>>,
    /// What became of telling the webhook, the oldest first. Empty where there is none.
    pub deliveries: Vec<Delivery>,
}

/// One thing that the webhook is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// `raised`, `cleared` or `test`.
    pub state: String,
    #[serde(with = "time::wire")]
    pub created_at: DateTime<Utc>,
    pub attempts: u32,
    pub outcome: DeliveryOutcome,
    /// When it was delivered or given up, or when it is tried next.
    #[serde(with = "time::wire")]
    pub outcome_at: DateTime<Utc>,
    /// What was wrong the last time, in a few words.
    pub last_error: Option<String>,
}

/// What has become of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    Waiting,
    Delivered,
    GivenUp,
}

/// What there is to tell of alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertList {
    /// The newest first.
    pub open: Vec<Alert>,
    /// Cleared, the newest first.
    pub recent: Vec<Alert>,
    /// Of the webhook, the newest first.
    pub tests: Vec<Delivery>,
}

/// A rule as the operator has set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRuleSetting {
    pub rule: AlertRule,
    /// When it speaks up, in a sentence. `None`: it is switched off.
    pub threshold: Option<String>,
}

/// A time that may be missing, for `#[serde(with)]`, in the form of [`time::wire`].
mod optional_time {
    use std::borrow::Cow;

    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::time;

    pub fn serialize<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(time::format_rfc3339).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DateTime<Utc>>, D::Error> {
        let text = Option::<Cow<'_, str>>::deserialize(deserializer)?;
        text.map(|text| time::parse_rfc3339(&text).ok_or_else(|| D::Error::custom("a time")))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_round_trips_through_its_name() {
        for rule in AlertRule::ALL {
            assert_eq!(rule.as_str().parse(), Ok(rule));
            assert!(!rule.label().is_empty());
        }
        assert!("everything".parse::<AlertRule>().is_err());
    }
}
