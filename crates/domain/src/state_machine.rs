//! The state machine of the session monitor: what one tab knows about its session, and how it reacts to inputs. Pure:
//! time and jitter are parameters, and actions are returned as [`Effect`]s. `docs/live.md` describes it.
//!
//! Two rules: only the server ends a session, never a timer, a failed request or another tab. An unsure tab runs one
//! check, and everything that needs to know meanwhile waits for its result.

mod checks;
mod delay;
mod input;
mod status;
mod stream;

pub use checks::OWN_END_WINDOW;
pub use input::{Effect, Input};
pub use status::{ExpiryTimes, ExpiryWarning, MonitorStatus, RequestGate, SessionEnd};

use stream::STABLE_AFTER;

/// Milliseconds. Times are on the tab's monotonic clock.
pub type Millis = i64;

/// Between checks of a visible tab without a stream.
const CHECK_INTERVAL: Millis = 60_000;
/// Between checks of a visible tab with a stream.
const CHECK_INTERVAL_WITH_STREAM: Millis = 5 * 60_000;
/// Shortest time between two refreshes of a page that differs from the server's state.
const MIN_REFRESH_INTERVAL: Millis = 10_000;
/// Two expiry times that differ by no more than this are equal: each response shifts the tab's clock a little.
const SAME_END_TOLERANCE: Millis = 2_000;
/// Delay of the check after a session should have expired, and of its repetition while the server says that the
/// session is live.
const EXPIRY_CHECK_DELAY: Millis = 1_000;

/// What a hidden tab must reload when it becomes visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stale {
    Nothing,
    Sessions,
    All,
}

/// What one tab knows about its session.
#[derive(Clone, Debug)]
pub struct SessionMachine {
    status: MonitorStatus,
    times: ExpiryTimes,
    is_visible: bool,
    is_online: bool,
    is_leader: bool,
    /// This tab's own stream is open or being opened.
    has_stream: bool,
    /// A stream is open, in this tab or in the leader.
    stream_is_live: bool,
    stream_opened_at: Option<Millis>,
    /// When the stream last showed activity, or was requested.
    last_heartbeat_at: Millis,
    /// Consecutive streams that were not stable.
    unstable_streams: u32,
    /// This tab opens no stream before this time.
    reopen_after: Millis,
    is_checking: bool,
    /// Discard the result of the running check and check again, because the result may be outdated.
    needs_recheck: bool,
    check_at: Option<Millis>,
    /// Consecutive failed checks.
    failures: u32,
    /// Consecutive checks with an unknown credential.
    unknown: usize,
    /// When a tab of this browser announced the end of the session.
    signing_out_at: Option<Millis>,
    stale: Stale,
    /// The page may miss data: a request was rejected although the session is live.
    is_outdated: bool,
    /// When the page was last refreshed because it differed from the server's state.
    refreshed_at: Option<Millis>,
    /// The expiry time whose warning the user dismissed.
    dismissed: Option<Millis>,
}

impl SessionMachine {
    /// Starts with the page that the server has just rendered for a live session.
    pub fn new(times: ExpiryTimes, is_visible: bool, is_online: bool, now: Millis) -> Self {
        let mut machine = Self {
            status: MonitorStatus::Live,
            times,
            is_visible,
            is_online: true,
            is_leader: false,
            has_stream: false,
            stream_is_live: false,
            stream_opened_at: None,
            last_heartbeat_at: now,
            unstable_streams: 0,
            reopen_after: now,
            is_checking: false,
            needs_recheck: false,
            check_at: None,
            failures: 0,
            unknown: 0,
            signing_out_at: None,
            stale: Stale::Nothing,
            is_outdated: false,
            refreshed_at: None,
            dismissed: None,
        };
        machine.schedule(now);
        if !is_online {
            machine.go_offline();
        }
        machine
    }

    pub fn status(&self) -> MonitorStatus {
        self.status
    }

    pub fn gate(&self) -> RequestGate {
        match self.status {
            MonitorStatus::Live | MonitorStatus::Ended(_) => RequestGate::Open,
            MonitorStatus::Unsure | MonitorStatus::Unreachable { .. } => RequestGate::Closed,
        }
    }

    /// The warning to show.
    pub fn warning(&self, now: Millis) -> Option<ExpiryWarning> {
        let ends_at = self.times.ends_at();
        let is_due = self.times.warning_at().is_some_and(|at| at <= now) && now < ends_at;
        let is_known = matches!(self.status, MonitorStatus::Live | MonitorStatus::Unsure);
        let is_read = self
            .dismissed
            .is_some_and(|read| ends_at - read <= SAME_END_TOLERANCE);
        (is_due && is_known && !is_read).then_some(ExpiryWarning {
            ends_at,
            is_final: self.times.lifetime_expires_at <= self.times.idle_expires_at,
        })
    }

    /// When to send [`Input::TimerFired`], if nothing happens before.
    pub fn next_wake_at(&self, now: Millis) -> Option<Millis> {
        let warning_at = self.times.warning_at().filter(|at| now < *at && self.is_live());
        self.check_at
            .into_iter()
            .chain(warning_at)
            .chain(self.stream_timeout_at())
            .min()
    }

    /// Processes an input. `jitter` is a random number from 0 to 1, so that delays differ between tabs.
    #[must_use]
    pub fn handle(&mut self, input: Input, now: Millis, jitter: f64) -> Vec<Effect> {
        let mut effects = Vec::new();
        if input.is_answer() {
            self.is_checking = false;
            if std::mem::take(&mut self.needs_recheck) {
                self.check(&mut effects);
                return effects;
            }
        }
        match input {
            Input::TimerFired => self.handle_timer(now, jitter, &mut effects),
            Input::BecameVisible => {
                // A running check may have started before a long sleep.
                self.needs_recheck |= self.is_checking && !self.is_visible;
                self.is_visible = true;
                self.mark_unsure();
                self.check(&mut effects);
            }
            Input::BecameHidden => {
                self.is_visible = false;
                if !self.is_live() {
                    // A hidden tab does not retry.
                    self.check_at = None;
                    self.schedule_expiry_check(now);
                }
                self.schedule(now);
                self.open_stream(now, &mut effects);
            }
            Input::CameOnline => {
                // A running check was sent without a network.
                self.needs_recheck |= self.is_checking && !self.is_online;
                self.is_online = true;
                self.mark_unsure();
                self.check(&mut effects);
            }
            Input::WentOffline => self.go_offline(),
            Input::BecameLeader => {
                self.is_leader = true;
                if !self.has_stream && self.stream_is_live {
                    // The open stream belonged to the previous leader.
                    self.stream_is_live = false;
                    self.schedule(now);
                }
                self.open_stream(now, &mut effects);
            }
            Input::BecameFollower => {
                self.is_leader = false;
                self.close_stream(&mut effects);
                self.schedule(now);
            }
            Input::StreamOpened => {
                self.stream_is_live = true;
                self.stream_opened_at = Some(now);
                self.last_heartbeat_at = now;
                match self.status {
                    // The server responds again.
                    MonitorStatus::Unreachable { .. } => self.check(&mut effects),
                    _ => self.schedule(now),
                }
            }
            Input::StreamHeartbeat => self.last_heartbeat_at = now,
            Input::StreamLost { own } => {
                let was_stable = self.stream_opened_at.is_some_and(|at| now - at >= STABLE_AFTER);
                self.lose_stream(own, was_stable, now, jitter);
            }
            Input::SessionUpdated => {
                // A hidden tab checks when it becomes visible.
                if self.is_visible {
                    self.needs_recheck |= self.is_checking;
                    self.check(&mut effects);
                }
            }
            Input::SessionsChanged => self.refresh(Stale::Sessions, &mut effects),
            Input::OrganizationSwitched => self.refresh(Stale::All, &mut effects),
            Input::SessionEnded(reason) => self.set_ended(reason, now, &mut effects),
            Input::CheckedLive { times, changed } => self.record_live(times, changed, now, &mut effects),
            Input::CheckedEnded(reason) => self.record_ended(reason, now, &mut effects),
            Input::CheckFailed => self.record_failure(now, jitter),
            Input::OtherTabLive(times) => self.record_other_tab_live(times, now, &mut effects),
            Input::OtherSessionSeen => {
                self.needs_recheck = self.is_checking;
                self.mark_unsure();
                self.check(&mut effects);
            }
            Input::SigningOut => self.signing_out_at = Some(now),
            Input::UserActed => self.handle_user_action(now, &mut effects),
            Input::RequestRejected | Input::RequestFailed => {
                // A request with a cookie that was just rotated may have been rejected, so its data is missing.
                self.is_outdated |= input == Input::RequestRejected;
                self.mark_unsure();
                self.check(&mut effects);
            }
            Input::RequestWaiting => {
                if self.is_online {
                    self.check(&mut effects);
                }
            }
            Input::WarningDismissed => self.dismissed = Some(self.times.ends_at()),
        }
        effects
    }

    /// The timer of [`Self::next_wake_at`].
    fn handle_timer(&mut self, now: Millis, jitter: f64, effects: &mut Vec<Effect>) {
        if self.stream_timeout_at().is_some_and(|at| at <= now) {
            self.handle_silent_stream(now, jitter, effects);
        }
        if self.check_at.is_some_and(|at| at <= now) {
            if now >= self.times.ends_at() {
                self.mark_unsure();
            }
            self.check(effects);
        }
    }

    /// The server recorded an action of the user.
    fn handle_user_action(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        if !matches!(self.status, MonitorStatus::Ended(_)) {
            self.times.idle_expires_at = now + self.times.idle_timeout;
            // Constant activity must postpone neither checks nor the next stream.
            let planned = self.check_at;
            self.schedule(now);
            if let Some(at) = planned {
                self.check_by(at);
            }
            effects.push(Effect::AnnounceLive(self.times));
        }
    }

    /// Reloads everything if the page differs from the server's state. Limited in frequency, because loading itself
    /// may fail.
    fn refresh_outdated_page(&mut self, changed: bool, now: Millis) {
        self.is_outdated |= changed;
        if !self.is_outdated {
            return;
        }
        let next = self.refreshed_at.map_or(now, |at| at + MIN_REFRESH_INTERVAL);
        if now < next {
            self.check_by(next);
        } else {
            self.is_outdated = false;
            self.refreshed_at = Some(now);
            self.stale = Stale::All;
        }
    }

    fn is_live(&self) -> bool {
        matches!(self.status, MonitorStatus::Live | MonitorStatus::Unsure)
    }

    fn go_offline(&mut self) {
        self.is_online = false;
        if self.is_live() {
            self.status = MonitorStatus::Unreachable { overdue: false };
            self.check_at = Some(self.times.ends_at() + EXPIRY_CHECK_DELAY);
        }
    }

    /// Schedules the next check: periodically while the tab is visible, and after the session should have expired.
    ///
    /// Only in `Live`. Otherwise a check is running or a retry is scheduled.
    fn schedule(&mut self, now: Millis) {
        if self.status != MonitorStatus::Live {
            return;
        }
        let every = if self.stream_is_live {
            CHECK_INTERVAL_WITH_STREAM
        } else {
            CHECK_INTERVAL
        };
        self.check_at = self.is_visible.then_some(now + every);
        self.schedule_expiry_check(now);
    }

    fn schedule_expiry_check(&mut self, now: Millis) {
        let is_told = matches!(
            self.status,
            MonitorStatus::Unreachable { overdue: true } | MonitorStatus::Ended(_)
        );
        if !is_told {
            self.check_by((self.times.ends_at() + EXPIRY_CHECK_DELAY).max(now + EXPIRY_CHECK_DELAY));
        }
    }

    /// Moves the next check to `at`, unless it is earlier.
    fn check_by(&mut self, at: Millis) {
        self.check_at = Some(self.check_at.map_or(at, |planned| planned.min(at)));
    }

    fn refresh(&mut self, what: Stale, effects: &mut Vec<Effect>) {
        let what = what.max(self.stale);
        if self.is_visible && self.is_live() {
            self.stale = Stale::Nothing;
            effects.extend(match what {
                Stale::Nothing => None,
                Stale::Sessions => Some(Effect::RefreshSessions),
                Stale::All => Some(Effect::RefreshAll),
            });
        } else {
            self.stale = what;
        }
    }
}

#[cfg(test)]
mod tests;
