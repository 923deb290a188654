//! The warning before a session expires.

use super::*;

/// A tab at the time of the warning.
fn tab_at_warning() -> Tab {
    let mut tab = Tab::new();
    tab.handle(Input::BecameHidden);
    tab.advance(25 * MINUTE);
    tab
}

#[test]
fn warning_appears_five_minutes_before_idle_expiry() {
    let mut tab = tab_at_warning();
    let warning = ExpiryWarning {
        expires_at: IDLE,
        is_final: false,
    };
    assert_eq!(tab.warning(), Some(warning));
    tab.now -= 1;
    assert_eq!(tab.warning(), None);
    assert_eq!(tab.machine.next_wake_at(tab.now), Some(25 * MINUTE));
    tab.now += 5 * MINUTE;
    assert_eq!(tab.warning(), Some(warning));
    tab.now += 1;
    assert_eq!(tab.warning(), None);
}

#[test]
fn warning_before_lifetime_end_is_final() {
    for (lifetime_expires_at, is_final) in [(IDLE - 1, true), (IDLE, true), (IDLE + 1, false)] {
        let mut tab = Tab::with_times(ExpiryTimes {
            lifetime_expires_at,
            ..TIMES
        });
        tab.now = 26 * MINUTE;
        let expires_at = lifetime_expires_at.min(IDLE);
        assert_eq!(tab.warning(), Some(ExpiryWarning { expires_at, is_final }));
        // Activity does not move the end of the lifetime.
        tab.handle(Input::UserActed);
        let final_end = tab.warning().map(|warning| warning.expires_at);
        assert_eq!(final_end, Some(lifetime_expires_at));
    }
}

#[test]
fn disabled_warning_never_appears() {
    let mut tab = Tab::with_times(ExpiryTimes {
        warning_period: 0,
        ..TIMES
    });
    for now in [0, IDLE - 1, IDLE] {
        tab.now = now;
        assert_eq!(tab.warning(), None);
    }
    tab.now = 0;
    // The tab does not wake for a warning.
    tab.handle(Input::BecameHidden);
    assert_eq!(tab.machine.next_wake_at(0), Some(IDLE + EXPIRY_CHECK_DELAY));
}

#[test]
fn short_session_warns_half_way() {
    for warning_period in [4 * MINUTE, 5 * MINUTE] {
        let times = ExpiryTimes {
            idle_expires_at: 4 * MINUTE,
            idle_timeout: 4 * MINUTE,
            warning_period,
            ..TIMES
        };
        assert_eq!(times.warning_at(), Some(2 * MINUTE));
    }
    let longer = ExpiryTimes {
        idle_expires_at: 4 * MINUTE,
        idle_timeout: 4 * MINUTE,
        warning_period: 4 * MINUTE - 1,
        ..TIMES
    };
    assert_eq!(longer.warning_at(), Some(1));
}

#[test]
fn staying_signed_in_clears_the_warning() {
    for keep_signed_in in [
        |tab: &mut Tab| tab.handle(Input::UserActed),
        |tab: &mut Tab| tab.handle(tab.live_result()),
        |tab: &mut Tab| tab.handle(Input::OtherTabLive(tab.active_times())),
    ] {
        let mut tab = tab_at_warning();
        assert!(tab.warning().is_some());
        keep_signed_in(&mut tab);
        assert_eq!(tab.warning(), None);
    }
}

#[test]
fn unchanged_expiry_keeps_the_warning() {
    let mut tab = tab_at_warning();
    tab.handle(Input::BecameVisible);
    assert!(tab.warning().is_some());
    tab.handle(Input::CheckedLive {
        times: TIMES,
        is_page_outdated: false,
    });
    assert!(tab.warning().is_some());
}

#[test]
fn small_expiry_change_keeps_the_warning_dismissed() {
    for (moved, is_warned) in [
        (-EXPIRY_TOLERANCE, false),
        (0, false),
        (EXPIRY_TOLERANCE, false),
        (EXPIRY_TOLERANCE + 1, true),
    ] {
        let mut tab = tab_at_warning();
        tab.handle(Input::WarningDismissed);
        assert_eq!(tab.warning(), None);
        tab.now += MINUTE;
        tab.handle(Input::OtherTabLive(ExpiryTimes {
            idle_expires_at: IDLE + moved,
            ..TIMES
        }));
        assert_eq!(tab.warning().is_some(), is_warned, "{moved}");
    }
}

#[test]
fn new_expiry_shows_the_warning_again() {
    let mut tab = tab_at_warning();
    tab.handle(Input::WarningDismissed);
    tab.handle(Input::UserActed);
    tab.now += 25 * MINUTE;
    assert!(tab.warning().is_some());
}

#[test]
fn unreachable_or_ended_tab_shows_no_warning() {
    let mut tab = tab_at_warning();
    tab.handle(Input::RequestFailed);
    assert!(tab.warning().is_some());
    tab.handle(Input::CheckFailed);
    assert_eq!(tab.warning(), None);
    tab.handle(Input::OtherTabLive(TIMES));
    assert!(tab.warning().is_some());
    tab.handle(Input::SessionEnded(EndReason::Revoked));
    assert_eq!(tab.warning(), None);
    assert_eq!(tab.machine.next_wake_at(tab.now), None);
}
