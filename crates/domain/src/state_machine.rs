//! The state machine of the session monitor: what one tab knows about its session, and how it reacts to inputs. Pure:
//! time and jitter are parameters, and actions are returned as [`Effect`]s. `docs/live.md` describes it.
//!
//! Two rules: only the server ends a session, never a timer, a failed request or another tab. An unsure tab runs one
//! check, and everything that needs to know meanwhile waits for its result.

use crate::session::EndReason;

/// Milliseconds. Times are on the tab's monotonic clock.
pub type Millis = i64;

/// Between checks of a visible tab without a stream.
const CHECK_INTERVAL: Millis = 60_000;
/// Between checks of a visible tab with a stream.
const CHECK_INTERVAL_WITH_STREAM: Millis = 5 * 60_000;
/// Delay after the first failed check. Doubles with each further failure.
const INITIAL_BACKOFF: Millis = 2_000;
/// The longest delay.
const MAX_BACKOFF: Millis = 5 * 60_000;
/// The longest delay before the check that follows a lost stream. Not at once, because a stopping server closes all
/// streams together. Doubles with each unstable stream.
const RECONNECT_DELAY: Millis = 400;
/// A stream that stayed open this long was stable.
const STABLE_AFTER: Millis = 10_000;
/// Time without a heartbeat after which a stream counts as lost, even if it looks open. The server sends one every 15
/// s, and one may be late.
const STREAM_TIMEOUT: Millis = 40_000;
/// Delays before an unknown credential is checked again. It may have just been rotated, and the new cookie may be on
/// its way to another tab.
const UNKNOWN_RETRY_DELAYS: [Millis; 3] = [300, 1_000, 3_000];
/// An end within this time after a tab announced it was caused by this browser.
pub const OWN_END_WINDOW: Millis = 30_000;
/// Shortest time between two refreshes of a page that differs from the server's state.
const MIN_REFRESH_INTERVAL: Millis = 10_000;
/// Two expiry times that differ by no more than this are equal: each response shifts the tab's clock a little.
const SAME_END_TOLERANCE: Millis = 2_000;
/// Delay of the check after a session should have expired, and of its repetition while the server says that the
/// session is live.
const EXPIRY_CHECK_DELAY: Millis = 1_000;

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
    fn warning_at(self) -> Option<Millis> {
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
    fn is_answer(self) -> bool {
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
            Input::TimerFired => {
                if self.stream_timeout_at().is_some_and(|at| at <= now) {
                    self.handle_silent_stream(now, jitter, &mut effects);
                }
                if self.check_at.is_some_and(|at| at <= now) {
                    if now >= self.times.ends_at() {
                        self.mark_unsure();
                    }
                    self.check(&mut effects);
                }
            }
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
            Input::CheckedLive { times, changed } => {
                let was = self.status;
                self.set_live(times, now);
                effects.push(Effect::AnnounceLive(times));
                self.open_stream(now, &mut effects);
                if matches!(was, MonitorStatus::Ended(_) | MonitorStatus::Unreachable { .. }) {
                    self.stale = Stale::All;
                }
                self.refresh_outdated_page(changed, now);
                self.refresh(Stale::Nothing, &mut effects);
                effects.push(Effect::ReleaseRequests);
            }
            Input::CheckedEnded(reason) => {
                self.failures = 0;
                let pause = UNKNOWN_RETRY_DELAYS
                    .get(self.unknown)
                    .filter(|_| reason.can_be_stale() && !matches!(self.status, MonitorStatus::Ended(_)));
                if let Some(pause) = pause {
                    self.unknown += 1;
                    self.mark_unsure();
                    self.check_at = Some(now + pause);
                } else {
                    self.set_ended(reason, now, &mut effects);
                    effects.push(Effect::AnnounceEnded(reason));
                }
            }
            Input::CheckFailed => {
                // Requests keep waiting. Releasing them would make them check again without a delay.
                self.failures = self.failures.saturating_add(1);
                let pause = with_jitter(backoff(INITIAL_BACKOFF, self.failures - 1), jitter);
                // After the end too: another tab may have signed in.
                self.check_at = (self.is_visible && self.is_online).then_some(now + pause);
                if !matches!(self.status, MonitorStatus::Ended(_)) {
                    let overdue = now >= self.times.ends_at();
                    self.status = MonitorStatus::Unreachable { overdue };
                    self.schedule_expiry_check(now);
                }
            }
            Input::OtherTabLive(times) => {
                if let MonitorStatus::Ended(end) = self.status {
                    // Another tab has used the session. Its cookie may have been rotated during this tab's check.
                    if end.reason.can_be_stale() {
                        self.needs_recheck |= self.is_checking;
                        self.check(&mut effects);
                    }
                } else {
                    let was = self.status;
                    self.set_live(times, now);
                    if matches!(was, MonitorStatus::Unreachable { .. }) {
                        self.stale = Stale::All;
                    }
                    self.open_stream(now, &mut effects);
                    self.refresh(Stale::Nothing, &mut effects);
                    effects.push(Effect::ReleaseRequests);
                }
            }
            Input::OtherSessionSeen => {
                self.needs_recheck = self.is_checking;
                self.mark_unsure();
                self.check(&mut effects);
            }
            Input::SigningOut => self.signing_out_at = Some(now),
            Input::UserActed => {
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

    /// Starts a check, unless one is running.
    fn check(&mut self, effects: &mut Vec<Effect>) {
        self.check_at = None;
        if !self.is_checking {
            self.is_checking = true;
            effects.push(Effect::Check);
        }
    }

    /// Makes requests wait for the next check. Not in `Unreachable`, where they already wait.
    fn mark_unsure(&mut self) {
        if self.status == MonitorStatus::Live {
            self.status = MonitorStatus::Unsure;
        }
    }

    fn go_offline(&mut self) {
        self.is_online = false;
        if self.is_live() {
            self.status = MonitorStatus::Unreachable { overdue: false };
            self.check_at = Some(self.times.ends_at() + EXPIRY_CHECK_DELAY);
        }
    }

    fn set_live(&mut self, times: ExpiryTimes, now: Millis) {
        self.status = MonitorStatus::Live;
        self.times = times;
        self.failures = 0;
        self.unknown = 0;
        self.is_online = true;
        self.schedule(now);
    }

    fn set_ended(&mut self, reason: EndReason, now: Millis, effects: &mut Vec<Effect>) {
        if let MonitorStatus::Ended(end) = &mut self.status {
            // Replace an unspecific reason by a better one.
            if end.reason.can_be_stale() {
                end.reason = reason;
            }
            return;
        }
        self.status = MonitorStatus::Ended(SessionEnd {
            reason,
            by_this_browser: self
                .signing_out_at
                .take()
                .is_some_and(|at| now - at <= OWN_END_WINDOW),
        });
        self.check_at = None;
        // The running check may report the session as live, from before the end.
        self.needs_recheck = self.is_checking;
        self.close_stream(effects);
        effects.push(Effect::ReleaseRequests);
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

    /// Opens a stream if this tab leads and has none. If it is too early, schedules a check for the allowed time.
    fn open_stream(&mut self, now: Millis, effects: &mut Vec<Effect>) {
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
    fn stream_timeout_at(&self) -> Option<Millis> {
        let minds = self.has_stream || (self.stream_is_live && self.is_visible);
        minds.then_some(self.last_heartbeat_at + STREAM_TIMEOUT)
    }

    /// Handles a stream without heartbeats: the connection may be half open, or the leader frozen.
    fn handle_silent_stream(&mut self, now: Millis, jitter: f64, effects: &mut Vec<Effect>) {
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

    fn lose_stream(&mut self, own: bool, was_stable: bool, now: Millis, jitter: f64) {
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

    fn close_stream(&mut self, effects: &mut Vec<Effect>) {
        if self.has_stream {
            self.has_stream = false;
            effects.push(Effect::CloseStream);
        }
        self.stream_is_live = false;
    }
}

fn backoff(pause: Millis, times: u32) -> Millis {
    (pause << times.min(16)).min(MAX_BACKOFF)
}

/// A random delay between half of `pause` and `pause`.
fn with_jitter(pause: Millis, jitter: f64) -> Millis {
    scaled(pause, 0.5 + jitter / 2.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a pause is minutes at the most"
)]
fn scaled(pause: Millis, by: f64) -> Millis {
    (pause as f64 * by) as Millis
}

#[cfg(test)]
mod tests;
