//! The event stream of the tab.

use super::{
    Effect, Millis, SessionMachine,
    delay::{backoff, scale_delay, with_jitter},
};

/// Longest delay before the check after a lost stream. It is random, because a stopping server closes all streams
/// together. Also the initial delay of the backoff before a stream is reopened.
pub(super) const RECONNECT_DELAY: Millis = 400;

/// A stream that stayed open this long was stable.
pub(super) const STABLE_AFTER: Millis = 10_000;

/// Time without a heartbeat after which a stream counts as lost, even if it looks open. The server sends one every 15
/// s, and one may be late.
pub(super) const STREAM_TIMEOUT: Millis = 40_000;

impl SessionMachine {
    /// Opens a stream if this tab leads and has none. If it is too early, schedules a check for the allowed time.
    pub(super) fn open_stream(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        if !self.is_leader || self.has_stream || !self.status.can_be_live() {
            return;
        }
        if now < self.stream_allowed_at {
            self.schedule_check_by(self.stream_allowed_at);
        } else {
            self.has_stream = true;
            self.last_heartbeat_at = now;
            // The stored time may belong to another tab's stream.
            self.stream_opened_at = None;
            effects.push(Effect::OpenStream);
        }
    }

    /// Returns when a stream without heartbeats counts as lost. A hidden tab ignores the stream of another tab.
    pub(super) fn stream_timeout_at(&self) -> Option<Millis> {
        let expects_heartbeats = self.has_stream || (self.is_stream_open && self.is_visible);
        expects_heartbeats.then_some(self.last_heartbeat_at + STREAM_TIMEOUT)
    }

    /// Handles a stream without heartbeats: the connection may be half open, or the leader frozen.
    pub(super) fn handle_silent_stream(&mut self, now: Millis, jitter: f64, effects: &mut Vec<Effect>) {
        // Measure to the last heartbeat: a stream behind a buffering proxy counts as unstable, so reconnects back off.
        let was_stable = self
            .stream_opened_at
            .is_some_and(|at| self.last_heartbeat_at - at >= STABLE_AFTER);
        let is_own = self.has_stream;
        self.close_stream(effects);
        self.record_stream_loss(is_own, was_stable, now, jitter);
        effects.push(if is_own {
            Effect::AnnounceStreamLost
        } else {
            Effect::ProbeLeader
        });
    }

    pub(super) fn record_stream_loss(&mut self, is_own: bool, was_stable: bool, now: Millis, jitter: f64) {
        self.is_stream_open = false;
        self.stream_opened_at = None;
        if is_own {
            self.has_stream = false;
            self.unstable_streams = if was_stable { 0 } else { self.unstable_streams + 1 };
            self.stream_allowed_at = now
                + match self.unstable_streams {
                    0 => scale_delay(RECONNECT_DELAY, jitter),
                    count => with_jitter(backoff(RECONNECT_DELAY, count), jitter),
                };
        }
        if self.status.can_be_live() && (is_own || self.is_visible) {
            self.schedule_check_by(now + scale_delay(RECONNECT_DELAY, jitter));
        }
    }

    pub(super) fn close_stream(&mut self, effects: &mut Vec<Effect>) {
        if self.has_stream {
            self.has_stream = false;
            effects.push(Effect::CloseStream);
        }
        self.is_stream_open = false;
    }
}
