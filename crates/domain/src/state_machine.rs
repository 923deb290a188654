//! The state machine of the session monitor: what one tab knows about its session, and how it reacts to inputs. Pure:
//! time and jitter are parameters, and actions are returned as [`Effect`]s. `docs/live.md` describes it.
//!
//! Two rules: only the server ends a session, never a timer, a failed request or another tab. An unsure tab runs one
//! check, and requests wait for its result.

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

/// Time between checks of a visible tab without a stream.
const CHECK_INTERVAL: Millis = 60_000;
/// Time between checks of a visible tab with a stream.
const CHECK_INTERVAL_WITH_STREAM: Millis = 5 * 60_000;
/// Shortest time between two refreshes of an outdated page.
const MIN_REFRESH_INTERVAL: Millis = 10_000;
/// Two expiry times that differ by no more than this are equal: each response shifts the tab's clock a little.
const EXPIRY_TOLERANCE: Millis = 2_000;
/// Delay of the check after the expiry time, and between repetitions while the server still reports the session as
/// live.
const EXPIRY_CHECK_DELAY: Millis = 1_000;

/// Data that the page must reload, now or when the tab becomes visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PendingRefresh {
    Nothing,
    Sessions,
    All,
}

/// The knowledge of one tab about its session.
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
    is_stream_open: bool,
    stream_opened_at: Option<Millis>,
    /// Time of the last heartbeat, or of the request for the stream.
    last_heartbeat_at: Millis,
    /// Consecutive streams that were not stable.
    unstable_streams: u32,
    /// This tab opens no stream before this time.
    stream_allowed_at: Millis,
    is_checking: bool,
    /// Discard the result of the running check and check again, because the result may be outdated.
    needs_recheck: bool,
    check_at: Option<Millis>,
    /// Consecutive failed checks.
    failed_checks: u32,
    /// Consecutive checks with an unknown credential.
    unknown_results: usize,
    /// When another tab of this browser announced that it ends the session.
    signing_out_at: Option<Millis>,
    pending_refresh: PendingRefresh,
    /// The page may miss data: a request was rejected although the session is live.
    is_outdated: bool,
    /// When the page was last refreshed because it was outdated.
    refreshed_at: Option<Millis>,
    /// The expiry time whose warning the user dismissed.
    dismissed_expiry: Option<Millis>,
}

impl SessionMachine {
    /// Creates the state of a tab whose page the server has just rendered for a live session.
    pub fn new(times: ExpiryTimes, is_visible: bool, is_online: bool, now: Millis) -> Self {
        let mut machine = Self {
            status: MonitorStatus::Live,
            times,
            is_visible,
            is_online: true,
            is_leader: false,
            has_stream: false,
            is_stream_open: false,
            stream_opened_at: None,
            last_heartbeat_at: now,
            unstable_streams: 0,
            stream_allowed_at: now,
            is_checking: false,
            needs_recheck: false,
            check_at: None,
            failed_checks: 0,
            unknown_results: 0,
            signing_out_at: None,
            pending_refresh: PendingRefresh::Nothing,
            is_outdated: false,
            refreshed_at: None,
            dismissed_expiry: None,
        };
        machine.schedule_check(now);
        if !is_online {
            machine.go_offline();
        }
        machine
    }

    pub fn status(&self) -> MonitorStatus {
        self.status
    }

    /// Returns whether requests may be sent.
    pub fn request_gate(&self) -> RequestGate {
        match self.status {
            MonitorStatus::Live | MonitorStatus::Ended(_) => RequestGate::Open,
            MonitorStatus::Unsure | MonitorStatus::Unreachable { .. } => RequestGate::Closed,
        }
    }

    /// The warning to show.
    pub fn warning(&self, now: Millis) -> Option<ExpiryWarning> {
        let expires_at = self.times.expires_at();
        let is_due = self.times.warning_at().is_some_and(|at| at <= now) && now < expires_at;
        let is_dismissed = self
            .dismissed_expiry
            .is_some_and(|dismissed| expires_at - dismissed <= EXPIRY_TOLERANCE);
        (is_due && self.status.can_be_live() && !is_dismissed).then_some(ExpiryWarning {
            expires_at,
            is_final: self.times.lifetime_expires_at <= self.times.idle_expires_at,
        })
    }

    /// When to send [`Input::TimerFired`], if nothing happens before.
    pub fn next_wake_at(&self, now: Millis) -> Option<Millis> {
        let warning_at = self
            .times
            .warning_at()
            .filter(|at| now < *at && self.status.can_be_live());
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
        if input.is_check_result() {
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
                if !self.status.can_be_live() {
                    // A hidden tab does not retry.
                    self.check_at = None;
                    self.schedule_expiry_check(now);
                }
                self.schedule_check(now);
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
                if !self.has_stream && self.is_stream_open {
                    // The open stream belonged to the previous leader.
                    self.is_stream_open = false;
                    self.schedule_check(now);
                }
                self.open_stream(now, &mut effects);
            }
            Input::BecameFollower => {
                self.is_leader = false;
                self.close_stream(&mut effects);
                self.schedule_check(now);
            }
            Input::StreamOpened => {
                self.is_stream_open = true;
                self.stream_opened_at = Some(now);
                self.last_heartbeat_at = now;
                match self.status {
                    // The server responds again.
                    MonitorStatus::Unreachable { .. } => self.check(&mut effects),
                    _ => self.schedule_check(now),
                }
            }
            Input::StreamHeartbeat => self.last_heartbeat_at = now,
            Input::StreamLost { is_own } => {
                let was_stable = self.stream_opened_at.is_some_and(|at| now - at >= STABLE_AFTER);
                self.record_stream_loss(is_own, was_stable, now, jitter);
            }
            Input::SessionUpdated => {
                // A hidden tab checks when it becomes visible.
                if self.is_visible {
                    self.needs_recheck |= self.is_checking;
                    self.check(&mut effects);
                }
            }
            Input::SessionsChanged => self.request_refresh(PendingRefresh::Sessions, &mut effects),
            Input::OrganizationSwitched => self.request_refresh(PendingRefresh::All, &mut effects),
            Input::SessionEnded(reason) => self.set_ended(reason, now, &mut effects),
            Input::CheckedLive {
                times,
                is_page_outdated,
            } => self.record_live(times, is_page_outdated, now, &mut effects),
            Input::CheckedEnded(reason) => self.record_ended(reason, now, &mut effects),
            Input::CheckFailed => self.record_failure(now, jitter),
            Input::OtherTabLive(times) => self.record_other_tab_live(times, now, &mut effects),
            Input::OtherSessionSeen => {
                self.needs_recheck = self.is_checking;
                self.mark_unsure();
                self.check(&mut effects);
            }
            Input::OtherTabSigningOut => self.signing_out_at = Some(now),
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
            Input::WarningDismissed => self.dismissed_expiry = Some(self.times.expires_at()),
        }
        effects
    }

    /// The timer of [`Self::next_wake_at`].
    fn handle_timer(&mut self, now: Millis, jitter: f64, effects: &mut Vec<Effect>) {
        if self.stream_timeout_at().is_some_and(|at| at <= now) {
            self.handle_silent_stream(now, jitter, effects);
        }
        if self.check_at.is_some_and(|at| at <= now) {
            if now >= self.times.expires_at() {
                self.mark_unsure();
            }
            self.check(effects);
        }
    }

    /// The server recorded an action of the user.
    fn handle_user_action(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        if !matches!(self.status, MonitorStatus::Ended(_)) {
            self.times.idle_expires_at = now + self.times.idle_timeout;
            // Activity must not postpone a scheduled check.
            let scheduled = self.check_at;
            self.schedule_check(now);
            if let Some(at) = scheduled {
                self.schedule_check_by(at);
            }
            effects.push(Effect::AnnounceLive(self.times));
        }
    }

    /// Reloads everything if the page is outdated. Limited in frequency, because loading itself may fail.
    fn refresh_outdated_page(&mut self, is_page_outdated: bool, now: Millis) {
        self.is_outdated |= is_page_outdated;
        if !self.is_outdated {
            return;
        }
        let next = self.refreshed_at.map_or(now, |at| at + MIN_REFRESH_INTERVAL);
        if now < next {
            self.schedule_check_by(next);
        } else {
            self.is_outdated = false;
            self.refreshed_at = Some(now);
            self.pending_refresh = PendingRefresh::All;
        }
    }

    fn go_offline(&mut self) {
        self.is_online = false;
        if self.status.can_be_live() {
            self.status = MonitorStatus::Unreachable { is_overdue: false };
            self.check_at = Some(self.times.expires_at() + EXPIRY_CHECK_DELAY);
        }
    }

    /// Schedules the next check: periodically while the tab is visible, and after the session should have expired.
    ///
    /// Only in `Live`. Otherwise a check is running or a retry is scheduled.
    fn schedule_check(&mut self, now: Millis) {
        if self.status != MonitorStatus::Live {
            return;
        }
        let interval = if self.is_stream_open {
            CHECK_INTERVAL_WITH_STREAM
        } else {
            CHECK_INTERVAL
        };
        self.check_at = self.is_visible.then_some(now + interval);
        self.schedule_expiry_check(now);
    }

    fn schedule_expiry_check(&mut self, now: Millis) {
        if !self.status.is_ended_or_overdue() {
            self.schedule_check_by(
                (self.times.expires_at() + EXPIRY_CHECK_DELAY).max(now + EXPIRY_CHECK_DELAY),
            );
        }
    }

    /// Schedules a check for `at`, unless an earlier one is scheduled.
    fn schedule_check_by(&mut self, at: Millis) {
        self.check_at = Some(self.check_at.map_or(at, |scheduled| scheduled.min(at)));
    }

    /// Reloads `scope` and what was deferred. A hidden or unreachable tab defers it.
    fn request_refresh(&mut self, scope: PendingRefresh, effects: &mut Vec<Effect>) {
        self.pending_refresh = self.pending_refresh.max(scope);
        self.run_pending_refresh(effects);
    }

    fn run_pending_refresh(&mut self, effects: &mut Vec<Effect>) {
        if self.is_visible && self.status.can_be_live() {
            let scope = std::mem::replace(&mut self.pending_refresh, PendingRefresh::Nothing);
            effects.extend(match scope {
                PendingRefresh::Nothing => None,
                PendingRefresh::Sessions => Some(Effect::RefreshSessions),
                PendingRefresh::All => Some(Effect::RefreshAll),
            });
        }
    }
}

#[cfg(test)]
mod tests;
