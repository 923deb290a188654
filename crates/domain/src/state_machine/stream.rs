//! The event stream of the tab.

use super::{
    Effect, Millis, SessionMachine,
    delay::{backoff, scaled, with_jitter},
};

/// The longest delay before the check that follows a lost stream. Not at once, because a stopping server closes all
/// streams together. Doubles with each unstable stream.
pub(super) const RECONNECT_DELAY: Millis = 400;

/// A stream that stayed open this long was stable.
pub(super) const STABLE_AFTER: Millis = 10_000;

/// Time without a heartbeat after which a stream counts as lost, even if it looks open. The server sends one every 15
/// s, and one may be late.
pub(super) const STREAM_TIMEOUT: Millis = 40_000;

impl SessionMachine {
    /// Opens a stream if this tab leads and has none. If it is too early, schedules a check for the allowed time.
    pub(super) fn open_stream(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        if !self.is_leader || self.has_stream || !self.is_live() {
            return;
        }
        if now < self.reopen_after {
            self.check_by(self.reopen_after);
        } else {
            self.has_stream = true;
            self.last_heartbeat_at = now;
            // It may be the opening time of another tab's stream.
            self.stream_opened_at = None;
            effects.push(Effect::OpenStream);
        }
    }

    /// When a silent stream counts as lost. A hidden tab ignores the leader's stream.
    pub(super) fn stream_timeout_at(&self) -> Option<Millis> {
        let minds = self.has_stream || (self.stream_is_live && self.is_visible);
        minds.then_some(self.last_heartbeat_at + STREAM_TIMEOUT)
    }

    /// Handles a stream without heartbeats: the connection may be half open, or the leader frozen.
    pub(super) fn handle_silent_stream(&mut self, now: Millis, jitter: f64, effects: &mut Vec<Effect>) {
        // Measured up to the last heartbeat: a proxy that buffers everything must not cause frequent reconnects.
        let was_stable = self
            .stream_opened_at
            .is_some_and(|at| self.last_heartbeat_at - at >= STABLE_AFTER);
        let own = self.has_stream;
        self.close_stream(effects);
        self.lose_stream(own, was_stable, now, jitter);
        effects.push(if own {
            Effect::AnnounceStreamLost
        } else {
            Effect::ProbeLeader
        });
    }

    pub(super) fn lose_stream(&mut self, own: bool, was_stable: bool, now: Millis, jitter: f64) {
        self.stream_is_live = false;
        self.stream_opened_at = None;
        if own {
            self.has_stream = false;
            self.unstable_streams = if was_stable { 0 } else { self.unstable_streams + 1 };
            self.reopen_after = now
                + match self.unstable_streams {
                    0 => scaled(RECONNECT_DELAY, jitter),
                    times => with_jitter(backoff(RECONNECT_DELAY, times), jitter),
                };
        }
        if self.is_live() && (own || self.is_visible) {
            self.check_by(now + scaled(RECONNECT_DELAY, jitter));
        }
    }

    pub(super) fn close_stream(&mut self, effects: &mut Vec<Effect>) {
        if self.has_stream {
            self.has_stream = false;
            effects.push(Effect::CloseStream);
        }
        self.stream_is_live = false;
    }
}
