//! Invariants for random sequences of inputs.

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngSeed, TestRunner},
};

use super::*;

/// The next input.
#[derive(Clone, Debug)]
enum Step {
    Input(Input),
    /// The server answers the running check.
    Live {
        left: Millis,
        changed: bool,
    },
    Ended(EndReason),
    Failed,
    /// Another tab reports this remaining time.
    OtherTabLive {
        left: Millis,
    },
    /// The own stream breaks.
    StreamBreaks,
    Time(Millis),
}

fn step() -> impl Strategy<Value = Step> {
    let reason = select(EndReason::ALL.as_slice());
    let left = prop_oneof![Just(0), Just(5 * SECOND), Just(4 * MINUTE), Just(IDLE)];
    let events = [
        Input::TimerFired,
        Input::BecameVisible,
        Input::BecameHidden,
        Input::CameOnline,
        Input::WentOffline,
        Input::BecameLeader,
        Input::BecameFollower,
        Input::StreamOpened,
        Input::StreamHeartbeat,
        Input::StreamLost { own: false },
        Input::SessionUpdated,
        Input::SessionsChanged,
        Input::OrganizationSwitched,
        Input::OtherSessionSeen,
        Input::SigningOut,
        Input::UserActed,
        Input::RequestRejected,
        Input::RequestFailed,
        Input::RequestWaiting,
        Input::WarningDismissed,
    ];
    let passes = prop_oneof![
        0..1_000_i64,
        Just(RECONNECT_DELAY),
        Just(INITIAL_BACKOFF),
        Just(STREAM_TIMEOUT),
        Just(MINUTE),
        Just(MAX_BACKOFF),
        Just(IDLE),
    ];
    prop_oneof![
        12 => select(events.to_vec()).prop_map(Step::Input),
        4 => (left.clone(), any::<bool>()).prop_map(|(left, changed)| Step::Live { left, changed }),
        1 => reason.clone().prop_map(Step::Ended),
        2 => Just(Step::Ended(EndReason::Unknown)),
        3 => Just(Step::Failed),
        2 => left.prop_map(|left| Step::OtherTabLive { left }),
        1 => reason.prop_map(|reason| Step::Input(Input::SessionEnded(reason))),
        3 => Just(Step::StreamBreaks),
        6 => passes.prop_map(Step::Time),
    ]
}

/// A tab, and the facts that its environment knows.
struct World {
    tab: Tab,
    is_asked: bool,
    has_stream: bool,
    is_visible: bool,
    is_online: bool,
}

impl World {
    fn handle(&mut self, input: Input) {
        let was_ended = self.is_ended();
        self.tab.now += 1;
        if input.is_answer() && !std::mem::take(&mut self.is_asked) {
            return;
        }
        match input {
            Input::BecameVisible => self.is_visible = true,
            Input::BecameHidden => self.is_visible = false,
            Input::CameOnline => self.is_online = true,
            Input::WentOffline => self.is_online = false,
            Input::StreamLost { own: true } => self.has_stream = false,
            _ => {}
        }
        for effect in self.tab.handle(input) {
            match effect {
                Effect::Check => assert!(!std::mem::replace(&mut self.is_asked, true), "asked twice"),
                Effect::OpenStream => assert!(!std::mem::replace(&mut self.has_stream, true), "two streams"),
                Effect::CloseStream => assert!(std::mem::take(&mut self.has_stream), "there is none"),
                // A tab that knows that the session is live has reached the server.
                Effect::ReleaseRequests if self.tab.status() == MonitorStatus::Live => self.is_online = true,
                _ => {}
            }
        }
        let by_word = matches!(input, Input::SessionEnded(_) | Input::CheckedEnded(_));
        assert!(was_ended || by_word || !self.is_ended(), "{input:?} ended it");
        self.assert_invariants();
    }

    fn assert_invariants(&self) {
        let Tab { machine, now, .. } = &self.tab;
        let plan = machine.next_wake_at(*now);
        assert_eq!(machine.is_checking, self.is_asked, "it knows what it asked");
        assert_eq!(machine.has_stream, self.has_stream, "it knows its stream");
        if self.is_visible && self.is_online && !self.is_ended() && !self.is_asked {
            assert!(plan.is_some(), "it never wakes");
            assert!(machine.check_at.is_some(), "it asks no more");
        }
        let is_away = !self.is_online;
        // A hidden tab that has checked after expiry. A waiting request starts a check.
        let is_left = !self.is_visible && self.tab.status() == unreachable(true);
        if machine.gate() == RequestGate::Closed {
            let ends = self.is_asked || machine.check_at.is_some() || is_away || is_left;
            assert!(ends, "requests wait for nothing");
        }
        if self.is_ended() {
            assert!(!self.has_stream, "a stream of an ended session");
            assert_eq!(self.tab.warning(), None);
        }
    }

    fn is_ended(&self) -> bool {
        matches!(self.tab.status(), MonitorStatus::Ended(_))
    }

    fn apply(&mut self, step: &Step) {
        let times = |left: Millis, tab: &Tab| ExpiryTimes {
            idle_expires_at: tab.now + left,
            ..TIMES
        };
        match *step {
            Step::Input(input) => self.handle(input),
            Step::Live { left, changed } => {
                let times = times(left, &self.tab);
                self.handle(Input::CheckedLive { times, changed });
            }
            Step::Ended(reason) => self.handle(Input::CheckedEnded(reason)),
            Step::Failed => self.handle(Input::CheckFailed),
            Step::OtherTabLive { left } => self.handle(Input::OtherTabLive(times(left, &self.tab))),
            Step::StreamBreaks if self.has_stream => self.handle(Input::StreamLost { own: true }),
            Step::StreamBreaks => {}
            Step::Time(time) => {
                let until = self.tab.now + time;
                let mut wakes = 0;
                while let Some(at) = self.tab.machine.next_wake_at(self.tab.now)
                    && at <= until
                {
                    self.tab.now = self.tab.now.max(at - 1);
                    self.handle(Input::TimerFired);
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
    let outcome =
        TestRunner::new(config).run(&(begins, steps), |((is_visible, is_online, jitter), steps)| {
            let mut tab = Tab::of(SessionMachine::new(TIMES, is_visible, is_online, 0));
            tab.jitter = jitter;
            let mut world = World {
                tab,
                is_asked: false,
                has_stream: false,
                is_visible,
                is_online,
            };
            world.assert_invariants();
            for step in &steps {
                world.apply(step);
            }
            Ok(())
        });
    if let Err(error) = outcome {
        panic!("PORTAL_TEST_SEED={seed} brings it back: {error}");
    }
}
