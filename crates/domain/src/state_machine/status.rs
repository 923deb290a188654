//! What the state machine knows about a session.

use super::Millis;
use crate::session::EndReason;

/// When a session expires, as of one response of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryTimes {
    /// When the idle timeout ends without further activity.
    pub idle_expires_at: Millis,
    /// When the lifetime ends.
    pub lifetime_expires_at: Millis,
    /// How far activity moves `idle_expires_at` from now.
    pub idle_timeout: Millis,
    /// How long before expiry to warn the user. 0: never.
    pub warning_period: Millis,
}

impl ExpiryTimes {
    /// When the session expires without further activity.
    pub fn ends_at(self) -> Millis {
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
        Some(self.ends_at() - warning_period)
    }
}

/// Why the session ended, and whether this browser caused it.
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
    /// The check failed. `overdue`: the session should have expired meanwhile.
    Unreachable {
        overdue: bool,
    },
    /// It is over.
    Ended(SessionEnd),
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
    pub ends_at: Millis,
    /// The lifetime ends, so the session cannot be extended.
    pub is_final: bool,
}
