//! When data is reloaded.

use super::*;

#[test]
fn visible_tab_loads_changes_at_once() {
    let mut tab = Tab::new();
    assert_eq!(tab.handle(Input::SessionsChanged), [Effect::RefreshSessions]);
    assert_eq!(tab.handle(Input::OrganizationSwitched), [Effect::RefreshAll]);
    assert_eq!(tab.handle(Input::SessionUpdated), [Effect::Check]);
    let outdated = Input::CheckedLive {
        times: tab.active_times(),
        is_page_outdated: true,
    };
    assert!(tab.handle(outdated).contains(&Effect::RefreshAll));
    // Only once.
    tab.handle(Input::BecameVisible);
    assert!(!tab.finish_check_live().contains(&Effect::RefreshAll));
}

#[test]
fn refused_load_of_live_session_is_repeated_once() {
    let mut tab = Tab::new();
    assert_eq!(tab.handle(Input::RequestRejected), [Effect::Check]);
    assert_eq!(tab.status(), MonitorStatus::Unsure);
    assert!(tab.finish_check_live().contains(&Effect::RefreshAll));
    // A second rejection is handled after the minimum interval.
    tab.handle(Input::RequestRejected);
    assert!(!tab.finish_check_live().contains(&Effect::RefreshAll));
    assert_eq!(tab.advance(MIN_REFRESH_INTERVAL), [Effect::Check]);
    assert!(tab.finish_check_live().contains(&Effect::RefreshAll));
    tab.advance(CHECK_INTERVAL);
    assert!(!tab.finish_check_live().contains(&Effect::RefreshAll));
}

#[test]
fn failed_load_does_not_loop() {
    for failure in [Input::RequestRejected, Input::RequestFailed] {
        let mut tab = Tab::new();
        let mut loads = 0;
        tab.handle(Input::SessionUpdated);
        // The server reports a change, and every reload fails.
        for _ in 0..1_000 {
            let outdated = Input::CheckedLive {
                times: tab.active_times(),
                is_page_outdated: true,
            };
            let loaded = tab.handle(outdated).contains(&Effect::RefreshAll);
            if loaded {
                loads += 1;
                tab.handle(failure);
            } else if tab.advance(SECOND).is_empty() {
                continue;
            }
        }
        let limit = tab.now / MIN_REFRESH_INTERVAL + 1;
        assert!(
            (1..=limit).contains(&loads),
            "{failure:?}: {loads} in {} ms",
            tab.now
        );
    }
}

#[test]
fn hidden_tab_loads_changes_when_visible() {
    for (inputs, refresh) in [
        (vec![Input::SessionsChanged], Effect::RefreshSessions),
        (vec![Input::OrganizationSwitched], Effect::RefreshAll),
        (
            vec![Input::OrganizationSwitched, Input::SessionsChanged],
            Effect::RefreshAll,
        ),
        (
            vec![Input::SessionsChanged, Input::OrganizationSwitched],
            Effect::RefreshAll,
        ),
    ] {
        let mut tab = Tab::hidden();
        for input in inputs {
            assert_eq!(tab.handle(input), []);
        }
        tab.handle(Input::OtherTabLive(TIMES));
        assert_eq!(tab.handle(Input::BecameVisible), [Effect::Check]);
        assert_eq!(
            tab.finish_check_live(),
            [
                Effect::AnnounceLive(tab.active_times()),
                refresh,
                Effect::ReleaseRequests
            ]
        );
        tab.handle(Input::BecameVisible);
        assert_eq!(
            tab.finish_check_live(),
            [Effect::AnnounceLive(tab.active_times()), Effect::ReleaseRequests]
        );
    }
}

#[test]
fn full_refresh_includes_the_stale_list() {
    let mut tab = Tab::hidden();
    tab.handle(Input::SessionsChanged);
    tab.handle(Input::BecameVisible);
    assert_eq!(tab.handle(Input::OrganizationSwitched), [Effect::RefreshAll]);
    assert_eq!(
        tab.finish_check_live(),
        [Effect::AnnounceLive(tab.active_times()), Effect::ReleaseRequests]
    );
}

#[test]
fn page_reloads_when_the_portal_returns() {
    for report_live in [
        |tab: &mut Tab| {
            tab.advance(INITIAL_BACKOFF);
            tab.finish_check_live()
        },
        |tab: &mut Tab| tab.handle(Input::OtherTabLive(tab.active_times())),
    ] {
        let mut tab = Tab::unreachable();
        assert_eq!(tab.handle(Input::SessionsChanged), []);
        assert!(report_live(&mut tab).contains(&Effect::RefreshAll));
        assert_eq!(tab.handle(Input::OtherTabLive(TIMES)), [Effect::ReleaseRequests]);
    }
}

#[test]
fn ended_session_loads_nothing() {
    let mut tab = Tab::ended();
    assert_eq!(tab.handle(Input::SessionsChanged), []);
    assert_eq!(tab.handle(Input::OrganizationSwitched), []);
}
