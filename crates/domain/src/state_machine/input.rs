//! Inputs and effects of the state machine.

use super::ExpiryTimes;
#[cfg(doc)]
use super::{RequestGate, SessionMachine};
use crate::session::EndReason;

/// What happened.
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
    /// This tab opens the stream.
    BecameLeader,
    /// Another tab opens the stream.
    BecameFollower,
    /// The stream is open, in this tab or in the leader.
    StreamOpened,
    /// The stream sent a heartbeat.
    StreamHeartbeat,
    /// The stream was lost. `own`: the stream of this tab.
    StreamLost {
        own: bool,
    },
    /// The session changed, but did not end.
    SessionUpdated,
    /// The user's list of sessions changed.
    SessionsChanged,
    /// The user selected another organization.
    OrganizationSwitched,
    /// The session ended, as the stream or another tab reported.
    SessionEnded(EndReason),
    /// The check found a live session. `changed`: the page shows another user, role or organization.
    CheckedLive {
        times: ExpiryTimes,
        changed: bool,
    },
    /// The check found no live session.
    CheckedEnded(EndReason),
    /// The check got no usable response.
    CheckFailed,
    /// Another tab found the session live.
    OtherTabLive(ExpiryTimes),
    /// Another tab signed in, or has a session that this tab does not know.
    OtherSessionSeen,
    /// A tab of this browser is about to end the session. This tab, if its page is being left.
    SigningOut,
    /// The user did something, and the server recorded it.
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
    pub(super) fn is_answer(self) -> bool {
        matches!(
            self,
            Input::CheckedLive { .. } | Input::CheckedEnded(_) | Input::CheckFailed
        )
    }
}

/// What the session monitor must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Check the session, and report the result as one of the `Check` inputs.
    Check,
    OpenStream,
    CloseStream,
    /// Tell the other tabs that the stream is closed.
    AnnounceStreamLost,
    /// Ask whether a leader exists.
    ProbeLeader,
    /// Let waiting requests read [`SessionMachine::gate`] again.
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
