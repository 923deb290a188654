//! The machine without a browser: a tab with a clock that is moved by hand.

mod anything;
mod checks;
mod endings;
mod hours;
mod stale;
mod streams;
mod warnings;

use super::*;

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;

const IDLE: Millis = 30 * MINUTE;
const TIMES: Times = Times {
    idle_end: IDLE,
    lifetime_end: 8 * HOUR,
    idle_for: IDLE,
    warn_for: 5 * MINUTE,
};

const UNKNOWN: Event = Event::CheckedEnded(EndReason::Unknown);
const REVOKED: Event = Event::CheckedEnded(EndReason::Revoked);

/// One tab. What it wants done is for the test to look at; its timer goes off by itself.
struct Tab {
    machine: Machine,
    now: Millis,
    luck: f64,
    /// Checks that were asked for since the beginning.
    checks: usize,
    /// The stream that is open beats.
    beats: bool,
}

impl Tab {
    /// In front, with a network, for a session that was just used.
    fn new() -> Self {
        Self::with(TIMES)
    }

    fn with(times: Times) -> Self {
        Self::of(Machine::new(times, true, true, 0))
    }

    fn hidden() -> Self {
        Self::of(Machine::new(TIMES, false, true, 0))
    }

    /// The one that keeps the stream, which is open.
    fn leading() -> Self {
        let mut tab = Self::new();
        assert_eq!(tab.does(Event::Leads), [Effect::OpenStream]);
        assert_eq!(tab.does(Event::StreamOpened), []);
        tab
    }

    /// The server could not be asked, once.
    fn unreachable() -> Self {
        let mut tab = Self::new();
        tab.does(Event::RequestFailed);
        tab.does(Event::CheckFailed);
        tab
    }

    fn ended() -> Self {
        let mut tab = Self::new();
        tab.does(Event::ToldEnded(EndReason::Revoked));
        tab
    }

    fn of(machine: Machine) -> Self {
        Self {
            machine,
            now: 0,
            luck: 1.0,
            checks: 0,
            beats: true,
        }
    }

    fn does(&mut self, event: Event) -> Vec<Effect> {
        // Often enough never to be missed.
        if event == Event::Woke && self.beats && self.machine.stream_is_live {
            self.machine.stream_heard_at = self.now;
        }
        let effects = self.machine.happens(event, self.now, self.luck);
        self.checks += effects.iter().filter(|effect| **effect == Effect::Check).count();
        effects
    }

    /// Time goes by. What the timer brought about.
    #[track_caller]
    fn passes(&mut self, time: Millis) -> Vec<Effect> {
        let until = self.now + time;
        let mut effects = Vec::new();
        let mut wakes = 0;
        while let Some(at) = self.machine.wakes_at(self.now).filter(|at| *at <= until) {
            self.now = self.now.max(at);
            effects.extend(self.does(Event::Woke));
            wakes += 1;
            assert!(wakes < 10_000, "it wakes again and again");
        }
        self.now = until;
        effects
    }

    /// How long it is until the next check, if nothing happens before.
    #[track_caller]
    fn checks_in(&self) -> Millis {
        self.machine.check_at.expect("a check is planned") - self.now
    }

    fn standing(&self) -> Standing {
        self.machine.standing()
    }

    fn warning(&self) -> Option<Warning> {
        self.machine.warning(self.now)
    }

    /// The server's answer for someone who has just done something.
    fn live(&self) -> Event {
        Event::CheckedLive {
            times: self.times(),
            changed: false,
        }
    }

    fn times(&self) -> Times {
        Times {
            idle_end: self.now + IDLE,
            ..TIMES
        }
    }

    /// The server is asked and says that it is live.
    #[track_caller]
    fn is_checked(&mut self) -> Vec<Effect> {
        assert!(self.machine.is_checking, "nothing was asked");
        self.does(self.live())
    }

    #[track_caller]
    fn assert_ended(&self, reason: EndReason, by_this_browser: bool) {
        let end = End {
            reason,
            by_this_browser,
        };
        assert_eq!(self.standing(), Standing::Ended(end));
    }
}

fn unreachable(overdue: bool) -> Standing {
    Standing::Unreachable { overdue }
}
