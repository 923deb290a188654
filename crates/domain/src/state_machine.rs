//! What a tab knows of its session, and what follows from what happens. Pure: time, luck and the browser come in as
//! arguments, and go out as [`Effect`]s. `docs/live.md` draws it.
//!
//! Two rules carry it. Only the server ends a session: no timer, no failed request and no other tab's guess does. And
//! whatever makes a tab unsure is answered by one check, which everyone who asks meanwhile waits for.

use crate::session::EndReason;

/// Milliseconds, of the tab's own clock where a time is meant. That clock only goes forward.
pub type Millis = i64;

/// How long a visible tab without a live stream goes without a check.
const CHECK_EVERY: Millis = 60_000;
/// The same where a stream tells of every change.
const CHECK_EVERY_WITH_STREAM: Millis = 5 * 60_000;
/// The first pause after a check that failed. It doubles with each.
const FIRST_PAUSE: Millis = 2_000;
/// No pause is longer.
const LONGEST_PAUSE: Millis = 5 * 60_000;
/// A stream that broke off is followed by a check within this time: not at once, since a server that stops breaks all of
/// them off. It doubles with each stream that did not last.
const AFTER_BREAK: Millis = 400;
/// A stream that was open for so long has lasted.
const LASTS: Millis = 10_000;
/// A stream of which nothing is heard for so long is lost, even if it looks open: the server beats every 15 s, and one
/// beat may be late.
const SILENCE: Millis = 40_000;
/// A credential that is not known may have been replaced a moment ago, and the new one be on its way to another tab: it is
/// asked about again after each of these pauses.
const AFTER_UNKNOWN: [Millis; 3] = [300, 1_000, 3_000];
/// An end comes within this time after a tab of this browser said that it asks for it, or is another.
pub const ENDS_WITHIN: Millis = 30_000;
/// A page that is not what the server says is loaded anew no more often than this.
const BETWEEN_REPAIRS: Millis = 10_000;
/// An end that moved by no more than this is the same: the tab's clock is set anew with each answer.
const SAME_END: Millis = 2_000;
/// The server is asked this long after a session should have run out, and so often again while it says otherwise.
const AFTER_END: Millis = 1_000;

/// When a session ends, as the server said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it is over unless the person does something.
    pub idle_end: Millis,
    /// When it is over whatever happens.
    pub lifetime_end: Millis,
    /// How far activity moves the idle end from the moment that it happens.
    pub idle_for: Millis,
    /// How long before the end the person is warned. 0: not at all.
    pub warn_for: Millis,
}

impl Times {
    /// When it is over if nothing more happens.
    pub fn end(self) -> Millis {
        self.idle_end.min(self.lifetime_end)
    }

    /// When the person is to be warned. A session that is shorter than the warning is warned of half way.
    fn warns_at(self) -> Option<Millis> {
        if self.warn_for == 0 {
            return None;
        }
        let warn_for = if self.warn_for < self.idle_for {
            self.warn_for
        } else {
            self.idle_for / 2
        };
        Some(self.end() - warn_for)
    }
}

/// Why a session is over, and whether this browser asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub reason: EndReason,
    /// A tab of this browser ended it.
    pub by_this_browser: bool,
}

/// How the session stands, as far as this tab knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is live.
    Live,
    /// Something happened that may have to do with it: the server is being asked, and requests wait for the answer.
    Unsure,
    /// The server could not be asked. `overdue`: the session should have run out meanwhile.
    Unreachable { overdue: bool },
    /// It is over.
    Ended(End),
}

/// What a request that is about to be sent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Go,
    Wait,
}

/// A session that runs out soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning {
    pub ends_at: Millis,
    /// Its lifetime ends: staying is not possible.
    pub is_final: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The timer that [`Machine::wakes_at`] asked for.
    Woke,
    BecameVisible,
    BecameHidden,
    /// The browser says that there is a network again.
    CameOnline,
    /// The browser says that there is none.
    WentOffline,
    /// This tab is the one that keeps the stream.
    Leads,
    /// Another tab does.
    Follows,
    /// A stream tells of changes: this tab's, or the leading tab's.
    StreamOpened,
    /// The stream that tells is still there.
    StreamBeats,
    /// It does so no more. `own`: it was this tab's.
    StreamLost {
        own: bool,
    },
    /// The session goes on, but something about it changed.
    ToldUpdated,
    /// The list of the person's sessions changed.
    ToldSessionsChanged,
    /// The session looks at another organization.
    ToldOrganizationSwitched,
    /// The session is over, says the stream or another tab that the server told.
    ToldEnded(EndReason),
    /// The server was asked: the session is live. `changed`: the person, their role or their organization is not what
    /// the page shows.
    CheckedLive {
        times: Times,
        changed: bool,
    },
    /// The server was asked: there is no live session.
    CheckedEnded(EndReason),
    /// The server could not be asked, or had no answer.
    CheckFailed,
    /// Another tab asked: it is live.
    HeardLive(Times),
    /// Another tab signed in, or shows a session that this one does not know.
    HeardOther,
    /// A tab of this browser is about to end the session. In that tab itself: the page is on its way out.
    EndsHere,
    /// The person did something, and the server knows.
    Acted,
    /// A request was refused because the session is over.
    RequestRefused,
    /// A request could not be delivered, or the server had no answer to it.
    RequestFailed,
    /// A request waits.
    RequestWaits,
    /// The person has read the warning.
    WarningDismissed,
}

impl Event {
    fn is_answer(self) -> bool {
        matches!(
            self,
            Event::CheckedLive { .. } | Event::CheckedEnded(_) | Event::CheckFailed
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
    TellStreamLost,
    /// Ask whether there is a tab that leads.
    AskForLeader,
    /// Requests that wait are to look at the gate again.
    Decide,
    /// Load the list of sessions anew.
    RefreshSessions,
    /// Load everything anew.
    RefreshAll,
    /// Tell the other tabs that the session is live.
    TellLive(Times),
    /// Tell the other tabs that the session is over.
    TellEnded(EndReason),
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
pub struct Machine {
    standing: Standing,
    times: Times,
    is_visible: bool,
    is_online: bool,
    leads: bool,
    /// This tab's own stream is open or being opened.
    has_stream: bool,
    /// A stream tells of changes, here or in the leading tab.
    stream_is_live: bool,
    stream_opened_at: Option<Millis>,
    /// When there was the last sign of life of it, or when it was asked for.
    stream_heard_at: Millis,
    /// Streams in a row that did not last.
    broken_streams: u32,
    /// This tab opens no stream before that.
    opens_at: Millis,
    is_checking: bool,
    /// What the check under way says may be out of date when it comes: ask once more.
    asks_again: bool,
    check_at: Option<Millis>,
    /// Checks that failed in a row.
    failures: u32,
    /// Checks in a row that met a credential which the server does not know.
    unknown: usize,
    /// When a tab of this browser said that it ends the session.
    ends_here_at: Option<Millis>,
    stale: Stale,
    /// A request was refused, and the session is live after all.
    is_missing: bool,
    /// When everything was loaded anew because the page was not what the server said.
    repaired_at: Option<Millis>,
    /// The end of which the person has read the warning.
    dismissed: Option<Millis>,
}

impl Machine {
    /// A tab whose page the server has just made for a live session.
    pub fn new(times: Times, is_visible: bool, is_online: bool, now: Millis) -> Self {
        let mut machine = Self {
            standing: Standing::Live,
            times,
            is_visible,
            is_online: true,
            leads: false,
            has_stream: false,
            stream_is_live: false,
            stream_opened_at: None,
            stream_heard_at: now,
            broken_streams: 0,
            opens_at: now,
            is_checking: false,
            asks_again: false,
            check_at: None,
            failures: 0,
            unknown: 0,
            ends_here_at: None,
            stale: Stale::Nothing,
            is_missing: false,
            repaired_at: None,
            dismissed: None,
        };
        machine.schedule(now);
        if !is_online {
            machine.go_offline();
        }
        machine
    }

    pub fn standing(&self) -> Standing {
        self.standing
    }

    pub fn gate(&self) -> Gate {
        match self.standing {
            Standing::Live | Standing::Ended(_) => Gate::Go,
            Standing::Unsure | Standing::Unreachable { .. } => Gate::Wait,
        }
    }

    /// The warning that is to be shown, if one is.
    pub fn warning(&self, now: Millis) -> Option<Warning> {
        let ends_at = self.times.end();
        let is_due = self.times.warns_at().is_some_and(|at| at <= now) && now < ends_at;
        let is_known = matches!(self.standing, Standing::Live | Standing::Unsure);
        let is_read = self.dismissed.is_some_and(|read| ends_at - read <= SAME_END);
        (is_due && is_known && !is_read).then_some(Warning {
            ends_at,
            is_final: self.times.lifetime_end <= self.times.idle_end,
        })
    }

    /// When [`Event::Woke`] is wanted, if nothing happens before.
    pub fn wakes_at(&self, now: Millis) -> Option<Millis> {
        let warns_at = self.times.warns_at().filter(|at| now < *at && self.is_live());
        self.check_at
            .into_iter()
            .chain(warns_at)
            .chain(self.silent_at())
            .min()
    }

    /// Takes in what happened. `luck` is a random number from 0 to 1, for pauses that differ from tab to tab.
    #[must_use]
    pub fn happens(&mut self, event: Event, now: Millis, luck: f64) -> Vec<Effect> {
        let mut effects = Vec::new();
        if event.is_answer() {
            self.is_checking = false;
            if std::mem::take(&mut self.asks_again) {
                self.check(&mut effects);
                return effects;
            }
        }
        match event {
            Event::Woke => {
                if self.silent_at().is_some_and(|at| at <= now) {
                    self.miss_stream(now, luck, &mut effects);
                }
                if self.check_at.is_some_and(|at| at <= now) {
                    if now >= self.times.end() {
                        self.doubt();
                    }
                    self.check(&mut effects);
                }
            }
            Event::BecameVisible => {
                // One that is under way may be of before a long sleep.
                self.asks_again |= self.is_checking && !self.is_visible;
                self.is_visible = true;
                self.doubt();
                self.check(&mut effects);
            }
            Event::BecameHidden => {
                self.is_visible = false;
                if !self.is_live() {
                    // The next try is for somebody who looks.
                    self.check_at = None;
                    self.check_at_end(now);
                }
                self.schedule(now);
                self.open_stream(now, &mut effects);
            }
            Event::CameOnline => {
                // One that is under way went out without a network.
                self.asks_again |= self.is_checking && !self.is_online;
                self.is_online = true;
                self.doubt();
                self.check(&mut effects);
            }
            Event::WentOffline => self.go_offline(),
            Event::Leads => {
                self.leads = true;
                if !self.has_stream && self.stream_is_live {
                    // It was the stream of the tab that led before.
                    self.stream_is_live = false;
                    self.schedule(now);
                }
                self.open_stream(now, &mut effects);
            }
            Event::Follows => {
                self.leads = false;
                self.close_stream(&mut effects);
                self.schedule(now);
            }
            Event::StreamOpened => {
                self.stream_is_live = true;
                self.stream_opened_at = Some(now);
                self.stream_heard_at = now;
                match self.standing {
                    // It answers again.
                    Standing::Unreachable { .. } => self.check(&mut effects),
                    _ => self.schedule(now),
                }
            }
            Event::StreamBeats => self.stream_heard_at = now,
            Event::StreamLost { own } => {
                let has_lasted = self.stream_opened_at.is_some_and(|at| now - at >= LASTS);
                self.lose_stream(own, has_lasted, now, luck);
            }
            Event::ToldUpdated => {
                // A tab that nobody sees asks when it is seen.
                if self.is_visible {
                    self.asks_again |= self.is_checking;
                    self.check(&mut effects);
                }
            }
            Event::ToldSessionsChanged => self.refresh(Stale::Sessions, &mut effects),
            Event::ToldOrganizationSwitched => self.refresh(Stale::All, &mut effects),
            Event::ToldEnded(reason) => self.end(reason, now, &mut effects),
            Event::CheckedLive { times, changed } => {
                let was = self.standing;
                self.live(times, now);
                effects.push(Effect::TellLive(times));
                self.open_stream(now, &mut effects);
                if matches!(was, Standing::Ended(_) | Standing::Unreachable { .. }) {
                    self.stale = Stale::All;
                }
                self.repair(changed, now);
                self.refresh(Stale::Nothing, &mut effects);
                effects.push(Effect::Decide);
            }
            Event::CheckedEnded(reason) => {
                self.failures = 0;
                let pause = AFTER_UNKNOWN
                    .get(self.unknown)
                    .filter(|_| reason.may_be_outdated() && !matches!(self.standing, Standing::Ended(_)));
                if let Some(pause) = pause {
                    self.unknown += 1;
                    self.doubt();
                    self.check_at = Some(now + pause);
                } else {
                    self.end(reason, now, &mut effects);
                    effects.push(Effect::TellEnded(reason));
                }
            }
            Event::CheckFailed => {
                // Requests go on waiting: looking at the gate again would only have them ask again, without a pause.
                self.failures = self.failures.saturating_add(1);
                let pause = jittered(doubled(FIRST_PAUSE, self.failures - 1), luck);
                // After the end, too: somebody may have signed in.
                self.check_at = (self.is_visible && self.is_online).then_some(now + pause);
                if !matches!(self.standing, Standing::Ended(_)) {
                    let overdue = now >= self.times.end();
                    self.standing = Standing::Unreachable { overdue };
                    self.check_at_end(now);
                }
            }
            Event::HeardLive(times) => {
                if let Standing::Ended(end) = self.standing {
                    // Another tab has used the session. Its cookie may have been replaced while this tab asked.
                    if end.reason.may_be_outdated() {
                        self.asks_again |= self.is_checking;
                        self.check(&mut effects);
                    }
                } else {
                    let was = self.standing;
                    self.live(times, now);
                    if matches!(was, Standing::Unreachable { .. }) {
                        self.stale = Stale::All;
                    }
                    self.open_stream(now, &mut effects);
                    self.refresh(Stale::Nothing, &mut effects);
                    effects.push(Effect::Decide);
                }
            }
            Event::HeardOther => {
                self.asks_again = self.is_checking;
                self.doubt();
                self.check(&mut effects);
            }
            Event::EndsHere => self.ends_here_at = Some(now),
            Event::Acted => {
                if !matches!(self.standing, Standing::Ended(_)) {
                    self.times.idle_end = now + self.times.idle_for;
                    // Somebody who is always busy is to have their checks, and their stream back.
                    let planned = self.check_at;
                    self.schedule(now);
                    if let Some(at) = planned {
                        self.hasten(at);
                    }
                    effects.push(Effect::TellLive(self.times));
                }
            }
            Event::RequestRefused | Event::RequestFailed => {
                // Refused may be what went out with a cookie that was just replaced: it is missing on the page.
                self.is_missing |= event == Event::RequestRefused;
                self.doubt();
                self.check(&mut effects);
            }
            Event::RequestWaits => {
                if self.is_online {
                    self.check(&mut effects);
                }
            }
            Event::WarningDismissed => self.dismissed = Some(self.times.end()),
        }
        effects
    }

    /// Has everything loaded anew where the page is not what the server says. Not again at once: loading may be what fails.
    fn repair(&mut self, changed: bool, now: Millis) {
        self.is_missing |= changed;
        if !self.is_missing {
            return;
        }
        let next = self.repaired_at.map_or(now, |at| at + BETWEEN_REPAIRS);
        if now < next {
            self.hasten(next);
        } else {
            self.is_missing = false;
            self.repaired_at = Some(now);
            self.stale = Stale::All;
        }
    }

    fn is_live(&self) -> bool {
        matches!(self.standing, Standing::Live | Standing::Unsure)
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
    fn doubt(&mut self) {
        if self.standing == Standing::Live {
            self.standing = Standing::Unsure;
        }
    }

    fn go_offline(&mut self) {
        self.is_online = false;
        if self.is_live() {
            self.standing = Standing::Unreachable { overdue: false };
            self.check_at = Some(self.times.end() + AFTER_END);
        }
    }

    fn live(&mut self, times: Times, now: Millis) {
        self.standing = Standing::Live;
        self.times = times;
        self.failures = 0;
        self.unknown = 0;
        self.is_online = true;
        self.schedule(now);
    }

    fn end(&mut self, reason: EndReason, now: Millis, effects: &mut Vec<Effect>) {
        if let Standing::Ended(end) = &mut self.standing {
            // Better words than those that there were.
            if end.reason.may_be_outdated() {
                end.reason = reason;
            }
            return;
        }
        self.standing = Standing::Ended(End {
            reason,
            by_this_browser: self.ends_here_at.take().is_some_and(|at| now - at <= ENDS_WITHIN),
        });
        self.check_at = None;
        // It may say that the session was live, and be of before.
        self.asks_again = self.is_checking;
        self.close_stream(effects);
        effects.push(Effect::Decide);
    }

    /// The next check by itself: now and then while somebody looks, and when the session should have run out.
    ///
    /// Only while it is known to be live: else an answer is on its way, or the next try is planned.
    fn schedule(&mut self, now: Millis) {
        if self.standing != Standing::Live {
            return;
        }
        let every = if self.stream_is_live {
            CHECK_EVERY_WITH_STREAM
        } else {
            CHECK_EVERY
        };
        self.check_at = self.is_visible.then_some(now + every);
        self.check_at_end(now);
    }

    fn check_at_end(&mut self, now: Millis) {
        let is_told = matches!(
            self.standing,
            Standing::Unreachable { overdue: true } | Standing::Ended(_)
        );
        if !is_told {
            self.hasten((self.times.end() + AFTER_END).max(now + AFTER_END));
        }
    }

    /// The next check comes then, or before.
    fn hasten(&mut self, at: Millis) {
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
        if !self.leads || self.has_stream || !self.is_live() {
            return;
        }
        if now < self.opens_at {
            self.hasten(self.opens_at);
        } else {
            self.has_stream = true;
            self.stream_heard_at = now;
            // When another tab's was, before.
            self.stream_opened_at = None;
            effects.push(Effect::OpenStream);
        }
    }

    /// When the stream, if nothing is heard of it, is to be taken for lost. Whose tab nobody sees does not mind another's.
    fn silent_at(&self) -> Option<Millis> {
        let minds = self.has_stream || (self.stream_is_live && self.is_visible);
        minds.then_some(self.stream_heard_at + SILENCE)
    }

    /// Nothing was heard of the stream for too long: it may be half open, or the tab that leads frozen.
    fn miss_stream(&mut self, now: Millis, luck: f64, effects: &mut Vec<Effect>) {
        // It lasted for as long as it was heard: what keeps everything back is not to be asked again and again.
        let has_lasted = self
            .stream_opened_at
            .is_some_and(|at| self.stream_heard_at - at >= LASTS);
        let own = self.has_stream;
        self.close_stream(effects);
        self.lose_stream(own, has_lasted, now, luck);
        effects.push(if own {
            Effect::TellStreamLost
        } else {
            Effect::AskForLeader
        });
    }

    fn lose_stream(&mut self, own: bool, has_lasted: bool, now: Millis, luck: f64) {
        self.stream_is_live = false;
        self.stream_opened_at = None;
        if own {
            self.has_stream = false;
            self.broken_streams = if has_lasted { 0 } else { self.broken_streams + 1 };
            self.opens_at = now
                + match self.broken_streams {
                    0 => scaled(AFTER_BREAK, luck),
                    times => jittered(doubled(AFTER_BREAK, times), luck),
                };
        }
        if self.is_live() && (own || self.is_visible) {
            self.hasten(now + scaled(AFTER_BREAK, luck));
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

fn doubled(pause: Millis, times: u32) -> Millis {
    (pause << times.min(16)).min(LONGEST_PAUSE)
}

/// Half of it at least: pauses that luck makes short are no pauses.
fn jittered(pause: Millis, luck: f64) -> Millis {
    scaled(pause, 0.5 + luck / 2.0)
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
