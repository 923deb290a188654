//! Invariants for random sequences of inputs.

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngSeed, TestRunner},
};

use super::*;

/// One step of a random run: an input, a result of a check, or the passage of time.
#[derive(Clone, Debug)]
enum Step {
    Input(Input),
    /// The running check finds a live session.
    Live {
        left: Millis,
        is_page_outdated: bool,
    },
    Ended(EndReason),
    Failed,
    /// Another tab reports this remaining time.
    OtherTabLive {
        left: Millis,
    },
    /// This tab's stream breaks.
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
        Input::StreamLost { is_own: false },
        Input::SessionUpdated,
        Input::SessionsChanged,
        Input::OrganizationSwitched,
        Input::OtherSessionSeen,
        Input::OtherTabSigningOut,
        Input::UserActed,
        Input::RequestRejected,
        Input::RequestFailed,
        Input::RequestWaiting,
        Input::WarningDismissed,
    ];
    let durations = prop_oneof![
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
        4 => (left.clone(), any::<bool>()).prop_map(|(left, is_page_outdated)| Step::Live { left, is_page_outdated }),
        1 => reason.clone().prop_map(Step::Ended),
        2 => Just(Step::Ended(EndReason::Unknown)),
        3 => Just(Step::Failed),
        2 => left.prop_map(|left| Step::OtherTabLive { left }),
        1 => reason.prop_map(|reason| Step::Input(Input::SessionEnded(reason))),
        3 => Just(Step::StreamBreaks),
        6 => durations.prop_map(Step::Time),
    ]
}

/// A tab and the state of its environment.
struct Environment {
    tab: Tab,
    is_check_running: bool,
    has_stream: bool,
    is_visible: bool,
    is_online: bool,
}

impl Environment {
    fn handle(&mut self, input: Input) {
        let was_ended = self.is_ended();
        self.tab.now += 1;
        if input.is_check_result() && !std::mem::take(&mut self.is_check_running) {
            return;
        }
        match input {
            Input::BecameVisible => self.is_visible = true,
            Input::BecameHidden => self.is_visible = false,
            Input::CameOnline => self.is_online = true,
            Input::WentOffline => self.is_online = false,
            Input::StreamLost { is_own: true } => self.has_stream = false,
            _ => {}
        }
        for effect in self.tab.handle(input) {
            match effect {
                Effect::Check => assert!(
                    !std::mem::replace(&mut self.is_check_running, true),
                    "a second check while one runs"
                ),
                Effect::OpenStream => assert!(!std::mem::replace(&mut self.has_stream, true), "two streams"),
                Effect::CloseStream => assert!(std::mem::take(&mut self.has_stream), "no stream to close"),
                // A tab that knows that the session is live has reached the server.
                Effect::ReleaseRequests if self.tab.status() == MonitorStatus::Live => self.is_online = true,
                _ => {}
            }
        }
        let is_end_reported = matches!(input, Input::SessionEnded(_) | Input::CheckedEnded(_));
        assert!(
            was_ended || is_end_reported || !self.is_ended(),
            "{input:?} ended the session"
        );
        self.assert_invariants();
    }

    fn assert_invariants(&self) {
        let Tab { machine, now, .. } = &self.tab;
        let next_wake = machine.next_wake_at(*now);
        assert_eq!(
            machine.is_checking, self.is_check_running,
            "the machine knows whether a check runs"
        );
        assert_eq!(
            machine.has_stream, self.has_stream,
            "the machine knows whether it has a stream"
        );
        if self.is_visible && self.is_online && !self.is_ended() && !self.is_check_running {
            assert!(next_wake.is_some(), "no timer is set");
            assert!(machine.check_at.is_some(), "no check is scheduled");
        }
        let is_offline = !self.is_online;
        // A hidden tab that could not reach the server after expiry checks only when it becomes visible or a request
        // waits.
        let waits_for_visibility = !self.is_visible && self.tab.status() == unreachable_status(true);
        if machine.request_gate() == RequestGate::Closed {
            let is_released_later =
                self.is_check_running || machine.check_at.is_some() || is_offline || waits_for_visibility;
            assert!(
                is_released_later,
                "requests wait although nothing will release them"
            );
        }
        if self.is_ended() {
            assert!(!self.has_stream, "the stream stays open after the end");
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
            Step::Live {
                left,
                is_page_outdated,
            } => {
                let times = times(left, &self.tab);
                self.handle(Input::CheckedLive {
                    times,
                    is_page_outdated,
                });
            }
            Step::Ended(reason) => self.handle(Input::CheckedEnded(reason)),
            Step::Failed => self.handle(Input::CheckFailed),
            Step::OtherTabLive { left } => self.handle(Input::OtherTabLive(times(left, &self.tab))),
            Step::StreamBreaks if self.has_stream => self.handle(Input::StreamLost { is_own: true }),
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
                    assert!(wakes < 100, "the timer fires without end while a check runs");
                }
                self.tab.now = self.tab.now.max(until);
            }
        }
    }
}

#[test]
fn random_inputs_keep_the_invariants() {
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
    let initial = (any::<bool>(), any::<bool>(), 0.0..=1.0_f64);
    let steps = prop::collection::vec(step(), 1..60);
    let outcome =
        TestRunner::new(config).run(&(initial, steps), |((is_visible, is_online, jitter), steps)| {
            let mut tab = Tab::from_machine(SessionMachine::new(TIMES, is_visible, is_online, 0));
            tab.jitter = jitter;
            let mut environment = Environment {
                tab,
                is_check_running: false,
                has_stream: false,
                is_visible,
                is_online,
            };
            environment.assert_invariants();
            for step in &steps {
                environment.apply(step);
            }
            Ok(())
        });
    if let Err(error) = outcome {
        panic!("PORTAL_TEST_SEED={seed} reproduces the failure: {error}");
    }
}
