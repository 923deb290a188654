//! The state of the session that pages and components show.

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
    /// Returns whether private data must be hidden.
    pub fn is_content_hidden(self) -> bool {
        self.is_unloading || self.is_ended_or_overdue()
    }

    /// Returns whether the session ended, or should have expired.
    pub fn is_ended_or_overdue(self) -> bool {
        self.status.is_ended_or_overdue()
    }

    /// Returns whether the last check failed.
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

    /// Returns whether user actions can be executed.
    pub fn can_act(self) -> bool {
        self.status.can_be_live()
    }
}
