//! What pages and components show of the session.

use domain::state_machine::{ExpiryWarning, MonitorStatus, SessionEnd};

/// The state of the session that pages and components show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionView {
    pub status: MonitorStatus,
    pub warning: Option<ExpiryWarning>,
    /// The page is being left and must show nothing.
    pub is_unloading: bool,
}

impl SessionView {
    /// Whether private data must be hidden.
    pub fn is_content_hidden(self) -> bool {
        self.is_unloading || self.is_ended_or_overdue()
    }

    /// The session ended, or should have expired.
    pub fn is_ended_or_overdue(self) -> bool {
        matches!(
            self.status,
            MonitorStatus::Ended(_) | MonitorStatus::Unreachable { overdue: true }
        )
    }

    /// The last check failed.
    pub fn is_unreachable(self) -> bool {
        matches!(self.status, MonitorStatus::Unreachable { .. })
    }

    /// Why the session ended, if it did.
    pub fn end(self) -> Option<SessionEnd> {
        match self.status {
            MonitorStatus::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// Whether user actions can be executed.
    pub fn can_act(self) -> bool {
        matches!(self.status, MonitorStatus::Live | MonitorStatus::Unsure)
    }
}
