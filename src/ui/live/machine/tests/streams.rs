//! One stream a browser, in the tab that leads.

use super::*;

#[test]
fn the_tab_that_leads_opens_the_stream_and_no_other_does() {
    let mut tab = Tab::new();
    assert_eq!(tab.does(Event::HeardLive(TIMES)), [Effect::Decide]);
    assert_eq!(tab.does(Event::Leads), [Effect::OpenStream]);
    assert_eq!(tab.does(Event::Leads), []);
    assert_eq!(tab.does(Event::Follows), [Effect::CloseStream]);
    assert_eq!(tab.does(Event::Follows), []);
    tab.does(Event::BecameVisible);
    assert!(!tab.is_checked().contains(&Effect::OpenStream));
}

#[test]
fn a_tab_that_leads_no_more_asks_as_one_without_a_stream() {
    let mut tab = Tab::leading();
    assert_eq!(tab.checks_in(), 5 * MINUTE);
    tab.does(Event::Follows);
    assert_eq!(tab.checks_in(), MINUTE);
}

#[test]
fn a_tab_that_cannot_reach_the_portal_opens_no_stream_until_it_can() {
    for mut tab in [Tab::unreachable(), Tab::ended()] {
        assert_eq!(tab.does(Event::Leads), []);
        tab.does(Event::HeardOther);
        assert!(tab.is_checked().contains(&Effect::OpenStream));
    }
    let mut tab = Tab::unreachable();
    tab.does(Event::Leads);
    assert!(tab.does(Event::HeardLive(TIMES)).contains(&Effect::OpenStream));
}

#[test]
fn a_stream_that_opens_while_the_portal_seems_away_has_it_asked() {
    let mut tab = Tab::unreachable();
    assert_eq!(tab.does(Event::StreamOpened), [Effect::Check]);
    assert_eq!(tab.standing(), unreachable(false));
}

#[test]
fn a_lost_stream_is_reopened_after_a_check() {
    let mut tab = Tab::leading();
    tab.passes(LASTS);
    assert_eq!(tab.does(Event::StreamLost { own: true }), []);
    assert_eq!(tab.standing(), Standing::Live);
    assert_eq!(tab.passes(AFTER_BREAK - 1), []);
    assert_eq!(tab.passes(1), [Effect::Check]);
    let reopened = [Effect::TellLive(tab.times()), Effect::OpenStream, Effect::Decide];
    assert_eq!(tab.is_checked(), reopened);
}

#[test]
fn a_stream_that_the_end_broke_off_is_not_reopened() {
    let mut tab = Tab::leading();
    tab.passes(LASTS);
    tab.does(Event::StreamLost { own: true });
    tab.passes(AFTER_BREAK);
    let over = [Effect::Decide, Effect::TellEnded(EndReason::Revoked)];
    assert_eq!(tab.does(REVOKED), over);
}

#[test]
fn hidden_too_the_tab_that_leads_gets_its_stream_back() {
    for hides_first in [true, false] {
        let mut tab = Tab::leading();
        tab.passes(LASTS);
        if hides_first {
            tab.does(Event::BecameHidden);
        }
        tab.does(Event::StreamLost { own: true });
        if !hides_first {
            tab.does(Event::BecameHidden);
        }
        assert_eq!(tab.passes(AFTER_BREAK), [Effect::Check]);
        assert!(tab.is_checked().contains(&Effect::OpenStream));
    }
}

#[test]
fn a_hidden_tab_that_follows_does_not_ask_after_a_break() {
    let mut tab = Tab::hidden();
    tab.does(Event::StreamOpened);
    tab.does(Event::StreamLost { own: false });
    assert_eq!(tab.checks_in(), IDLE + AFTER_END);
}

#[test]
fn a_tab_in_front_asks_when_the_leading_tab_lost_its_stream() {
    let mut tab = Tab::new();
    tab.does(Event::StreamOpened);
    assert_eq!(tab.does(Event::StreamLost { own: false }), []);
    assert_eq!(tab.passes(AFTER_BREAK), [Effect::Check]);
    assert!(!tab.is_checked().contains(&Effect::OpenStream));
    assert_eq!(tab.checks_in(), MINUTE);
}

#[test]
fn another_break_does_not_put_the_check_off() {
    let mut tab = Tab::new();
    tab.does(Event::StreamLost { own: false });
    tab.now += AFTER_BREAK / 2;
    tab.does(Event::StreamLost { own: false });
    assert_eq!(tab.checks_in(), AFTER_BREAK / 2);
}

#[test]
fn a_server_that_stops_is_not_asked_by_all_tabs_at_once() {
    for (luck, pause) in [(0.0, 0), (0.5, 200), (1.0, 400)] {
        let mut tab = Tab::leading();
        tab.passes(LASTS);
        tab.luck = luck;
        tab.does(Event::StreamLost { own: true });
        assert_eq!(tab.checks_in(), pause);
        assert_eq!(tab.machine.opens_at - tab.now, pause);
    }
}

/// How long the next stream is put off by one that broke after so long.
fn broken(tab: &mut Tab, after: Millis) -> Millis {
    tab.does(Event::StreamOpened);
    tab.now += after;
    tab.does(Event::StreamLost { own: true });
    let pause = tab.machine.opens_at - tab.now;
    let mut opened = false;
    for _ in 0..10 {
        if opened {
            break;
        }
        tab.passes(tab.checks_in());
        opened = tab.is_checked().contains(&Effect::OpenStream);
    }
    assert!(opened, "it opens no more");
    pause
}

#[test]
fn streams_that_do_not_last_are_opened_ever_later() {
    let mut tab = Tab::leading();
    let pauses: Vec<_> = (0..12).map(|_| broken(&mut tab, LASTS - 1)).collect();
    let longer = [800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 204_800];
    assert_eq!(pauses[..9], longer);
    assert_eq!(pauses[9..], [LONGEST_PAUSE; 3]);
    assert_eq!(broken(&mut tab, LASTS), AFTER_BREAK);
    assert_eq!(broken(&mut tab, 0), 2 * AFTER_BREAK);
}

#[test]
fn luck_makes_the_pause_after_broken_streams_half_as_long_at_the_most() {
    for (luck, pause) in [(0.0, 400), (0.5, 600), (1.0, 800)] {
        let mut tab = Tab::leading();
        tab.luck = luck;
        tab.does(Event::StreamLost { own: true });
        assert_eq!(tab.machine.opens_at - tab.now, pause);
    }
}

#[test]
fn a_stream_that_never_opened_has_not_lasted_however_long_the_last_one_did() {
    // Another tab's, and then this one's.
    let mut tab = Tab::new();
    tab.does(Event::StreamOpened);
    tab.passes(LASTS);
    tab.does(Event::Leads);
    tab.does(Event::StreamLost { own: true });
    assert_eq!(tab.machine.opens_at - tab.now, 2 * AFTER_BREAK);
}

#[test]
fn a_stream_is_not_opened_too_early_by_whoever_asks() {
    let mut tab = Tab::leading();
    tab.does(Event::StreamLost { own: true });
    assert_eq!(tab.does(Event::Leads), []);
    tab.does(Event::BecameVisible);
    assert!(!tab.is_checked().contains(&Effect::OpenStream));
    assert_eq!(tab.checks_in(), 2 * AFTER_BREAK);
    tab.does(Event::HeardLive(tab.times()));
    assert_eq!(tab.checks_in(), 2 * AFTER_BREAK);
    tab.does(Event::BecameHidden);
    assert_eq!(tab.checks_in(), 2 * AFTER_BREAK);
    tab.passes(2 * AFTER_BREAK);
    assert!(tab.is_checked().contains(&Effect::OpenStream));
}

#[test]
fn a_person_who_is_always_busy_gets_the_stream_back() {
    let mut tab = Tab::leading();
    tab.passes(LASTS);
    tab.does(Event::StreamLost { own: true });
    tab.does(Event::Acted);
    assert_eq!(tab.passes(AFTER_BREAK), [Effect::Check]);
    assert!(tab.is_checked().contains(&Effect::OpenStream));
}

#[test]
fn a_stream_that_broke_while_the_portal_was_away_is_opened_with_the_first_answer() {
    let mut tab = Tab::leading();
    tab.passes(LASTS);
    tab.does(Event::WentOffline);
    tab.does(Event::StreamLost { own: true });
    assert_eq!(tab.passes(MINUTE), []);
    tab.does(Event::CameOnline);
    assert!(tab.is_checked().contains(&Effect::OpenStream));
}

/// A tab whose stream beats no more.
fn silent(mut tab: Tab) -> Tab {
    tab.beats = false;
    tab
}

#[test]
fn a_stream_that_beats_is_not_lost_for_all_its_silence() {
    let mut tab = silent(Tab::leading());
    for _ in 0..7 {
        assert_eq!(tab.passes(SILENCE - 1), []);
        assert_eq!(tab.does(Event::StreamBeats), []);
    }
    assert_eq!(
        tab.passes(SILENCE - 1),
        [Effect::Check],
        "the one after five minutes"
    );
}

#[test]
fn a_stream_that_falls_silent_is_closed_and_reopened_after_a_check() {
    for hides in [false, true] {
        let mut tab = Tab::leading();
        tab.passes(MINUTE);
        if hides {
            tab.does(Event::BecameHidden);
        }
        let mut tab = silent(tab);
        tab.does(Event::StreamBeats);
        assert_eq!(tab.passes(SILENCE - 1), []);
        assert_eq!(tab.passes(1), [Effect::CloseStream, Effect::TellStreamLost]);
        assert_eq!(tab.standing(), Standing::Live, "nobody is signed out for that");
        assert_eq!(tab.passes(AFTER_BREAK), [Effect::Check]);
        assert!(tab.is_checked().contains(&Effect::OpenStream));
    }
}

#[test]
fn a_stream_that_never_answers_is_given_up_after_the_same_time() {
    let mut tab = Tab::new();
    assert_eq!(tab.does(Event::Leads), [Effect::OpenStream]);
    let lost = tab.passes(SILENCE);
    assert_eq!(lost, [Effect::CloseStream, Effect::TellStreamLost]);
}

#[test]
fn streams_that_never_beat_are_opened_ever_later() {
    let mut tab = silent(Tab::leading());
    let mut pauses = Vec::new();
    for _ in 0..5 {
        tab.passes(SILENCE);
        pauses.push(tab.machine.opens_at - tab.now);
        let mut opened = false;
        while !opened {
            tab.passes(tab.checks_in());
            opened = tab.is_checked().contains(&Effect::OpenStream);
        }
        tab.does(Event::StreamOpened);
    }
    assert_eq!(pauses, [800, 1_600, 3_200, 6_400, 12_800]);
}

#[test]
fn a_tab_in_front_that_hears_nothing_of_the_leading_tab_asks_for_it_and_the_server() {
    let mut tab = silent(Tab::new());
    tab.does(Event::StreamOpened);
    assert_eq!(tab.passes(SILENCE), [Effect::AskForLeader]);
    assert_eq!(tab.passes(AFTER_BREAK), [Effect::Check]);
    tab.is_checked();
    assert_eq!(tab.checks_in(), MINUTE, "as without a stream");

    let mut tab = silent(Tab::hidden());
    tab.does(Event::StreamOpened);
    assert_eq!(tab.passes(10 * MINUTE), [], "nobody looks");
}

#[test]
fn a_tab_that_gets_the_lead_has_no_stream_until_its_own_opens() {
    let mut tab = Tab::new();
    tab.does(Event::StreamOpened);
    assert_eq!(tab.checks_in(), 5 * MINUTE);
    assert_eq!(tab.does(Event::Leads), [Effect::OpenStream]);
    assert_eq!(tab.checks_in(), MINUTE);
    tab.does(Event::StreamOpened);
    assert_eq!(tab.checks_in(), 5 * MINUTE);
}
