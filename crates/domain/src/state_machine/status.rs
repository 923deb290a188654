//! The status of a session, as the state machine knows it.

use super::Millis;
use crate::session::EndReason;

/// When a session expires, as of one response of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryTimes {
    /// When the idle timeout ends without further activity.
    pub idle_expires_at: Millis,
    /// When the lifetime ends.
    pub lifetime_expires_at: Millis,
    /// After an activity, `idle_expires_at` is this far from now.
    pub idle_timeout: Millis,
    /// Time before expiry at which to warn the user. 0: no warning.
    pub warning_period: Millis,
}

impl ExpiryTimes {
    /// When the session expires without further activity.
    pub fn expires_at(self) -> Millis {
        self.idle_expires_at.min(self.lifetime_expires_at)
    }

    /// When to show the warning. For a session that is shorter than the warning period: half way.
    pub(super) fn warning_at(self) -> Option<Millis> {
        if self.warning_period == 0 {
            return None;
        }
        let warning_period = if self.warning_period < self.idle_timeout {
            self.warning_period
        } else {
            self.idle_timeout / 2
        };
        Some(self.expires_at() - warning_period)
    }
}

/// The reason for the end of the session, and whether this browser caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    pub reason: EndReason,
    /// A tab of this browser revoked the session.
    pub by_this_browser: bool,
}

/// The status of the session, as far as this tab knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorStatus {
    Live,
    /// The status is being checked; requests wait for the result.
    Unsure,
    /// The check failed. `is_overdue`: the session should have expired since the last successful check.
    Unreachable {
        is_overdue: bool,
    },
    /// The session ended.
    Ended(SessionEnd),
}

impl MonitorStatus {
    /// Returns whether the session was live at the last check, also while a new check runs.
    pub fn can_be_live(self) -> bool {
        matches!(self, MonitorStatus::Live | MonitorStatus::Unsure)
    }

    /// Returns whether the session ended, or should have expired.
    pub fn is_ended_or_overdue(self) -> bool {
        matches!(
            self,
            MonitorStatus::Ended(_) | MonitorStatus::Unreachable { is_overdue: true }
        )
    }
}

/// Whether requests may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestGate {
    Open,
    Closed,
}

/// A session that expires soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryWarning {
    pub expires_at: Millis,
    /// The lifetime ends, so the session cannot be extended.
    pub is_final: bool,
}
