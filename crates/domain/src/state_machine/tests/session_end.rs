//! Only the server ends a session.

use super::*;

#[test]
fn reported_end_ends_the_session() {
    let mut tab = Tab::leading();
    let effects = tab.handle(Input::SessionEnded(EndReason::SignedOutEverywhere));
    assert_eq!(effects, [Effect::CloseStream, Effect::ReleaseRequests]);
    tab.assert_ended(EndReason::SignedOutEverywhere, false);
    assert_eq!(tab.machine.request_gate(), RequestGate::Open);
    assert_eq!(tab.advance(24 * HOUR), []);
}

#[test]
fn check_announces_the_end_to_other_tabs() {
    let mut tab = Tab::leading();
    tab.handle(Input::BecameVisible);
    let effects = tab.handle(REVOKED);
    let announced = Effect::AnnounceEnded(EndReason::Revoked);
    assert_eq!(effects, [Effect::CloseStream, Effect::ReleaseRequests, announced]);
    tab.assert_ended(EndReason::Revoked, false);
}

#[test]
fn unknown_credential_is_checked_again() {
    let mut tab = Tab::leading();
    tab.handle(Input::BecameVisible);
    for delay in UNKNOWN_RETRY_DELAYS {
        assert_eq!(tab.handle(UNKNOWN), []);
        assert_eq!(tab.status(), MonitorStatus::Unsure);
        assert_eq!(tab.advance(delay - 1), []);
        assert_eq!(tab.advance(1), [Effect::Check]);
    }
    tab.handle(UNKNOWN);
    tab.assert_ended(EndReason::Unknown, false);
}

#[test]
fn live_session_in_another_tab_starts_a_check() {
    let mut tab = Tab::new();
    tab.handle(Input::BecameVisible);
    for delay in UNKNOWN_RETRY_DELAYS {
        tab.handle(UNKNOWN);
        tab.advance(delay);
    }
    tab.handle(UNKNOWN);
    tab.assert_ended(EndReason::Unknown, false);
    assert_eq!(
        tab.handle(Input::OtherTabLive(tab.active_times())),
        [Effect::Check]
    );
    tab.finish_check_live();
    assert_eq!(tab.status(), MonitorStatus::Live);

    let mut tab = Tab::ended();
    assert_eq!(tab.handle(Input::OtherTabLive(tab.active_times())), []);
}

#[test]
fn unknown_credential_holds_requests() {
    let mut tab = Tab::new();
    tab.advance(MINUTE);
    tab.handle(UNKNOWN);
    assert_eq!(tab.machine.request_gate(), RequestGate::Closed);
}

#[test]
fn live_result_resets_unknown_results() {
    for report_live in [
        |tab: &mut Tab| {
            tab.advance(UNKNOWN_RETRY_DELAYS[0]);
            tab.finish_check_live()
        },
        |tab: &mut Tab| tab.handle(Input::OtherTabLive(tab.active_times())),
    ] {
        let mut tab = Tab::new();
        tab.handle(Input::BecameVisible);
        tab.handle(UNKNOWN);
        report_live(&mut tab);
        tab.handle(Input::BecameVisible);
        tab.handle(UNKNOWN);
        assert_eq!(tab.status(), MonitorStatus::Unsure);
    }
}

#[test]
fn new_session_is_rechecked_before_it_ends() {
    let mut tab = Tab::new();
    tab.handle(Input::BecameVisible);
    tab.handle(UNKNOWN);
    tab.handle(Input::SessionEnded(EndReason::Revoked));
    tab.handle(Input::OtherSessionSeen);
    tab.finish_check_live();
    tab.handle(Input::BecameVisible);
    tab.handle(UNKNOWN);
    assert_eq!(tab.status(), MonitorStatus::Unsure);
}

#[test]
fn failed_check_does_not_count_as_unknown() {
    let mut tab = Tab::new();
    tab.handle(Input::BecameVisible);
    tab.handle(UNKNOWN);
    tab.advance(UNKNOWN_RETRY_DELAYS[0]);
    tab.handle(Input::CheckFailed);
    assert_eq!(tab.status(), unreachable_status(false));
    tab.advance(INITIAL_BACKOFF);
    for delay in &UNKNOWN_RETRY_DELAYS[1..] {
        tab.handle(UNKNOWN);
        tab.advance(*delay);
    }
    tab.handle(UNKNOWN);
    tab.assert_ended(EndReason::Unknown, false);
}

#[test]
fn time_alone_never_ends_a_session() {
    let mut tab = Tab::new();
    // No check gets a result.
    tab.advance(48 * HOUR);
    assert!(matches!(
        tab.status(),
        MonitorStatus::Live | MonitorStatus::Unsure
    ));
}

#[test]
fn unreachable_server_hides_the_page_after_expiry() {
    let mut tab = Tab::new();
    tab.handle(Input::BecameHidden);
    tab.advance(IDLE + EXPIRY_CHECK_DELAY);
    assert_eq!(tab.status(), MonitorStatus::Unsure);
    tab.handle(Input::CheckFailed);
    assert_eq!(tab.status(), unreachable_status(true));
    tab.handle(Input::BecameVisible);
    tab.finish_check_live();
    assert_eq!(tab.status(), MonitorStatus::Live);
}

#[test]
fn expiry_is_noticed_while_the_portal_is_unreachable() {
    let mut tab = Tab::new();
    tab.advance(MINUTE);
    let delay = loop {
        tab.handle(Input::CheckFailed);
        let delay = tab.next_check_in();
        if tab.now + delay >= IDLE {
            break delay;
        }
        tab.advance(delay);
    };
    assert!(delay < MAX_BACKOFF);
    assert_eq!(tab.now + delay, IDLE + EXPIRY_CHECK_DELAY);
    tab.advance(delay);
    tab.handle(Input::CheckFailed);
    assert_eq!(tab.status(), unreachable_status(true));
    assert_eq!(tab.next_check_in(), MAX_BACKOFF);
}

#[test]
fn announced_end_is_attributed_to_this_browser() {
    let mut tab = Tab::new();
    assert_eq!(tab.handle(Input::OtherTabSigningOut), []);
    assert_eq!(tab.status(), MonitorStatus::Live);
    tab.handle(Input::SessionEnded(EndReason::SignedOutEverywhere));
    tab.assert_ended(EndReason::SignedOutEverywhere, true);
}

#[test]
fn live_results_keep_the_announced_sign_out() {
    let mut tab = Tab::new();
    tab.handle(Input::OtherTabSigningOut);
    tab.handle(Input::BecameVisible);
    tab.finish_check_live();
    tab.handle(Input::OtherTabLive(tab.active_times()));
    tab.handle(Input::SessionEnded(EndReason::SignedOutEverywhere));
    tab.assert_ended(EndReason::SignedOutEverywhere, true);
}

#[test]
fn later_end_is_not_attributed_to_this_browser() {
    let mut tab = Tab::new();
    tab.handle(Input::OtherTabSigningOut);
    tab.advance(OWN_END_WINDOW + 1);
    tab.handle(Input::SessionEnded(EndReason::SignedOutEverywhere));
    tab.assert_ended(EndReason::SignedOutEverywhere, false);
}

#[test]
fn known_reason_replaces_an_unknown_reason() {
    let mut tab = Tab::new();
    tab.handle(Input::OtherTabSigningOut);
    tab.handle(Input::SessionEnded(EndReason::Unknown));
    assert_eq!(tab.handle(Input::SessionEnded(EndReason::Revoked)), []);
    tab.assert_ended(EndReason::Revoked, true);
    tab.handle(Input::SessionEnded(EndReason::SignedOut));
    tab.assert_ended(EndReason::Revoked, true);
}

#[test]
fn only_a_server_result_revives_an_ended_tab() {
    for input in [
        Input::OtherTabLive(TIMES),
        Input::UserActed,
        Input::StreamOpened,
        Input::StreamLost { is_own: false },
        Input::WentOffline,
        Input::BecameHidden,
        Input::BecameVisible,
        Input::RequestRejected,
        Input::CheckFailed,
        Input::OtherSessionSeen,
        Input::BecameLeader,
    ] {
        let mut tab = Tab::ended();
        let effects = tab.handle(input);
        tab.assert_ended(EndReason::Revoked, false);
        let only_checks = effects.iter().all(|effect| *effect == Effect::Check);
        assert!(only_checks, "{input:?}: {effects:?}");
    }
}

#[test]
fn older_result_does_not_revive_the_session() {
    let mut tab = Tab::new();
    tab.handle(Input::BecameVisible);
    tab.handle(Input::SessionEnded(EndReason::Revoked));
    assert_eq!(tab.finish_check_live(), [Effect::Check]);
    tab.assert_ended(EndReason::Revoked, false);
    // Nothing remains to be checked.
    tab.handle(REVOKED);
    tab.assert_ended(EndReason::Revoked, false);
    assert_eq!(tab.advance(24 * HOUR), []);
}

#[test]
fn new_sign_in_resumes_the_tab() {
    let mut tab = Tab::leading();
    tab.handle(Input::SessionEnded(EndReason::Revoked));
    assert_eq!(tab.handle(Input::OtherSessionSeen), [Effect::Check]);
    let effects = tab.finish_check_live();
    let live = Effect::AnnounceLive(tab.active_times());
    assert_eq!(
        effects,
        [
            live,
            Effect::OpenStream,
            Effect::RefreshAll,
            Effect::ReleaseRequests
        ]
    );
    assert_eq!(tab.status(), MonitorStatus::Live);
    assert_eq!(tab.next_check_in(), MINUTE);
}

#[test]
fn failed_check_after_sign_in_is_repeated() {
    let mut tab = Tab::ended();
    tab.handle(Input::OtherSessionSeen);
    tab.handle(Input::CheckFailed);
    tab.assert_ended(EndReason::Revoked, false);
    assert_eq!(tab.advance(INITIAL_BACKOFF), [Effect::Check]);
    tab.handle(Input::CheckFailed);
    // A hidden tab does not retry.
    tab.handle(Input::BecameHidden);
    assert_eq!(tab.advance(24 * HOUR), []);
    tab.handle(Input::BecameVisible);
    tab.finish_check_live();
    assert_eq!(tab.status(), MonitorStatus::Live);
}
