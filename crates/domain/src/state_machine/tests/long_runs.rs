//! Long runs with failures: the number of checks stays limited.

use super::*;

/// Response time of the server.
const RESPONSE_TIME: Millis = 20;

/// Simulates a tab and a server for some time. `result` gives the result of each check; `breaks_streams` closes each
/// stream at once. Jitter cycles. Returns the numbers of checks and of streams, and the tab.
fn simulate(
    mut tab: Tab,
    time: Millis,
    breaks_streams: bool,
    result: impl Fn(&Tab) -> Input,
) -> (usize, usize, Tab) {
    let until = tab.now + time;
    let mut jitters = (0..=10).map(|tenth| f64::from(tenth) / 10.0).cycle();
    let mut answer_at = None;
    let mut breaks_at = (breaks_streams && tab.machine.has_stream).then_some(tab.now);
    let (mut checks, mut streams) = (0, 0);
    loop {
        let next_wake_at = tab.machine.next_wake_at(tab.now);
        let Some(next) = [next_wake_at, answer_at, breaks_at].into_iter().flatten().min() else {
            break;
        };
        if next > until {
            break;
        }
        tab.now = tab.now.max(next);
        tab.jitter = jitters.next().expect("a cycle has no end");
        let input = if answer_at.is_some_and(|at| at <= tab.now) {
            answer_at = None;
            result(&tab)
        } else if breaks_at.is_some_and(|at| at <= tab.now) {
            breaks_at = None;
            Input::StreamLost { is_own: true }
        } else {
            Input::TimerFired
        };
        for effect in tab.handle(input) {
            match effect {
                Effect::Check => {
                    checks += 1;
                    answer_at = Some(tab.now + RESPONSE_TIME);
                }
                Effect::OpenStream => {
                    streams += 1;
                    breaks_at = breaks_streams.then_some(tab.now + RESPONSE_TIME);
                }
                _ => {}
            }
        }
        assert!(
            checks + streams < 20_000,
            "checks or streams are started without end"
        );
    }
    tab.now = until;
    (checks, streams, tab)
}

#[test]
fn hour_without_stream_checks_every_minute() {
    let (checks, ..) = simulate(Tab::new(), HOUR, false, Tab::live_result);
    assert!((58..=60).contains(&checks), "{checks}");
}

#[test]
fn hour_with_stream_checks_every_five_minutes() {
    let (checks, ..) = simulate(Tab::leading(), HOUR, false, Tab::live_result);
    assert!((11..=12).contains(&checks), "{checks}");
}

#[test]
fn hour_of_broken_streams_checks_every_minute() {
    let (checks, streams, tab) = simulate(Tab::leading(), HOUR, true, Tab::live_result);
    assert!((58..=120).contains(&checks), "{checks}");
    assert!((10..=40).contains(&streams), "{streams}");
    // A hidden tab checks only to reopen its stream.
    let mut tab = tab;
    tab.handle(Input::BecameHidden);
    let (checks, streams, _) = simulate(tab, HOUR, true, Tab::live_result);
    assert!((10..=80).contains(&checks), "{checks}");
    assert!((10..=40).contains(&streams), "{streams}");
}

#[test]
fn hour_of_unstable_streams_does_not_loop() {
    let mut tab = Tab::leading();
    tab.jitter = 0.0;
    let mut streams = 0;
    while tab.now < HOUR {
        tab.handle(Input::StreamLost { is_own: true });
        loop {
            tab.advance(tab.next_check_in());
            if tab.finish_check_live().contains(&Effect::OpenStream) {
                break;
            }
        }
        streams += 1;
        assert!(streams < 60, "streams are opened without end");
    }
}

#[test]
fn hour_of_outage_checks_every_few_minutes() {
    let (checks, _, tab) = simulate(Tab::new(), HOUR, false, |_| Input::CheckFailed);
    assert!((18..=40).contains(&checks), "{checks}");
    assert_eq!(tab.status(), unreachable_status(true));
}

#[test]
fn hour_of_outage_after_expiry_stays_bounded() {
    let mut tab = Tab::ended();
    tab.handle(Input::OtherSessionSeen);
    tab.handle(Input::CheckFailed);
    let (checks, _, tab) = simulate(tab, HOUR, false, |_| Input::CheckFailed);
    assert!((12..=40).contains(&checks), "{checks}");
    tab.assert_ended(EndReason::Revoked, false);
}

#[test]
fn session_beyond_its_expiry_is_checked_every_second() {
    let mut tab = Tab::new();
    tab.handle(Input::BecameHidden);
    tab.now = IDLE;
    let expired_but_live = Input::CheckedLive {
        times: TIMES,
        is_page_outdated: false,
    };
    let (checks, _, tab) = simulate(tab, MINUTE, false, |_| expired_but_live);
    assert!((57..=60).contains(&checks), "{checks}");
    assert_eq!(tab.status(), MonitorStatus::Live);
    let (checks, ..) = simulate(tab, MINUTE, false, Tab::live_result);
    assert_eq!(checks, 1);
}

#[test]
fn constant_activity_does_not_prevent_checks() {
    let mut tab = Tab::new();
    for _ in 0..360 {
        if tab.advance(10 * SECOND).contains(&Effect::Check) {
            tab.finish_check_live();
        }
        tab.handle(Input::UserActed);
    }
    assert!((55..=60).contains(&tab.checks), "{}", tab.checks);
}
