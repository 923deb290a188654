//! Alerts for operators.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ids::AlertId, named_values::named_values, time};

named_values! {
    /// The condition that raises an alert. The names are public: webhooks send them.
    pub enum AlertRule {
        /// Too many sign-ins failed within a few minutes.
        SignInFailures = "sign_in_failures", "Many failed sign-ins";
        /// A refresh token was used twice: a response was lost, or the token was copied.
        TokenReuse = "token_reuse", "A refresh token was used twice";
        /// Users appeared in distant networks within a short time.
        FarSignIns = "far_sign_ins", "Sign-ins far apart";
        /// The clean-up job has not succeeded for too long.
        CleanupOverdue = "cleanup_overdue", "Clean-up is overdue";
        /// A node does not receive database notifications.
        ListenerDown = "listener_down", "A server gets no database notifications";
        /// The audit log differs from its sealed hash chain.
        AuditChainBroken = "audit_chain_broken", "The audit log was changed";
    }
}

/// A condition that operators must handle. Open until it clears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub id: AlertId,
    pub rule: AlertRule,
    /// What the alert refers to, such as a server name. Empty: the portal as a whole.
    pub key: String,
    /// One sentence with the measured values.
    pub message: String,
    #[serde(with = "time::wire")]
    pub raised_at: DateTime<Utc>,
    /// When the condition was last observed.
    #[serde(with = "time::wire")]
    pub last_seen_at: DateTime<Utc>,
    /// `None`: the alert is open.
    #[serde(with = "optional_time")]
    pub cleared_at: Option<DateTime<Utc>>,
    /// Webhook messages, oldest first. Empty without a webhook.
    pub deliveries: Vec<Delivery>,
}

/// One webhook message about an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// `raised`, `cleared` or `test`.
    pub state: String,
    #[serde(with = "time::wire")]
    pub created_at: DateTime<Utc>,
    pub attempts: u32,
    pub outcome: DeliveryOutcome,
    /// When it was delivered or given up; otherwise the time of the next attempt.
    #[serde(with = "time::wire")]
    pub outcome_at: DateTime<Utc>,
    /// A short description of the last failure.
    pub last_error: Option<String>,
}

/// The state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    Waiting,
    Delivered,
    GivenUp,
}

/// The alerts shown to operators.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertList {
    /// Newest first.
    pub open: Vec<Alert>,
    /// Cleared alerts, newest first.
    pub recent: Vec<Alert>,
    /// Test messages to the webhook, newest first.
    pub tests: Vec<Delivery>,
}

/// A rule with its configured threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRuleSetting {
    pub rule: AlertRule,
    /// When the rule raises an alert, as a sentence. `None`: disabled.
    pub threshold: Option<String>,
}

/// An optional time for `#[serde(with)]`, in the format of [`time::wire`].
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
