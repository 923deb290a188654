//! What a tab knows of its session, and what follows from what happens. Pure: time, jitter and the browser come in as
//! arguments, and go out as [`Effect`]s. `docs/live.md` draws it.
//!
//! Two rules carry it. Only the server ends a session: no timer, no failed request and no other tab's guess does. And
//! whatever makes a tab unsure is answered by one check, which everyone who asks meanwhile waits for.

use crate::session::EndReason;

/// Milliseconds, of the tab's own clock where a time is meant. That clock only goes forward.
pub type Millis = i64;

/// How long a visible tab without a live stream goes without a check.
const CHECK_INTERVAL: Millis = 60_000;
/// The same where a stream tells of every change.
const CHECK_INTERVAL_WITH_STREAM: Millis = 5 * 60_000;
/// The first pause after a check that failed. It doubles with each.
const INITIAL_BACKOFF: Millis = 2_000;
/// No pause is longer.
const MAX_BACKOFF: Millis = 5 * 60_000;
/// A stream that broke off is followed by a check within this time: not at once, since a server that stops breaks all of
/// them off. It doubles with each stream that did not last.
const RECONNECT_DELAY: Millis = 400;
/// A stream that was open for so long has lasted.
const STABLE_AFTER: Millis = 10_000;
/// A stream of which nothing is heard for so long is lost, even if it looks open: the server beats every 15 s, and one
/// beat may be late.
const STREAM_TIMEOUT: Millis = 40_000;
/// A credential that is not known may have been replaced a moment ago, and the new one be on its way to another tab: it is
/// asked about again after each of these pauses.
const UNKNOWN_RETRY_DELAYS: [Millis; 3] = [300, 1_000, 3_000];
/// An end comes within this time after a tab of this browser said that it asks for it, or is another.
pub const OWN_END_WINDOW: Millis = 30_000;
/// A page that is not what the server says is loaded anew no more often than this.
const MIN_REFRESH_INTERVAL: Millis = 10_000;
/// An end that moved by no more than this is the same: the tab's clock is set anew with each answer.
const SAME_END_TOLERANCE: Millis = 2_000;
/// The server is asked this long after a session should have run out, and so often again while it says otherwise.
const EXPIRY_CHECK_DELAY: Millis = 1_000;

/// When a session ends, as the server said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryTimes {
    /// When it is over unless the person does something.
    pub idle_expires_at: Millis,
    /// When it is over whatever happens.
    pub lifetime_expires_at: Millis,
    /// How far activity moves the idle end from the moment that it happens.
    pub idle_timeout: Millis,
    /// How long before the end the person is warned. 0: not at all.
    pub warning_period: Millis,
}

impl ExpiryTimes {
    /// When it is over if nothing more happens.
    pub fn ends_at(self) -> Millis {
        self.idle_expires_at.min(self.lifetime_expires_at)
    }

    /// When the person is to be warned. A session that is shorter than the warning is warned of half way.
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

/// Why a session is over, and whether this browser asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    pub reason: EndReason,
    /// A tab of this browser ended it.
    pub by_this_browser: bool,
}

/// How the session stands, as far as this tab knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorStatus {
    /// It is live.
    Live,
    /// Something happened that may have to do with it: the server is being asked, and requests wait for the answer.
    Unsure,
    /// The server could not be asked. `overdue`: the session should have run out meanwhile.
    Unreachable { overdue: bool },
    /// It is over.
    Ended(SessionEnd),
}

/// What a request that is about to be sent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestGate {
    Open,
    Closed,
}

/// A session that runs out soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryWarning {
    pub ends_at: Millis,
    /// Its lifetime ends: staying is not possible.
    pub is_final: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The timer that [`SessionMachine::next_wake_at`] asked for.
    TimerFired,
    BecameVisible,
    BecameHidden,
    /// The browser says that there is a network again.
    CameOnline,
    /// The browser says that there is none.
    WentOffline,
    /// This tab is the one that keeps the stream.
    BecameLeader,
    /// Another tab does.
    BecameFollower,
    /// A stream tells of changes: this tab's, or the leading tab's.
    StreamOpened,
    /// The stream that tells is still there.
    StreamHeartbeat,
    /// It does so no more. `own`: it was this tab's.
    StreamLost {
        own: bool,
    },
    /// The session goes on, but something about it changed.
    SessionUpdated,
    /// The list of the person's sessions changed.
    SessionsChanged,
    /// The session looks at another organization.
    OrganizationSwitched,
    /// The session is over, says the stream or another tab that the server told.
    SessionEnded(EndReason),
    /// The server was asked: the session is live. `changed`: the person, their role or their organization is not what
    /// the page shows.
    CheckedLive {
        times: ExpiryTimes,
        changed: bool,
    },
    /// The server was asked: there is no live session.
    CheckedEnded(EndReason),
    /// The server could not be asked, or had no answer.
    CheckFailed,
    /// Another tab asked: it is live.
    OtherTabLive(ExpiryTimes),
    /// Another tab signed in, or shows a session that this one does not know.
    OtherSessionSeen,
    /// A tab of this browser is about to end the session. In that tab itself: the page is on its way out.
    SigningOut,
    /// The person did something, and the server knows.
    UserActed,
    /// A request was refused because the session is over.
    RequestRejected,
    /// A request could not be delivered, or the server had no answer to it.
    RequestFailed,
    /// A request waits.
    RequestWaiting,
    /// The person has read the warning.
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

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask the server, and report with one of the `Check` events.
    Check,
    OpenStream,
    CloseStream,
    /// Tell the other tabs that the stream is not open any more.
    AnnounceStreamLost,
    /// Ask whether there is a tab that leads.
    ProbeLeader,
    /// Requests that wait are to look at the gate again.
    ReleaseRequests,
    /// Load the list of sessions anew.
    RefreshSessions,
    /// Load everything anew.
    RefreshAll,
    /// Tell the other tabs that the session is live.
    AnnounceLive(ExpiryTimes),
    /// Tell the other tabs that the session is over.
    AnnounceEnded(EndReason),
}

/// What is stale in a tab that nobody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stale {
    Nothing,
    Sessions,
    All,
}

/// One tab's knowledge of its session.
#[derive(Clone, Debug)]
pub struct SessionMachine {
    status: MonitorStatus,
    times: ExpiryTimes,
    is_visible: bool,
    is_online: bool,
    is_leader: bool,
    /// This tab's own stream is open or being opened.
    has_stream: bool,
    /// A stream tells of changes, here or in the leading tab.
    stream_is_live: bool,
    stream_opened_at: Option<Millis>,
    /// When there was the last sign of life of it, or when it was asked for.
    last_heartbeat_at: Millis,
    /// Streams in a row that did not last.
    unstable_streams: u32,
    /// This tab opens no stream before that.
    reopen_after: Millis,
    is_checking: bool,
    /// What the check under way says may be out of date when it comes: ask once more.
    needs_recheck: bool,
    check_at: Option<Millis>,
    /// Checks that failed in a row.
    failures: u32,
    /// Checks in a row that met a credential which the server does not know.
    unknown: usize,
    /// When a tab of this browser said that it ends the session.
    signing_out_at: Option<Millis>,
    stale: Stale,
    /// A request was refused, and the session is live after all.
    is_outdated: bool,
    /// When everything was loaded anew because the page was not what the server said.
    refreshed_at: Option<Millis>,
    /// The end of which the person has read the warning.
    dismissed: Option<Millis>,
}

impl SessionMachine {
    /// A tab whose page the server has just made for a live session.
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

    /// The warning that is to be shown, if one is.
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

    /// When [`Input::TimerFired`] is wanted, if nothing happens before.
    pub fn next_wake_at(&self, now: Millis) -> Option<Millis> {
        let warning_at = self.times.warning_at().filter(|at| now < *at && self.is_live());
        self.check_at
            .into_iter()
            .chain(warning_at)
            .chain(self.stream_timeout_at())
            .min()
    }

    /// Takes in what happened. `jitter` is a random number from 0 to 1, for pauses that differ from tab to tab.
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
                // One that is under way may be of before a long sleep.
                self.needs_recheck |= self.is_checking && !self.is_visible;
                self.is_visible = true;
                self.mark_unsure();
                self.check(&mut effects);
            }
            Input::BecameHidden => {
                self.is_visible = false;
                if !self.is_live() {
                    // The next try is for somebody who looks.
                    self.check_at = None;
                    self.schedule_expiry_check(now);
                }
                self.schedule(now);
                self.open_stream(now, &mut effects);
            }
            Input::CameOnline => {
                // One that is under way went out without a network.
                self.needs_recheck |= self.is_checking && !self.is_online;
                self.is_online = true;
                self.mark_unsure();
                self.check(&mut effects);
            }
            Input::WentOffline => self.go_offline(),
            Input::BecameLeader => {
                self.is_leader = true;
                if !self.has_stream && self.stream_is_live {
                    // It was the stream of the tab that led before.
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
                    // It answers again.
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
                // A tab that nobody sees asks when it is seen.
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
                // Requests go on waiting: looking at the gate again would only have them ask again, without a pause.
                self.failures = self.failures.saturating_add(1);
                let pause = with_jitter(backoff(INITIAL_BACKOFF, self.failures - 1), jitter);
                // After the end, too: somebody may have signed in.
                self.check_at = (self.is_visible && self.is_online).then_some(now + pause);
                if !matches!(self.status, MonitorStatus::Ended(_)) {
                    let overdue = now >= self.times.ends_at();
                    self.status = MonitorStatus::Unreachable { overdue };
                    self.schedule_expiry_check(now);
                }
            }
            Input::OtherTabLive(times) => {
                if let MonitorStatus::Ended(end) = self.status {
                    // Another tab has used the session. Its cookie may have been replaced while this tab asked.
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
                    // Somebody who is always busy is to have their checks, and their stream back.
                    let planned = self.check_at;
                    self.schedule(now);
                    if let Some(at) = planned {
                        self.check_by(at);
                    }
                    effects.push(Effect::AnnounceLive(self.times));
                }
            }
            Input::RequestRejected | Input::RequestFailed => {
                // Refused may be what went out with a cookie that was just replaced: it is missing on the page.
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

    /// Has everything loaded anew where the page is not what the server says. Not again at once: loading may be what fails.
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

    /// Asks the server, unless it is being asked.
    fn check(&mut self, effects: &mut Vec<Effect>) {
        self.check_at = None;
        if !self.is_checking {
            self.is_checking = true;
            effects.push(Effect::Check);
        }
    }

    /// Requests are to wait for the next answer. Not where it is known that they cannot go.
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
            // Better words than those that there were.
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
        // It may say that the session was live, and be of before.
        self.needs_recheck = self.is_checking;
        self.close_stream(effects);
        effects.push(Effect::ReleaseRequests);
    }

    /// The next check by itself: now and then while somebody looks, and when the session should have run out.
    ///
    /// Only while it is known to be live: else an answer is on its way, or the next try is planned.
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

    /// The next check comes then, or before.
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

    /// Opens the stream if it is this tab's to have. Where it is too early for it, the next check comes when it is not.
    fn open_stream(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        if !self.is_leader || self.has_stream || !self.is_live() {
            return;
        }
        if now < self.reopen_after {
            self.check_by(self.reopen_after);
        } else {
            self.has_stream = true;
            self.last_heartbeat_at = now;
            // When another tab's was, before.
            self.stream_opened_at = None;
            effects.push(Effect::OpenStream);
        }
    }

    /// When the stream, if nothing is heard of it, is to be taken for lost. Whose tab nobody sees does not mind another's.
    fn stream_timeout_at(&self) -> Option<Millis> {
        let minds = self.has_stream || (self.stream_is_live && self.is_visible);
        minds.then_some(self.last_heartbeat_at + STREAM_TIMEOUT)
    }

    /// Nothing was heard of the stream for too long: it may be half open, or the tab that leads frozen.
    fn handle_silent_stream(&mut self, now: Millis, jitter: f64, effects: &mut Vec<Effect>) {
        // It lasted for as long as it was heard: what keeps everything back is not to be asked again and again.
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

/// Half of it at least: pauses that jitter makes short are no pauses.
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
