//! The session runs out soon, and the person is told.

use super::*;

/// A tab at the moment of the warning.
fn warned() -> Tab {
    let mut tab = Tab::new();
    tab.does(Event::BecameHidden);
    tab.passes(25 * MINUTE);
    tab
}

#[test]
fn warning_appears_five_minutes_before_idle_expiry() {
    let mut tab = warned();
    let warning = Warning {
        ends_at: IDLE,
        is_final: false,
    };
    assert_eq!(tab.warning(), Some(warning));
    tab.now -= 1;
    assert_eq!(tab.warning(), None);
    assert_eq!(tab.machine.wakes_at(tab.now), Some(25 * MINUTE));
    tab.now += 5 * MINUTE;
    assert_eq!(tab.warning(), Some(warning));
    tab.now += 1;
    assert_eq!(tab.warning(), None);
}

#[test]
fn lifetime_expiry_is_final() {
    for (lifetime_end, is_final) in [(IDLE - 1, true), (IDLE, true), (IDLE + 1, false)] {
        let mut tab = Tab::with(Times {
            lifetime_end,
            ..TIMES
        });
        tab.now = 26 * MINUTE;
        let ends_at = lifetime_end.min(IDLE);
        assert_eq!(tab.warning(), Some(Warning { ends_at, is_final }));
        // Nor does it move with what the person does.
        tab.does(Event::Acted);
        let final_end = tab.warning().map(|warning| warning.ends_at);
        assert_eq!(final_end, Some(lifetime_end));
    }
}

#[test]
fn disabled_warning_never_appears() {
    let mut tab = Tab::with(Times { warn_for: 0, ..TIMES });
    for now in [0, IDLE - 1, IDLE] {
        tab.now = now;
        assert_eq!(tab.warning(), None);
    }
    tab.now = 0;
    // Nor does the tab wake for it.
    tab.does(Event::BecameHidden);
    assert_eq!(tab.machine.wakes_at(0), Some(IDLE + AFTER_END));
}

#[test]
fn short_session_warns_half_way() {
    for warn_for in [4 * MINUTE, 5 * MINUTE] {
        let times = Times {
            idle_end: 4 * MINUTE,
            idle_for: 4 * MINUTE,
            warn_for,
            ..TIMES
        };
        assert_eq!(times.warns_at(), Some(2 * MINUTE));
    }
    let longer = Times {
        idle_end: 4 * MINUTE,
        idle_for: 4 * MINUTE,
        warn_for: 4 * MINUTE - 1,
        ..TIMES
    };
    assert_eq!(longer.warns_at(), Some(1));
}

#[test]
fn staying_signed_in_clears_the_warning() {
    for stays in [
        |tab: &mut Tab| tab.does(Event::Acted),
        |tab: &mut Tab| tab.does(tab.live()),
        |tab: &mut Tab| tab.does(Event::HeardLive(tab.times())),
    ] {
        let mut tab = warned();
        assert!(tab.warning().is_some());
        stays(&mut tab);
        assert_eq!(tab.warning(), None);
    }
}

#[test]
fn unchanged_expiry_keeps_the_warning() {
    let mut tab = warned();
    tab.does(Event::BecameVisible);
    assert!(tab.warning().is_some());
    tab.does(Event::CheckedLive {
        times: TIMES,
        changed: false,
    });
    assert!(tab.warning().is_some());
}

#[test]
fn small_expiry_change_keeps_the_warning_dismissed() {
    for (moved, is_warned) in [
        (-SAME_END, false),
        (0, false),
        (SAME_END, false),
        (SAME_END + 1, true),
    ] {
        let mut tab = warned();
        tab.does(Event::WarningDismissed);
        assert_eq!(tab.warning(), None);
        tab.now += MINUTE;
        tab.does(Event::HeardLive(Times {
            idle_end: IDLE + moved,
            ..TIMES
        }));
        assert_eq!(tab.warning().is_some(), is_warned, "{moved}");
    }
}

#[test]
fn next_expiry_warns_again() {
    let mut tab = warned();
    tab.does(Event::WarningDismissed);
    tab.does(Event::Acted);
    tab.now += 25 * MINUTE;
    assert!(tab.warning().is_some());
}

#[test]
fn unknown_state_shows_no_warning() {
    let mut tab = warned();
    tab.does(Event::RequestFailed);
    assert!(tab.warning().is_some());
    tab.does(Event::CheckFailed);
    assert_eq!(tab.warning(), None);
    tab.does(Event::HeardLive(TIMES));
    assert!(tab.warning().is_some());
    tab.does(Event::ToldEnded(EndReason::Revoked));
    assert_eq!(tab.warning(), None);
    assert_eq!(tab.machine.wakes_at(tab.now), None);
}
