//! When the tab checks its session, and how it behaves until the result.

use super::*;

#[test]
fn new_page_is_live_and_allows_requests() {
    let tab = Tab::new();
    assert_eq!(tab.status(), MonitorStatus::Live);
    assert_eq!(tab.machine.request_gate(), RequestGate::Open);
    assert_eq!(tab.warning(), None);
}

#[test]
fn page_opened_offline_checks_at_its_expiry() {
    let mut tab = Tab::from_machine(SessionMachine::new(TIMES, true, false, 0));
    assert_eq!(tab.status(), unreachable_status(false));
    assert_eq!(tab.advance(IDLE + EXPIRY_CHECK_DELAY - 1), []);
    assert_eq!(tab.advance(1), [Effect::Check]);
}

#[test]
fn uncertainty_starts_a_check_and_holds_requests() {
    for input in [
        Input::BecameVisible,
        Input::CameOnline,
        Input::OtherSessionSeen,
        Input::RequestFailed,
    ] {
        let mut tab = Tab::new();
        assert_eq!(tab.handle(input), [Effect::Check], "{input:?}");
        assert_eq!(tab.status(), MonitorStatus::Unsure, "{input:?}");
        assert_eq!(tab.machine.request_gate(), RequestGate::Closed, "{input:?}");
        let effects = tab.finish_check_live();
        assert_eq!(
            effects,
            [Effect::AnnounceLive(tab.active_times()), Effect::ReleaseRequests],
            "{input:?}"
        );
        assert_eq!(tab.status(), MonitorStatus::Live, "{input:?}");
        assert_eq!(tab.machine.request_gate(), RequestGate::Open, "{input:?}");
    }
}

#[test]
fn periodic_check_holds_no_request() {
    let mut tab = Tab::new();
    assert_eq!(tab.advance(CHECK_INTERVAL), [Effect::Check]);
    assert_eq!(tab.status(), MonitorStatus::Live);
    assert_eq!(tab.machine.request_gate(), RequestGate::Open);
}

#[test]
fn requests_during_a_check_wait_for_it() {
    let mut tab = Tab::new();
    assert_eq!(tab.handle(Input::BecameVisible), [Effect::Check]);
    for input in [
        Input::BecameVisible,
        Input::CameOnline,
        Input::RequestRejected,
        Input::RequestFailed,
        Input::RequestWaiting,
        Input::TimerFired,
    ] {
        assert_eq!(tab.handle(input), [], "{input:?}");
    }
    assert!(!tab.finish_check_live().contains(&Effect::Check));
}

#[test]
fn checks_are_rarer_with_an_open_stream() {
    let mut tab = Tab::new();
    assert_eq!(tab.next_check_in(), MINUTE);
    tab.handle(Input::StreamOpened);
    assert_eq!(tab.next_check_in(), 5 * MINUTE);
    assert_eq!(tab.advance(5 * MINUTE - 1), []);
    assert_eq!(tab.advance(1), [Effect::Check]);
    tab.finish_check_live();
    assert_eq!(tab.next_check_in(), 5 * MINUTE);
    tab.handle(Input::StreamLost { is_own: false });
    tab.advance(RECONNECT_DELAY);
    tab.finish_check_live();
    assert_eq!(tab.next_check_in(), MINUTE);
}

#[test]
fn hidden_tab_checks_only_at_the_expiry() {
    let mut tab = Tab::new();
    tab.handle(Input::BecameHidden);
    assert_eq!(tab.advance(IDLE + EXPIRY_CHECK_DELAY - 1), []);
    assert_eq!(tab.advance(1), [Effect::Check]);
    assert_eq!(tab.status(), MonitorStatus::Unsure);
    tab.finish_check_live();
    assert_eq!(tab.next_check_in(), IDLE + EXPIRY_CHECK_DELAY);
}

#[test]
fn hidden_tab_receives_changes_without_a_check() {
    let mut tab = Tab::hidden();
    assert_eq!(tab.handle(Input::SessionUpdated), []);
    assert_eq!(tab.handle(Input::BecameVisible), [Effect::Check]);
}

#[test]
fn change_during_a_check_repeats_the_check() {
    let mut tab = Tab::new();
    assert_eq!(tab.handle(Input::SessionUpdated), [Effect::Check]);
    assert_eq!(tab.status(), MonitorStatus::Live);
    assert_eq!(tab.handle(Input::SessionUpdated), []);
    assert_eq!(tab.finish_check_live(), [Effect::Check]);
    assert!(tab.finish_check_live().contains(&Effect::ReleaseRequests));
}

#[test]
fn check_before_hiding_repeats_when_visible() {
    let mut tab = Tab::new();
    tab.handle(Input::RequestFailed);
    tab.handle(Input::BecameHidden);
    assert_eq!(tab.handle(Input::BecameVisible), []);
    // Browsers may report the visibility twice.
    assert_eq!(tab.handle(Input::BecameVisible), []);
    assert_eq!(tab.handle(UNKNOWN), [Effect::Check]);
    assert_eq!(tab.status(), MonitorStatus::Unsure);
    assert!(!tab.finish_check_live().contains(&Effect::Check));
    assert_eq!(tab.status(), MonitorStatus::Live);
}

#[test]
fn offline_check_repeats_when_online() {
    let mut tab = Tab::new();
    tab.handle(Input::WentOffline);
    assert_eq!(tab.handle(Input::BecameVisible), [Effect::Check]);
    assert_eq!(tab.handle(Input::CameOnline), []);
    assert_eq!(tab.handle(Input::CheckFailed), [Effect::Check]);
}

#[test]
fn sign_in_during_a_check_repeats_the_check() {
    for first in [UNKNOWN, REVOKED, Input::CheckFailed] {
        let mut tab = Tab::new();
        tab.handle(Input::BecameVisible);
        assert_eq!(tab.handle(Input::OtherSessionSeen), []);
        assert_eq!(tab.handle(first), [Effect::Check], "{first:?}");
        assert_eq!(tab.status(), MonitorStatus::Unsure, "{first:?}");
        assert!(!tab.finish_check_live().contains(&Effect::Check), "{first:?}");
        assert_eq!(tab.status(), MonitorStatus::Live, "{first:?}");
    }
}

#[test]
fn failures_never_sign_out() {
    let mut tab = Tab::unreachable();
    assert_eq!(tab.status(), unreachable_status(false));
    for _ in 0..200 {
        tab.advance(MAX_BACKOFF);
        tab.handle(Input::CheckFailed);
    }
    assert_eq!(tab.status(), unreachable_status(true));
    tab.advance(MAX_BACKOFF);
    tab.finish_check_live();
    assert_eq!(tab.status(), MonitorStatus::Live);
}

#[test]
fn retry_delay_doubles_and_resets_after_success() {
    let mut tab = Tab::with_times(ExpiryTimes {
        idle_expires_at: 8 * HOUR,
        ..TIMES
    });
    tab.handle(Input::RequestFailed);
    let delays = |tab: &mut Tab, times: usize| -> Vec<Millis> {
        let next_delay = |_| {
            tab.handle(Input::CheckFailed);
            let delay = tab.next_check_in();
            assert_eq!(tab.advance(delay), [Effect::Check]);
            delay / SECOND
        };
        (0..times).map(next_delay).collect()
    };
    assert_eq!(delays(&mut tab, 10), [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    tab.finish_check_live();
    tab.handle(Input::RequestFailed);
    assert_eq!(delays(&mut tab, 2), [2, 4]);
    // An unknown credential is a response too.
    tab.handle(UNKNOWN);
    assert_eq!(tab.advance(UNKNOWN_RETRY_DELAYS[0]), [Effect::Check]);
    assert_eq!(delays(&mut tab, 2), [2, 4]);
    // So is the report of another tab.
    tab.handle(Input::OtherTabLive(tab.active_times()));
    tab.handle(Input::RequestFailed);
    assert_eq!(delays(&mut tab, 2), [2, 4]);
}

#[test]
fn retry_delay_is_bounded() {
    for doublings in [8, 16, 17, 63, 64, u32::MAX] {
        assert_eq!(backoff(INITIAL_BACKOFF, doublings), MAX_BACKOFF);
    }
}

#[test]
fn jitter_at_most_halves_a_delay() {
    for (jitter, delay) in [(0.0, 1_000), (0.5, 1_500), (1.0, 2_000)] {
        let mut tab = Tab::new();
        tab.jitter = jitter;
        tab.handle(Input::RequestFailed);
        tab.handle(Input::CheckFailed);
        assert_eq!(tab.next_check_in(), delay);
    }
}

#[test]
fn failed_check_keeps_requests_waiting() {
    let mut tab = Tab::new();
    tab.handle(Input::RequestFailed);
    assert_eq!(tab.handle(Input::CheckFailed), []);
    assert_eq!(tab.machine.request_gate(), RequestGate::Closed);
    assert_eq!(tab.handle(Input::WentOffline), []);
}

#[test]
fn waiting_request_shortens_the_retry_delay() {
    let mut tab = Tab::unreachable();
    assert_eq!(tab.handle(Input::RequestWaiting), [Effect::Check]);
    assert!(tab.finish_check_live().contains(&Effect::ReleaseRequests));
    assert_eq!(tab.machine.request_gate(), RequestGate::Open);
}

#[test]
fn offline_request_waits_for_the_network() {
    let mut tab = Tab::new();
    tab.handle(Input::WentOffline);
    assert_eq!(tab.status(), unreachable_status(false));
    assert_eq!(tab.machine.request_gate(), RequestGate::Closed);
    assert_eq!(tab.handle(Input::RequestWaiting), []);
    assert_eq!(tab.handle(Input::CameOnline), [Effect::Check]);
    assert_eq!(tab.machine.request_gate(), RequestGate::Closed);
    assert!(tab.finish_check_live().contains(&Effect::ReleaseRequests));
}

#[test]
fn offline_tab_checks_once_at_the_expiry() {
    let mut tab = Tab::new();
    tab.handle(Input::WentOffline);
    assert_eq!(tab.advance(IDLE + EXPIRY_CHECK_DELAY), [Effect::Check]);
    tab.handle(Input::CheckFailed);
    assert_eq!(tab.status(), unreachable_status(true));
    assert_eq!(tab.advance(24 * HOUR), []);
    assert_eq!(tab.handle(Input::CameOnline), [Effect::Check]);
    tab.finish_check_live();
    assert_eq!(tab.status(), MonitorStatus::Live);
}

#[test]
fn successful_check_overrides_the_offline_state() {
    for report_live in [
        |tab: &mut Tab| {
            tab.handle(Input::BecameVisible);
            tab.finish_check_live()
        },
        |tab: &mut Tab| tab.handle(Input::OtherTabLive(tab.active_times())),
    ] {
        let mut tab = Tab::new();
        tab.handle(Input::WentOffline);
        report_live(&mut tab);
        assert_eq!(tab.status(), MonitorStatus::Live);
        tab.handle(Input::RequestFailed);
        tab.handle(Input::CheckFailed);
        assert_eq!(tab.next_check_in(), INITIAL_BACKOFF);
        assert_eq!(tab.handle(Input::RequestWaiting), [Effect::Check]);
    }
}

#[test]
fn hidden_tab_stops_retrying_until_visible() {
    let mut tab = Tab::unreachable();
    tab.handle(Input::BecameHidden);
    assert_eq!(tab.next_check_in(), IDLE + EXPIRY_CHECK_DELAY);
    assert_eq!(tab.advance(IDLE + EXPIRY_CHECK_DELAY), [Effect::Check]);
    tab.handle(Input::CheckFailed);
    assert_eq!(tab.status(), unreachable_status(true));
    assert_eq!(tab.advance(24 * HOUR), []);
    // A waiting request starts a check all the same.
    assert_eq!(tab.handle(Input::RequestWaiting), [Effect::Check]);
    tab.handle(Input::CheckFailed);
    assert_eq!(tab.handle(Input::BecameVisible), [Effect::Check]);
}

#[test]
fn results_of_other_tabs_count_as_checks() {
    let mut tab = Tab::new();
    tab.advance(50 * SECOND);
    let times = tab.active_times();
    assert_eq!(tab.handle(Input::OtherTabLive(times)), [Effect::ReleaseRequests]);
    assert_eq!(tab.next_check_in(), MINUTE);
    tab.handle(Input::RequestFailed);
    tab.handle(Input::OtherTabLive(times));
    assert_eq!(tab.status(), MonitorStatus::Live);
    assert_eq!(tab.machine.request_gate(), RequestGate::Open);
}

#[test]
fn user_activity_extends_and_delays_no_check() {
    let mut tab = Tab::new();
    tab.advance(40 * SECOND);
    let moved = tab.active_times();
    assert_eq!(tab.handle(Input::UserActed), [Effect::AnnounceLive(moved)]);
    assert_eq!(tab.machine.times, moved);
    assert_eq!(tab.next_check_in(), 20 * SECOND);
    // The check at the old expiry time finds the new one.
    tab.handle(Input::BecameHidden);
    assert_eq!(tab.next_check_in(), IDLE + EXPIRY_CHECK_DELAY);
}

#[test]
fn events_do_not_delay_a_recheck() {
    for input in [
        Input::UserActed,
        Input::BecameHidden,
        Input::StreamOpened,
        Input::StreamLost { is_own: true },
        Input::BecameFollower,
    ] {
        let mut tab = Tab::new();
        tab.handle(Input::BecameVisible);
        tab.handle(UNKNOWN);
        tab.handle(input);
        assert_eq!(tab.next_check_in(), UNKNOWN_RETRY_DELAYS[0], "{input:?}");
    }
}
