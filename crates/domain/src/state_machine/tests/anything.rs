//! Whatever happens in whatever order, some things hold.

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngSeed, TestRunner},
};

use super::*;

/// What may happen next.
#[derive(Clone, Debug)]
enum Step {
    Happens(Event),
    /// The server answers, where it was asked.
    Live {
        left: Millis,
        changed: bool,
    },
    Ended(EndReason),
    Failed,
    /// Another tab was told that so much is left.
    HeardLive {
        left: Millis,
    },
    /// The stream that is open, or being opened, breaks.
    Breaks,
    Passes(Millis),
}

fn step() -> impl Strategy<Value = Step> {
    let reason = select(EndReason::ALL.as_slice());
    let left = prop_oneof![Just(0), Just(5 * SECOND), Just(4 * MINUTE), Just(IDLE)];
    let events = [
        Event::Woke,
        Event::BecameVisible,
        Event::BecameHidden,
        Event::CameOnline,
        Event::WentOffline,
        Event::Leads,
        Event::Follows,
        Event::StreamOpened,
        Event::StreamBeats,
        Event::StreamLost { own: false },
        Event::ToldUpdated,
        Event::ToldSessionsChanged,
        Event::ToldOrganizationSwitched,
        Event::HeardOther,
        Event::EndsHere,
        Event::Acted,
        Event::RequestRefused,
        Event::RequestFailed,
        Event::RequestWaits,
        Event::WarningDismissed,
    ];
    let passes = prop_oneof![
        0..1_000_i64,
        Just(AFTER_BREAK),
        Just(FIRST_PAUSE),
        Just(SILENCE),
        Just(MINUTE),
        Just(LONGEST_PAUSE),
        Just(IDLE),
    ];
    prop_oneof![
        12 => select(events.to_vec()).prop_map(Step::Happens),
        4 => (left.clone(), any::<bool>()).prop_map(|(left, changed)| Step::Live { left, changed }),
        1 => reason.clone().prop_map(Step::Ended),
        2 => Just(Step::Ended(EndReason::Unknown)),
        3 => Just(Step::Failed),
        2 => left.prop_map(|left| Step::HeardLive { left }),
        1 => reason.prop_map(|reason| Step::Happens(Event::ToldEnded(reason))),
        3 => Just(Step::Breaks),
        6 => passes.prop_map(Step::Passes),
    ]
}

/// A tab, and what the world around it can tell of it.
struct World {
    tab: Tab,
    is_asked: bool,
    has_stream: bool,
    is_visible: bool,
    is_online: bool,
}

impl World {
    fn happens(&mut self, event: Event) {
        let was_ended = self.is_ended();
        self.tab.now += 1;
        if event.is_answer() && !std::mem::take(&mut self.is_asked) {
            return;
        }
        match event {
            Event::BecameVisible => self.is_visible = true,
            Event::BecameHidden => self.is_visible = false,
            Event::CameOnline => self.is_online = true,
            Event::WentOffline => self.is_online = false,
            Event::StreamLost { own: true } => self.has_stream = false,
            _ => {}
        }
        for effect in self.tab.does(event) {
            match effect {
                Effect::Check => assert!(!std::mem::replace(&mut self.is_asked, true), "asked twice"),
                Effect::OpenStream => assert!(!std::mem::replace(&mut self.has_stream, true), "two streams"),
                Effect::CloseStream => assert!(std::mem::take(&mut self.has_stream), "there is none"),
                // Whoever was told that it is live has reached the server.
                Effect::Decide if self.tab.standing() == Standing::Live => self.is_online = true,
                _ => {}
            }
        }
        let by_word = matches!(event, Event::ToldEnded(_) | Event::CheckedEnded(_));
        assert!(was_ended || by_word || !self.is_ended(), "{event:?} ended it");
        self.holds();
    }

    fn holds(&self) {
        let Tab { machine, now, .. } = &self.tab;
        let plan = machine.wakes_at(*now);
        assert_eq!(machine.is_checking, self.is_asked, "it knows what it asked");
        assert_eq!(machine.has_stream, self.has_stream, "it knows its stream");
        if self.is_visible && self.is_online && !self.is_ended() && !self.is_asked {
            assert!(plan.is_some(), "it never wakes");
            assert!(machine.check_at.is_some(), "it asks no more");
        }
        let is_away = !self.is_online;
        // Nobody looks, and it has asked at the end. A request asks by itself.
        let is_left = !self.is_visible && self.tab.standing() == unreachable(true);
        if machine.gate() == Gate::Wait {
            let ends = self.is_asked || machine.check_at.is_some() || is_away || is_left;
            assert!(ends, "requests wait for nothing");
        }
        if self.is_ended() {
            assert!(!self.has_stream, "a stream of an ended session");
            assert_eq!(self.tab.warning(), None);
        }
    }

    fn is_ended(&self) -> bool {
        matches!(self.tab.standing(), Standing::Ended(_))
    }

    fn takes(&mut self, step: &Step) {
        let times = |left: Millis, tab: &Tab| Times {
            idle_end: tab.now + left,
            ..TIMES
        };
        match *step {
            Step::Happens(event) => self.happens(event),
            Step::Live { left, changed } => {
                let times = times(left, &self.tab);
                self.happens(Event::CheckedLive { times, changed });
            }
            Step::Ended(reason) => self.happens(Event::CheckedEnded(reason)),
            Step::Failed => self.happens(Event::CheckFailed),
            Step::HeardLive { left } => self.happens(Event::HeardLive(times(left, &self.tab))),
            Step::Breaks if self.has_stream => self.happens(Event::StreamLost { own: true }),
            Step::Breaks => {}
            Step::Passes(time) => {
                let until = self.tab.now + time;
                let mut wakes = 0;
                while let Some(at) = self.tab.machine.wakes_at(self.tab.now)
                    && at <= until
                {
                    self.tab.now = self.tab.now.max(at - 1);
                    self.happens(Event::Woke);
                    wakes += 1;
                    assert!(wakes < 100, "it wakes again and again, and nobody answers");
                }
                self.tab.now = self.tab.now.max(until);
            }
        }
    }
}

#[test]
fn random_events_never_stop_or_overlap_checks() {
    let given = std::env::var("PORTAL_TEST_SEED").ok();
    let seed = given
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    let config = Config {
        cases: 1_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let begins = (any::<bool>(), any::<bool>(), 0.0..=1.0_f64);
    let steps = prop::collection::vec(step(), 1..60);
    let outcome = TestRunner::new(config).run(&(begins, steps), |((is_visible, is_online, luck), steps)| {
        let mut tab = Tab::of(Machine::new(TIMES, is_visible, is_online, 0));
        tab.luck = luck;
        let mut world = World {
            tab,
            is_asked: false,
            has_stream: false,
            is_visible,
            is_online,
        };
        world.holds();
        for step in &steps {
            world.takes(step);
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("PORTAL_TEST_SEED={seed} brings it back: {error}");
    }
}
