//! What is loaded anew, and when.

use super::*;

#[test]
fn visible_tab_loads_changes_at_once() {
    let mut tab = Tab::new();
    assert_eq!(tab.does(Event::ToldSessionsChanged), [Effect::RefreshSessions]);
    assert_eq!(tab.does(Event::ToldOrganizationSwitched), [Effect::RefreshAll]);
    assert_eq!(tab.does(Event::ToldUpdated), [Effect::Check]);
    let changed = Event::CheckedLive {
        times: tab.times(),
        changed: true,
    };
    assert!(tab.does(changed).contains(&Effect::RefreshAll));
    // Once.
    tab.does(Event::BecameVisible);
    assert!(!tab.is_checked().contains(&Effect::RefreshAll));
}

#[test]
fn refused_load_of_live_session_is_repeated_once() {
    let mut tab = Tab::new();
    assert_eq!(tab.does(Event::RequestRefused), [Effect::Check]);
    assert_eq!(tab.standing(), Standing::Unsure);
    assert!(tab.is_checked().contains(&Effect::RefreshAll));
    // A refusal within the next seconds is made good for after them.
    tab.does(Event::RequestRefused);
    assert!(!tab.is_checked().contains(&Effect::RefreshAll));
    assert_eq!(tab.passes(BETWEEN_REPAIRS), [Effect::Check]);
    assert!(tab.is_checked().contains(&Effect::RefreshAll));
    tab.passes(CHECK_EVERY);
    assert!(!tab.is_checked().contains(&Effect::RefreshAll));
}

#[test]
fn failed_load_does_not_loop() {
    for failure in [Event::RequestRefused, Event::RequestFailed] {
        let mut tab = Tab::new();
        let mut loads = 0;
        tab.does(Event::ToldUpdated);
        // The server says that something changed, and whatever the page loads for it fails.
        for _ in 0..1_000 {
            let changed = Event::CheckedLive {
                times: tab.times(),
                changed: true,
            };
            let loaded = tab.does(changed).contains(&Effect::RefreshAll);
            if loaded {
                loads += 1;
                tab.does(failure);
            } else if tab.passes(SECOND).is_empty() {
                continue;
            }
        }
        let most = tab.now / BETWEEN_REPAIRS + 1;
        assert!(
            (1..=most).contains(&loads),
            "{failure:?}: {loads} in {} ms",
            tab.now
        );
    }
}

#[test]
fn hidden_tab_loads_changes_when_visible() {
    for (told, loads) in [
        (vec![Event::ToldSessionsChanged], Effect::RefreshSessions),
        (vec![Event::ToldOrganizationSwitched], Effect::RefreshAll),
        (
            vec![Event::ToldOrganizationSwitched, Event::ToldSessionsChanged],
            Effect::RefreshAll,
        ),
        (
            vec![Event::ToldSessionsChanged, Event::ToldOrganizationSwitched],
            Effect::RefreshAll,
        ),
    ] {
        let mut tab = Tab::hidden();
        for event in told {
            assert_eq!(tab.does(event), []);
        }
        tab.does(Event::HeardLive(TIMES));
        assert_eq!(tab.does(Event::BecameVisible), [Effect::Check]);
        assert_eq!(
            tab.is_checked(),
            [Effect::TellLive(tab.times()), loads, Effect::Decide]
        );
        tab.does(Event::BecameVisible);
        assert_eq!(tab.is_checked(), [Effect::TellLive(tab.times()), Effect::Decide]);
    }
}

#[test]
fn full_refresh_includes_the_stale_list() {
    let mut tab = Tab::hidden();
    tab.does(Event::ToldSessionsChanged);
    tab.does(Event::BecameVisible);
    assert_eq!(tab.does(Event::ToldOrganizationSwitched), [Effect::RefreshAll]);
    assert_eq!(tab.is_checked(), [Effect::TellLive(tab.times()), Effect::Decide]);
}

#[test]
fn page_reloads_when_the_portal_returns() {
    for back in [
        |tab: &mut Tab| {
            tab.passes(FIRST_PAUSE);
            tab.is_checked()
        },
        |tab: &mut Tab| tab.does(Event::HeardLive(tab.times())),
    ] {
        let mut tab = Tab::unreachable();
        assert_eq!(tab.does(Event::ToldSessionsChanged), []);
        assert!(back(&mut tab).contains(&Effect::RefreshAll));
        assert_eq!(tab.does(Event::HeardLive(TIMES)), [Effect::Decide]);
    }
}

#[test]
fn ended_session_loads_nothing() {
    let mut tab = Tab::ended();
    assert_eq!(tab.does(Event::ToldSessionsChanged), []);
    assert_eq!(tab.does(Event::ToldOrganizationSwitched), []);
}
