//! When the server is asked, and what holds until it has answered.

use super::*;

#[test]
fn new_page_is_live_and_allows_requests() {
    let tab = Tab::new();
    assert_eq!(tab.standing(), Standing::Live);
    assert_eq!(tab.machine.gate(), Gate::Go);
    assert_eq!(tab.warning(), None);
}

#[test]
fn page_opened_offline_checks_at_its_expiry() {
    let mut tab = Tab::of(Machine::new(TIMES, true, false, 0));
    assert_eq!(tab.standing(), unreachable(false));
    assert_eq!(tab.passes(IDLE + AFTER_END - 1), []);
    assert_eq!(tab.passes(1), [Effect::Check]);
}

#[test]
fn uncertainty_starts_a_check_and_holds_requests() {
    for event in [
        Event::BecameVisible,
        Event::CameOnline,
        Event::HeardOther,
        Event::RequestFailed,
    ] {
        let mut tab = Tab::new();
        assert_eq!(tab.does(event), [Effect::Check], "{event:?}");
        assert_eq!(tab.standing(), Standing::Unsure, "{event:?}");
        assert_eq!(tab.machine.gate(), Gate::Wait, "{event:?}");
        let answers = tab.is_checked();
        assert_eq!(
            answers,
            [Effect::TellLive(tab.times()), Effect::Decide],
            "{event:?}"
        );
        assert_eq!(tab.standing(), Standing::Live, "{event:?}");
        assert_eq!(tab.machine.gate(), Gate::Go, "{event:?}");
    }
}

#[test]
fn periodic_check_holds_no_request() {
    let mut tab = Tab::new();
    assert_eq!(tab.passes(CHECK_EVERY), [Effect::Check]);
    assert_eq!(tab.standing(), Standing::Live);
    assert_eq!(tab.machine.gate(), Gate::Go);
}

#[test]
fn requests_during_a_check_wait_for_it() {
    let mut tab = Tab::new();
    assert_eq!(tab.does(Event::BecameVisible), [Effect::Check]);
    for event in [
        Event::BecameVisible,
        Event::CameOnline,
        Event::RequestRefused,
        Event::RequestFailed,
        Event::RequestWaits,
        Event::Woke,
    ] {
        assert_eq!(tab.does(event), [], "{event:?}");
    }
    assert!(!tab.is_checked().contains(&Effect::Check));
}

#[test]
fn checks_are_rarer_with_an_open_stream() {
    let mut tab = Tab::new();
    assert_eq!(tab.checks_in(), MINUTE);
    tab.does(Event::StreamOpened);
    assert_eq!(tab.checks_in(), 5 * MINUTE);
    assert_eq!(tab.passes(5 * MINUTE - 1), []);
    assert_eq!(tab.passes(1), [Effect::Check]);
    tab.is_checked();
    assert_eq!(tab.checks_in(), 5 * MINUTE);
    tab.does(Event::StreamLost { own: false });
    tab.passes(AFTER_BREAK);
    tab.is_checked();
    assert_eq!(tab.checks_in(), MINUTE);
}

#[test]
fn hidden_tab_checks_only_at_the_expiry() {
    let mut tab = Tab::new();
    tab.does(Event::BecameHidden);
    assert_eq!(tab.passes(IDLE + AFTER_END - 1), []);
    assert_eq!(tab.passes(1), [Effect::Check]);
    assert_eq!(tab.standing(), Standing::Unsure);
    tab.is_checked();
    assert_eq!(tab.checks_in(), IDLE + AFTER_END);
}

#[test]
fn hidden_tab_receives_changes_without_a_check() {
    let mut tab = Tab::hidden();
    assert_eq!(tab.does(Event::ToldUpdated), []);
    assert_eq!(tab.does(Event::BecameVisible), [Effect::Check]);
}

#[test]
fn change_during_a_check_repeats_the_check() {
    let mut tab = Tab::new();
    assert_eq!(tab.does(Event::ToldUpdated), [Effect::Check]);
    assert_eq!(tab.standing(), Standing::Live);
    assert_eq!(tab.does(Event::ToldUpdated), []);
    assert_eq!(tab.is_checked(), [Effect::Check]);
    assert!(tab.is_checked().contains(&Effect::Decide));
}

#[test]
fn check_before_hiding_repeats_when_visible() {
    let mut tab = Tab::new();
    tab.does(Event::RequestFailed);
    tab.does(Event::BecameHidden);
    assert_eq!(tab.does(Event::BecameVisible), []);
    // The browser may say it twice.
    assert_eq!(tab.does(Event::BecameVisible), []);
    assert_eq!(tab.does(UNKNOWN), [Effect::Check]);
    assert_eq!(tab.standing(), Standing::Unsure);
    assert!(!tab.is_checked().contains(&Effect::Check));
    assert_eq!(tab.standing(), Standing::Live);
}

#[test]
fn offline_check_repeats_when_online() {
    let mut tab = Tab::new();
    tab.does(Event::WentOffline);
    assert_eq!(tab.does(Event::BecameVisible), [Effect::Check]);
    assert_eq!(tab.does(Event::CameOnline), []);
    assert_eq!(tab.does(Event::CheckFailed), [Effect::Check]);
}

#[test]
fn sign_in_during_a_check_repeats_the_check() {
    for first in [UNKNOWN, REVOKED, Event::CheckFailed] {
        let mut tab = Tab::new();
        tab.does(Event::BecameVisible);
        assert_eq!(tab.does(Event::HeardOther), []);
        assert_eq!(tab.does(first), [Effect::Check], "{first:?}");
        assert_eq!(tab.standing(), Standing::Unsure, "{first:?}");
        assert!(!tab.is_checked().contains(&Effect::Check), "{first:?}");
        assert_eq!(tab.standing(), Standing::Live, "{first:?}");
    }
}

#[test]
fn failures_never_sign_out() {
    let mut tab = Tab::unreachable();
    assert_eq!(tab.standing(), unreachable(false));
    for _ in 0..200 {
        tab.passes(LONGEST_PAUSE);
        tab.does(Event::CheckFailed);
    }
    assert_eq!(tab.standing(), unreachable(true));
    tab.passes(LONGEST_PAUSE);
    tab.is_checked();
    assert_eq!(tab.standing(), Standing::Live);
}

#[test]
fn retry_delay_doubles_and_resets_after_success() {
    let mut tab = Tab::with(Times {
        idle_end: 8 * HOUR,
        ..TIMES
    });
    tab.does(Event::RequestFailed);
    let pauses = |tab: &mut Tab, times: usize| -> Vec<Millis> {
        let pause = |_| {
            tab.does(Event::CheckFailed);
            let pause = tab.checks_in();
            assert_eq!(tab.passes(pause), [Effect::Check]);
            pause / SECOND
        };
        (0..times).map(pause).collect()
    };
    assert_eq!(pauses(&mut tab, 10), [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    tab.is_checked();
    tab.does(Event::RequestFailed);
    assert_eq!(pauses(&mut tab, 2), [2, 4]);
    // An answer, if not a good one.
    tab.does(UNKNOWN);
    assert_eq!(tab.passes(AFTER_UNKNOWN[0]), [Effect::Check]);
    assert_eq!(pauses(&mut tab, 2), [2, 4]);
    // What another tab was told.
    tab.does(Event::HeardLive(tab.times()));
    tab.does(Event::RequestFailed);
    assert_eq!(pauses(&mut tab, 2), [2, 4]);
}

#[test]
fn retry_delay_is_bounded() {
    for times in [8, 16, 17, 63, 64, u32::MAX] {
        assert_eq!(doubled(FIRST_PAUSE, times), LONGEST_PAUSE);
    }
}

#[test]
fn jitter_at_most_halves_a_delay() {
    for (luck, pause) in [(0.0, 1_000), (0.5, 1_500), (1.0, 2_000)] {
        let mut tab = Tab::new();
        tab.luck = luck;
        tab.does(Event::RequestFailed);
        tab.does(Event::CheckFailed);
        assert_eq!(tab.checks_in(), pause);
    }
}

#[test]
fn failed_check_keeps_requests_waiting() {
    let mut tab = Tab::new();
    tab.does(Event::RequestFailed);
    assert_eq!(tab.does(Event::CheckFailed), []);
    assert_eq!(tab.machine.gate(), Gate::Wait);
    assert_eq!(tab.does(Event::WentOffline), []);
}

#[test]
fn waiting_request_shortens_the_retry_delay() {
    let mut tab = Tab::unreachable();
    assert_eq!(tab.does(Event::RequestWaits), [Effect::Check]);
    assert!(tab.is_checked().contains(&Effect::Decide));
    assert_eq!(tab.machine.gate(), Gate::Go);
}

#[test]
fn offline_request_waits_for_the_network() {
    let mut tab = Tab::new();
    tab.does(Event::WentOffline);
    assert_eq!(tab.standing(), unreachable(false));
    assert_eq!(tab.machine.gate(), Gate::Wait);
    assert_eq!(tab.does(Event::RequestWaits), []);
    assert_eq!(tab.does(Event::CameOnline), [Effect::Check]);
    assert_eq!(tab.machine.gate(), Gate::Wait);
    assert!(tab.is_checked().contains(&Effect::Decide));
}

#[test]
fn offline_tab_checks_once_at_the_expiry() {
    let mut tab = Tab::new();
    tab.does(Event::WentOffline);
    assert_eq!(tab.passes(IDLE + AFTER_END), [Effect::Check]);
    tab.does(Event::CheckFailed);
    assert_eq!(tab.standing(), unreachable(true));
    assert_eq!(tab.passes(24 * HOUR), []);
    assert_eq!(tab.does(Event::CameOnline), [Effect::Check]);
    tab.is_checked();
    assert_eq!(tab.standing(), Standing::Live);
}

#[test]
fn successful_check_overrides_the_offline_state() {
    for answers in [
        |tab: &mut Tab| {
            tab.does(Event::BecameVisible);
            tab.is_checked()
        },
        |tab: &mut Tab| tab.does(Event::HeardLive(tab.times())),
    ] {
        let mut tab = Tab::new();
        tab.does(Event::WentOffline);
        answers(&mut tab);
        assert_eq!(tab.standing(), Standing::Live);
        tab.does(Event::RequestFailed);
        tab.does(Event::CheckFailed);
        assert_eq!(tab.checks_in(), FIRST_PAUSE);
        assert_eq!(tab.does(Event::RequestWaits), [Effect::Check]);
    }
}

#[test]
fn hidden_tab_stops_retrying_until_visible() {
    let mut tab = Tab::unreachable();
    tab.does(Event::BecameHidden);
    assert_eq!(tab.checks_in(), IDLE + AFTER_END);
    assert_eq!(tab.passes(IDLE + AFTER_END), [Effect::Check]);
    tab.does(Event::CheckFailed);
    assert_eq!(tab.standing(), unreachable(true));
    assert_eq!(tab.passes(24 * HOUR), []);
    // What a request waits for is asked all the same.
    assert_eq!(tab.does(Event::RequestWaits), [Effect::Check]);
    tab.does(Event::CheckFailed);
    assert_eq!(tab.does(Event::BecameVisible), [Effect::Check]);
}

#[test]
fn results_of_other_tabs_count_as_checks() {
    let mut tab = Tab::new();
    tab.passes(50 * SECOND);
    let times = tab.times();
    assert_eq!(tab.does(Event::HeardLive(times)), [Effect::Decide]);
    assert_eq!(tab.checks_in(), MINUTE);
    tab.does(Event::RequestFailed);
    tab.does(Event::HeardLive(times));
    assert_eq!(tab.standing(), Standing::Live);
    assert_eq!(tab.machine.gate(), Gate::Go);
}

#[test]
fn user_activity_extends_and_delays_no_check() {
    let mut tab = Tab::new();
    tab.passes(40 * SECOND);
    let moved = tab.times();
    assert_eq!(tab.does(Event::Acted), [Effect::TellLive(moved)]);
    assert_eq!(tab.machine.times, moved);
    assert_eq!(tab.checks_in(), 20 * SECOND);
    // Nobody looks: the check at the end goes by the new one when it has asked at the old.
    tab.does(Event::BecameHidden);
    assert_eq!(tab.checks_in(), IDLE + AFTER_END);
}

#[test]
fn events_do_not_delay_a_recheck() {
    for event in [
        Event::Acted,
        Event::BecameHidden,
        Event::StreamOpened,
        Event::StreamLost { own: true },
        Event::Follows,
    ] {
        let mut tab = Tab::new();
        tab.does(Event::BecameVisible);
        tab.does(UNKNOWN);
        tab.does(event);
        assert_eq!(tab.checks_in(), AFTER_UNKNOWN[0], "{event:?}");
    }
}
