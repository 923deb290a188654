//! One stream a browser, in the tab that leads.

use super::*;

#[test]
fn only_the_leading_tab_opens_a_stream() {
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
fn former_leader_checks_like_a_follower() {
    let mut tab = Tab::leading();
    assert_eq!(tab.checks_in(), 5 * MINUTE);
    tab.does(Event::Follows);
    assert_eq!(tab.checks_in(), MINUTE);
}

#[test]
fn unreachable_portal_delays_the_stream() {
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
fn opened_stream_starts_a_check_when_unreachable() {
    let mut tab = Tab::unreachable();
    assert_eq!(tab.does(Event::StreamOpened), [Effect::Check]);
    assert_eq!(tab.standing(), unreachable(false));
}

#[test]
fn lost_stream_is_reopened_after_a_check() {
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
fn stream_closed_by_the_end_stays_closed() {
    let mut tab = Tab::leading();
    tab.passes(LASTS);
    tab.does(Event::StreamLost { own: true });
    tab.passes(AFTER_BREAK);
    let over = [Effect::Decide, Effect::TellEnded(EndReason::Revoked)];
    assert_eq!(tab.does(REVOKED), over);
}

#[test]
fn hidden_leader_reopens_its_stream() {
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
fn hidden_follower_does_not_check_after_disconnect() {
    let mut tab = Tab::hidden();
    tab.does(Event::StreamOpened);
    tab.does(Event::StreamLost { own: false });
    assert_eq!(tab.checks_in(), IDLE + AFTER_END);
}

#[test]
fn visible_follower_checks_when_the_stream_is_lost() {
    let mut tab = Tab::new();
    tab.does(Event::StreamOpened);
    assert_eq!(tab.does(Event::StreamLost { own: false }), []);
    assert_eq!(tab.passes(AFTER_BREAK), [Effect::Check]);
    assert!(!tab.is_checked().contains(&Effect::OpenStream));
    assert_eq!(tab.checks_in(), MINUTE);
}

#[test]
fn repeated_disconnect_does_not_delay_the_check() {
    let mut tab = Tab::new();
    tab.does(Event::StreamLost { own: false });
    tab.now += AFTER_BREAK / 2;
    tab.does(Event::StreamLost { own: false });
    assert_eq!(tab.checks_in(), AFTER_BREAK / 2);
}

#[test]
fn tabs_spread_checks_when_the_server_stops() {
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
fn short_streams_are_reopened_with_backoff() {
    let mut tab = Tab::leading();
    let pauses: Vec<_> = (0..12).map(|_| broken(&mut tab, LASTS - 1)).collect();
    let longer = [800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 204_800];
    assert_eq!(pauses[..9], longer);
    assert_eq!(pauses[9..], [LONGEST_PAUSE; 3]);
    assert_eq!(broken(&mut tab, LASTS), AFTER_BREAK);
    assert_eq!(broken(&mut tab, 0), 2 * AFTER_BREAK);
}

#[test]
fn jitter_at_most_halves_the_stream_delay() {
    for (luck, pause) in [(0.0, 400), (0.5, 600), (1.0, 800)] {
        let mut tab = Tab::leading();
        tab.luck = luck;
        tab.does(Event::StreamLost { own: true });
        assert_eq!(tab.machine.opens_at - tab.now, pause);
    }
}

#[test]
fn failed_opening_never_counts_as_long_stream() {
    // Another tab's, and then this one's.
    let mut tab = Tab::new();
    tab.does(Event::StreamOpened);
    tab.passes(LASTS);
    tab.does(Event::Leads);
    tab.does(Event::StreamLost { own: true });
    assert_eq!(tab.machine.opens_at - tab.now, 2 * AFTER_BREAK);
}

#[test]
fn check_does_not_reopen_a_stream_early() {
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
fn constant_activity_does_not_prevent_reopening() {
    let mut tab = Tab::leading();
    tab.passes(LASTS);
    tab.does(Event::StreamLost { own: true });
    tab.does(Event::Acted);
    assert_eq!(tab.passes(AFTER_BREAK), [Effect::Check]);
    assert!(tab.is_checked().contains(&Effect::OpenStream));
}

#[test]
fn stream_reopens_with_the_first_successful_check() {
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
fn heartbeats_keep_a_silent_stream_open() {
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
fn silent_stream_is_reopened_after_a_check() {
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
fn unanswered_stream_times_out() {
    let mut tab = Tab::new();
    assert_eq!(tab.does(Event::Leads), [Effect::OpenStream]);
    let lost = tab.passes(SILENCE);
    assert_eq!(lost, [Effect::CloseStream, Effect::TellStreamLost]);
}

#[test]
fn streams_without_heartbeats_are_reopened_with_backoff() {
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
fn visible_follower_checks_a_silent_leader() {
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
fn new_leader_has_no_stream_until_opened() {
    let mut tab = Tab::new();
    tab.does(Event::StreamOpened);
    assert_eq!(tab.checks_in(), 5 * MINUTE);
    assert_eq!(tab.does(Event::Leads), [Effect::OpenStream]);
    assert_eq!(tab.checks_in(), MINUTE);
    tab.does(Event::StreamOpened);
    assert_eq!(tab.checks_in(), 5 * MINUTE);
}
