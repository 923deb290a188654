//! When the server is asked, and what holds until it has answered.

use super::*;

#[test]
fn a_fresh_page_is_live_and_lets_requests_go() {
    let tab = Tab::new();
    assert_eq!(tab.standing(), Standing::Live);
    assert_eq!(tab.machine.gate(), Gate::Go);
    assert_eq!(tab.warning(), None);
}

#[test]
fn a_page_that_opens_without_a_network_is_unreachable_and_asks_at_its_end() {
    let mut tab = Tab::of(Machine::new(TIMES, true, false, 0));
    assert_eq!(tab.standing(), unreachable(false));
    assert_eq!(tab.passes(IDLE + AFTER_END - 1), []);
    assert_eq!(tab.passes(1), [Effect::Check]);
}

#[test]
fn whatever_makes_a_tab_unsure_asks_and_has_requests_wait() {
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
fn a_check_of_every_minute_keeps_nobody_waiting() {
    let mut tab = Tab::new();
    assert_eq!(tab.passes(CHECK_EVERY), [Effect::Check]);
    assert_eq!(tab.standing(), Standing::Live);
    assert_eq!(tab.machine.gate(), Gate::Go);
}

#[test]
fn whoever_asks_while_a_check_is_under_way_waits_for_its_answer() {
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
fn without_a_stream_it_asks_every_minute_and_with_one_every_five() {
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
fn nobody_who_looks_means_no_check_but_at_the_end() {
    let mut tab = Tab::new();
    tab.does(Event::BecameHidden);
    assert_eq!(tab.passes(IDLE + AFTER_END - 1), []);
    assert_eq!(tab.passes(1), [Effect::Check]);
    assert_eq!(tab.standing(), Standing::Unsure);
    tab.is_checked();
    assert_eq!(tab.checks_in(), IDLE + AFTER_END);
}

#[test]
fn a_hidden_tab_is_told_of_changes_without_asking() {
    let mut tab = Tab::hidden();
    assert_eq!(tab.does(Event::ToldUpdated), []);
    assert_eq!(tab.does(Event::BecameVisible), [Effect::Check]);
}

#[test]
fn a_change_that_comes_while_a_check_is_under_way_is_asked_about_once_more() {
    let mut tab = Tab::new();
    assert_eq!(tab.does(Event::ToldUpdated), [Effect::Check]);
    assert_eq!(tab.standing(), Standing::Live);
    assert_eq!(tab.does(Event::ToldUpdated), []);
    assert_eq!(tab.is_checked(), [Effect::Check]);
    assert!(tab.is_checked().contains(&Effect::Decide));
}

#[test]
fn what_was_asked_before_a_tab_was_hidden_is_asked_again_when_it_is_seen() {
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
fn what_was_asked_without_a_network_is_asked_again_with_one() {
    let mut tab = Tab::new();
    tab.does(Event::WentOffline);
    assert_eq!(tab.does(Event::BecameVisible), [Effect::Check]);
    assert_eq!(tab.does(Event::CameOnline), []);
    assert_eq!(tab.does(Event::CheckFailed), [Effect::Check]);
}

#[test]
fn someone_who_signs_in_while_a_check_is_under_way_has_it_asked_again() {
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
fn a_failure_never_signs_out() {
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
fn pauses_double_up_to_five_minutes_and_begin_anew_after_an_answer() {
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
fn no_pause_grows_without_end() {
    for times in [8, 16, 17, 63, 64, u32::MAX] {
        assert_eq!(doubled(FIRST_PAUSE, times), LONGEST_PAUSE);
    }
}

#[test]
fn luck_makes_a_pause_half_as_long_at_the_most() {
    for (luck, pause) in [(0.0, 1_000), (0.5, 1_500), (1.0, 2_000)] {
        let mut tab = Tab::new();
        tab.luck = luck;
        tab.does(Event::RequestFailed);
        tab.does(Event::CheckFailed);
        assert_eq!(tab.checks_in(), pause);
    }
}

#[test]
fn a_check_that_failed_leaves_requests_waiting_and_lets_none_look_again() {
    let mut tab = Tab::new();
    tab.does(Event::RequestFailed);
    assert_eq!(tab.does(Event::CheckFailed), []);
    assert_eq!(tab.machine.gate(), Gate::Wait);
    assert_eq!(tab.does(Event::WentOffline), []);
}

#[test]
fn a_request_that_waits_has_the_server_asked_before_the_pause_is_over() {
    let mut tab = Tab::unreachable();
    assert_eq!(tab.does(Event::RequestWaits), [Effect::Check]);
    assert!(tab.is_checked().contains(&Effect::Decide));
    assert_eq!(tab.machine.gate(), Gate::Go);
}

#[test]
fn a_request_without_a_network_waits_for_one() {
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
fn without_a_network_it_asks_no_more_than_once_at_the_end() {
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
fn a_browser_that_is_wrong_about_its_network_is_believed_no_more_after_an_answer() {
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
fn a_tab_that_is_hidden_while_the_portal_is_away_tries_no_more_until_it_is_seen() {
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
fn what_another_tab_was_told_counts_as_a_check() {
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
fn what_the_person_does_moves_the_end_and_puts_no_check_off() {
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
fn a_doubt_is_not_put_off_by_what_happens_meanwhile() {
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
