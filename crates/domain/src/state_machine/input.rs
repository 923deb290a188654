//! Inputs and effects of the state machine.

use super::ExpiryTimes;
#[cfg(doc)]
use super::{RequestGate, SessionMachine};
use crate::session::EndReason;

/// An event that the state machine processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The timer of [`SessionMachine::next_wake_at`].
    TimerFired,
    BecameVisible,
    BecameHidden,
    /// The browser reports a network.
    CameOnline,
    /// The browser reports that there is no network.
    WentOffline,
    /// This tab became the leading tab, which keeps the stream.
    BecameLeader,
    /// Another tab is the leading tab.
    BecameFollower,
    /// The stream is open, in this tab or in the leader.
    StreamOpened,
    /// The stream sent a heartbeat.
    StreamHeartbeat,
    /// The stream was lost. `is_own`: the stream of this tab.
    StreamLost {
        is_own: bool,
    },
    /// The session changed, but did not end.
    SessionUpdated,
    /// The user's list of sessions changed.
    SessionsChanged,
    /// The user selected another organization.
    OrganizationSwitched,
    /// The session ended, as the stream or another tab reported.
    SessionEnded(EndReason),
    /// The check found a live session. `is_page_outdated`: the page shows another user, role or
    /// organization.
    CheckedLive {
        times: ExpiryTimes,
        is_page_outdated: bool,
    },
    /// The check found no live session.
    CheckedEnded(EndReason),
    /// The check got no usable response.
    CheckFailed,
    /// Another tab found the session live.
    OtherTabLive(ExpiryTimes),
    /// Another tab signed in, or has a session that this tab does not know.
    OtherSessionSeen,
    /// Another tab of this browser is about to end the session.
    OtherTabSigningOut,
    /// The server recorded an action of the user.
    UserActed,
    /// A request was rejected because there is no live session.
    RequestRejected,
    /// A request was not delivered, or the server failed.
    RequestFailed,
    /// A request waits for [`RequestGate::Open`].
    RequestWaiting,
    /// The user dismissed the warning.
    WarningDismissed,
}

impl Input {
    /// Returns whether this is the result of a check.
    pub(super) fn is_check_result(self) -> bool {
        matches!(
            self,
            Input::CheckedLive { .. } | Input::CheckedEnded(_) | Input::CheckFailed
        )
    }
}

/// An action that the session monitor must execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Check the session, and report the result as [`Input::CheckedLive`], [`Input::CheckedEnded`] or
    /// [`Input::CheckFailed`].
    Check,
    OpenStream,
    CloseStream,
    /// Tell the other tabs that the stream is closed.
    AnnounceStreamLost,
    /// Ask whether a leader exists.
    ProbeLeader,
    /// Let waiting requests read [`SessionMachine::request_gate`] again.
    ReleaseRequests,
    /// Reload the list of sessions.
    RefreshSessions,
    /// Reload all data of the page.
    RefreshAll,
    /// Tell the other tabs that the session is live.
    AnnounceLive(ExpiryTimes),
    /// Tell the other tabs that the session ended.
    AnnounceEnded(EndReason),
}
