//! Tests of the state machine without a browser, with a manual clock.

mod checks;
mod long_runs;
mod properties;
mod refreshes;
mod session_end;
mod streams;
mod warnings;

use super::{
    checks::{INITIAL_BACKOFF, UNKNOWN_RETRY_DELAYS},
    delay::{MAX_BACKOFF, backoff},
    stream::{RECONNECT_DELAY, STREAM_TIMEOUT},
    *,
};
use crate::session::EndReason;

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;

const IDLE: Millis = 30 * MINUTE;
const TIMES: ExpiryTimes = ExpiryTimes {
    idle_expires_at: IDLE,
    lifetime_expires_at: 8 * HOUR,
    idle_timeout: IDLE,
    warning_period: 5 * MINUTE,
};

const UNKNOWN: Input = Input::CheckedEnded(EndReason::Unknown);
const REVOKED: Input = Input::CheckedEnded(EndReason::Revoked);

/// A simulated tab. `handle` returns the effects; `advance` fires the timer.
struct Tab {
    machine: SessionMachine,
    now: Millis,
    jitter: f64,
    /// Checks started so far.
    checks: usize,
    /// The open stream sends heartbeats.
    has_heartbeats: bool,
}

impl Tab {
    /// Visible and online, with a session that was just used.
    fn new() -> Self {
        Self::with_times(TIMES)
    }

    fn with_times(times: ExpiryTimes) -> Self {
        Self::from_machine(SessionMachine::new(times, true, true, 0))
    }

    fn hidden() -> Self {
        Self::from_machine(SessionMachine::new(TIMES, false, true, 0))
    }

    /// The leader, with an open stream.
    fn leading() -> Self {
        let mut tab = Self::new();
        assert_eq!(tab.handle(Input::BecameLeader), [Effect::OpenStream]);
        assert_eq!(tab.handle(Input::StreamOpened), []);
        tab
    }

    /// One check has failed.
    fn unreachable() -> Self {
        let mut tab = Self::new();
        tab.handle(Input::RequestFailed);
        tab.handle(Input::CheckFailed);
        tab
    }

    fn ended() -> Self {
        let mut tab = Self::new();
        tab.handle(Input::SessionEnded(EndReason::Revoked));
        tab
    }

    fn from_machine(machine: SessionMachine) -> Self {
        Self {
            machine,
            now: 0,
            jitter: 1.0,
            checks: 0,
            has_heartbeats: true,
        }
    }

    fn handle(&mut self, input: Input) -> Vec<Effect> {
        // Heartbeats arrive before the timeout.
        if input == Input::TimerFired && self.has_heartbeats && self.machine.is_stream_open {
            self.machine.last_heartbeat_at = self.now;
        }
        let effects = self.machine.handle(input, self.now, self.jitter);
        self.checks += effects.iter().filter(|effect| **effect == Effect::Check).count();
        effects
    }

    /// Advances the clock and returns the effects of the timer.
    #[track_caller]
    fn advance(&mut self, time: Millis) -> Vec<Effect> {
        let until = self.now + time;
        let mut effects = Vec::new();
        let mut wakes = 0;
        while let Some(at) = self.machine.next_wake_at(self.now).filter(|at| *at <= until) {
            self.now = self.now.max(at);
            effects.extend(self.handle(Input::TimerFired));
            wakes += 1;
            assert!(wakes < 10_000, "the timer fires without end");
        }
        self.now = until;
        effects
    }

    /// Time until the next scheduled check.
    #[track_caller]
    fn next_check_in(&self) -> Millis {
        self.machine.check_at.expect("a scheduled check") - self.now
    }

    fn status(&self) -> MonitorStatus {
        self.machine.status()
    }

    fn warning(&self) -> Option<ExpiryWarning> {
        self.machine.warning(self.now)
    }

    /// The result of a check right after a user action.
    fn live_result(&self) -> Input {
        Input::CheckedLive {
            times: self.active_times(),
            is_page_outdated: false,
        }
    }

    /// The expiry times right after a user action.
    fn active_times(&self) -> ExpiryTimes {
        ExpiryTimes {
            idle_expires_at: self.now + IDLE,
            ..TIMES
        }
    }

    /// Finishes the running check with a live session.
    #[track_caller]
    fn finish_check_live(&mut self) -> Vec<Effect> {
        assert!(self.machine.is_checking, "no check is running");
        self.handle(self.live_result())
    }

    #[track_caller]
    fn assert_ended(&self, reason: EndReason, by_this_browser: bool) {
        let end = SessionEnd {
            reason,
            by_this_browser,
        };
        assert_eq!(self.status(), MonitorStatus::Ended(end));
    }
}

fn unreachable_status(is_overdue: bool) -> MonitorStatus {
    MonitorStatus::Unreachable { is_overdue }
}
