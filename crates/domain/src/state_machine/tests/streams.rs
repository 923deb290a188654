//! One stream per browser, in the leading tab.

use super::*;

#[test]
fn only_the_leading_tab_opens_a_stream() {
    let mut tab = Tab::new();
    assert_eq!(tab.handle(Input::OtherTabLive(TIMES)), [Effect::ReleaseRequests]);
    assert_eq!(tab.handle(Input::BecameLeader), [Effect::OpenStream]);
    assert_eq!(tab.handle(Input::BecameLeader), []);
    assert_eq!(tab.handle(Input::BecameFollower), [Effect::CloseStream]);
    assert_eq!(tab.handle(Input::BecameFollower), []);
    tab.handle(Input::BecameVisible);
    assert!(!tab.finish_check_live().contains(&Effect::OpenStream));
}

#[test]
fn former_leader_checks_like_a_follower() {
    let mut tab = Tab::leading();
    assert_eq!(tab.next_check_in(), 5 * MINUTE);
    tab.handle(Input::BecameFollower);
    assert_eq!(tab.next_check_in(), MINUTE);
}

#[test]
fn unreachable_portal_delays_the_stream() {
    for mut tab in [Tab::unreachable(), Tab::ended()] {
        assert_eq!(tab.handle(Input::BecameLeader), []);
        tab.handle(Input::OtherSessionSeen);
        assert!(tab.finish_check_live().contains(&Effect::OpenStream));
    }
    let mut tab = Tab::unreachable();
    tab.handle(Input::BecameLeader);
    assert!(
        tab.handle(Input::OtherTabLive(TIMES))
            .contains(&Effect::OpenStream)
    );
}

#[test]
fn opened_stream_starts_a_check_when_unreachable() {
    let mut tab = Tab::unreachable();
    assert_eq!(tab.handle(Input::StreamOpened), [Effect::Check]);
    assert_eq!(tab.status(), unreachable_status(false));
}

#[test]
fn lost_stream_is_reopened_after_a_check() {
    let mut tab = Tab::leading();
    tab.advance(STABLE_AFTER);
    assert_eq!(tab.handle(Input::StreamLost { is_own: true }), []);
    assert_eq!(tab.status(), MonitorStatus::Live);
    assert_eq!(tab.advance(RECONNECT_DELAY - 1), []);
    assert_eq!(tab.advance(1), [Effect::Check]);
    let reopened = [
        Effect::AnnounceLive(tab.active_times()),
        Effect::OpenStream,
        Effect::ReleaseRequests,
    ];
    assert_eq!(tab.finish_check_live(), reopened);
}

#[test]
fn stream_closed_by_the_end_stays_closed() {
    let mut tab = Tab::leading();
    tab.advance(STABLE_AFTER);
    tab.handle(Input::StreamLost { is_own: true });
    tab.advance(RECONNECT_DELAY);
    let effects = [Effect::ReleaseRequests, Effect::AnnounceEnded(EndReason::Revoked)];
    assert_eq!(tab.handle(REVOKED), effects);
}

#[test]
fn hidden_leader_reopens_its_stream() {
    for hides_first in [true, false] {
        let mut tab = Tab::leading();
        tab.advance(STABLE_AFTER);
        if hides_first {
            tab.handle(Input::BecameHidden);
        }
        tab.handle(Input::StreamLost { is_own: true });
        if !hides_first {
            tab.handle(Input::BecameHidden);
        }
        assert_eq!(tab.advance(RECONNECT_DELAY), [Effect::Check]);
        assert!(tab.finish_check_live().contains(&Effect::OpenStream));
    }
}

#[test]
fn hidden_follower_does_not_check_after_disconnect() {
    let mut tab = Tab::hidden();
    tab.handle(Input::StreamOpened);
    tab.handle(Input::StreamLost { is_own: false });
    assert_eq!(tab.next_check_in(), IDLE + EXPIRY_CHECK_DELAY);
}

#[test]
fn visible_follower_checks_when_the_stream_is_lost() {
    let mut tab = Tab::new();
    tab.handle(Input::StreamOpened);
    assert_eq!(tab.handle(Input::StreamLost { is_own: false }), []);
    assert_eq!(tab.advance(RECONNECT_DELAY), [Effect::Check]);
    assert!(!tab.finish_check_live().contains(&Effect::OpenStream));
    assert_eq!(tab.next_check_in(), MINUTE);
}

#[test]
fn repeated_disconnect_does_not_delay_the_check() {
    let mut tab = Tab::new();
    tab.handle(Input::StreamLost { is_own: false });
    tab.now += RECONNECT_DELAY / 2;
    tab.handle(Input::StreamLost { is_own: false });
    assert_eq!(tab.next_check_in(), RECONNECT_DELAY / 2);
}

#[test]
fn tabs_spread_checks_when_the_server_stops() {
    for (jitter, delay) in [(0.0, 0), (0.5, 200), (1.0, 400)] {
        let mut tab = Tab::leading();
        tab.advance(STABLE_AFTER);
        tab.jitter = jitter;
        tab.handle(Input::StreamLost { is_own: true });
        assert_eq!(tab.next_check_in(), delay);
        assert_eq!(tab.machine.stream_allowed_at - tab.now, delay);
    }
}

/// Breaks the stream `after` this time, reopens it, and returns the delay before it was reopened.
fn reopen_delay(tab: &mut Tab, after: Millis) -> Millis {
    tab.handle(Input::StreamOpened);
    tab.now += after;
    tab.handle(Input::StreamLost { is_own: true });
    let delay = tab.machine.stream_allowed_at - tab.now;
    let mut opened = false;
    for _ in 0..10 {
        if opened {
            break;
        }
        tab.advance(tab.next_check_in());
        opened = tab.finish_check_live().contains(&Effect::OpenStream);
    }
    assert!(opened, "the stream is not reopened");
    delay
}

#[test]
fn short_streams_are_reopened_with_backoff() {
    let mut tab = Tab::leading();
    let delays: Vec<_> = (0..12)
        .map(|_| reopen_delay(&mut tab, STABLE_AFTER - 1))
        .collect();
    let doubled = [800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 204_800];
    assert_eq!(delays[..9], doubled);
    assert_eq!(delays[9..], [MAX_BACKOFF; 3]);
    assert_eq!(reopen_delay(&mut tab, STABLE_AFTER), RECONNECT_DELAY);
    assert_eq!(reopen_delay(&mut tab, 0), 2 * RECONNECT_DELAY);
}

#[test]
fn jitter_at_most_halves_the_stream_delay() {
    for (jitter, delay) in [(0.0, 400), (0.5, 600), (1.0, 800)] {
        let mut tab = Tab::leading();
        tab.jitter = jitter;
        tab.handle(Input::StreamLost { is_own: true });
        assert_eq!(tab.machine.stream_allowed_at - tab.now, delay);
    }
}

#[test]
fn failed_opening_never_counts_as_long_stream() {
    // First another tab's stream, then this tab's.
    let mut tab = Tab::new();
    tab.handle(Input::StreamOpened);
    tab.advance(STABLE_AFTER);
    tab.handle(Input::BecameLeader);
    tab.handle(Input::StreamLost { is_own: true });
    assert_eq!(tab.machine.stream_allowed_at - tab.now, 2 * RECONNECT_DELAY);
}

#[test]
fn check_does_not_reopen_a_stream_early() {
    let mut tab = Tab::leading();
    tab.handle(Input::StreamLost { is_own: true });
    assert_eq!(tab.handle(Input::BecameLeader), []);
    tab.handle(Input::BecameVisible);
    assert!(!tab.finish_check_live().contains(&Effect::OpenStream));
    assert_eq!(tab.next_check_in(), 2 * RECONNECT_DELAY);
    tab.handle(Input::OtherTabLive(tab.active_times()));
    assert_eq!(tab.next_check_in(), 2 * RECONNECT_DELAY);
    tab.handle(Input::BecameHidden);
    assert_eq!(tab.next_check_in(), 2 * RECONNECT_DELAY);
    tab.advance(2 * RECONNECT_DELAY);
    assert!(tab.finish_check_live().contains(&Effect::OpenStream));
}

#[test]
fn constant_activity_does_not_prevent_reopening() {
    let mut tab = Tab::leading();
    tab.advance(STABLE_AFTER);
    tab.handle(Input::StreamLost { is_own: true });
    tab.handle(Input::UserActed);
    assert_eq!(tab.advance(RECONNECT_DELAY), [Effect::Check]);
    assert!(tab.finish_check_live().contains(&Effect::OpenStream));
}

#[test]
fn stream_reopens_with_the_first_successful_check() {
    let mut tab = Tab::leading();
    tab.advance(STABLE_AFTER);
    tab.handle(Input::WentOffline);
    tab.handle(Input::StreamLost { is_own: true });
    assert_eq!(tab.advance(MINUTE), []);
    tab.handle(Input::CameOnline);
    assert!(tab.finish_check_live().contains(&Effect::OpenStream));
}

/// A tab whose stream sends no heartbeats.
fn without_heartbeats(mut tab: Tab) -> Tab {
    tab.has_heartbeats = false;
    tab
}

#[test]
fn heartbeats_keep_a_silent_stream_open() {
    let mut tab = without_heartbeats(Tab::leading());
    for _ in 0..7 {
        assert_eq!(tab.advance(STREAM_TIMEOUT - 1), []);
        assert_eq!(tab.handle(Input::StreamHeartbeat), []);
    }
    assert_eq!(
        tab.advance(STREAM_TIMEOUT - 1),
        [Effect::Check],
        "the check after five minutes"
    );
}

#[test]
fn silent_stream_is_reopened_after_a_check() {
    for hides in [false, true] {
        let mut tab = Tab::leading();
        tab.advance(MINUTE);
        if hides {
            tab.handle(Input::BecameHidden);
        }
        let mut tab = without_heartbeats(tab);
        tab.handle(Input::StreamHeartbeat);
        assert_eq!(tab.advance(STREAM_TIMEOUT - 1), []);
        assert_eq!(tab.advance(1), [Effect::CloseStream, Effect::AnnounceStreamLost]);
        assert_eq!(tab.status(), MonitorStatus::Live, "the session continues");
        assert_eq!(tab.advance(RECONNECT_DELAY), [Effect::Check]);
        assert!(tab.finish_check_live().contains(&Effect::OpenStream));
    }
}

#[test]
fn unanswered_stream_times_out() {
    let mut tab = Tab::new();
    assert_eq!(tab.handle(Input::BecameLeader), [Effect::OpenStream]);
    let lost = tab.advance(STREAM_TIMEOUT);
    assert_eq!(lost, [Effect::CloseStream, Effect::AnnounceStreamLost]);
}

#[test]
fn streams_without_heartbeats_are_reopened_with_backoff() {
    let mut tab = without_heartbeats(Tab::leading());
    let mut delays = Vec::new();
    for _ in 0..5 {
        tab.advance(STREAM_TIMEOUT);
        delays.push(tab.machine.stream_allowed_at - tab.now);
        let mut opened = false;
        while !opened {
            tab.advance(tab.next_check_in());
            opened = tab.finish_check_live().contains(&Effect::OpenStream);
        }
        tab.handle(Input::StreamOpened);
    }
    assert_eq!(delays, [800, 1_600, 3_200, 6_400, 12_800]);
}

#[test]
fn visible_follower_checks_a_silent_leader() {
    let mut tab = without_heartbeats(Tab::new());
    tab.handle(Input::StreamOpened);
    assert_eq!(tab.advance(STREAM_TIMEOUT), [Effect::ProbeLeader]);
    assert_eq!(tab.advance(RECONNECT_DELAY), [Effect::Check]);
    tab.finish_check_live();
    assert_eq!(tab.next_check_in(), MINUTE, "the interval without a stream");

    let mut tab = without_heartbeats(Tab::hidden());
    tab.handle(Input::StreamOpened);
    assert_eq!(tab.advance(10 * MINUTE), [], "a hidden tab ignores the stream");
}

#[test]
fn new_leader_has_no_stream_until_opened() {
    let mut tab = Tab::new();
    tab.handle(Input::StreamOpened);
    assert_eq!(tab.next_check_in(), 5 * MINUTE);
    assert_eq!(tab.handle(Input::BecameLeader), [Effect::OpenStream]);
    assert_eq!(tab.next_check_in(), MINUTE);
    tab.handle(Input::StreamOpened);
    assert_eq!(tab.next_check_in(), 5 * MINUTE);
}
