//! Only the server ends a session.

use super::*;

#[test]
fn reported_end_ends_the_session() {
    let mut tab = Tab::leading();
    let over = tab.handle(Input::SessionEnded(EndReason::SignedOutEverywhere));
    assert_eq!(over, [Effect::CloseStream, Effect::ReleaseRequests]);
    tab.assert_ended(EndReason::SignedOutEverywhere, false);
    assert_eq!(tab.machine.gate(), RequestGate::Open);
    assert_eq!(tab.advance(24 * HOUR), []);
}

#[test]
fn end_found_by_check_reaches_other_tabs() {
    let mut tab = Tab::leading();
    tab.handle(Input::BecameVisible);
    let over = tab.handle(REVOKED);
    let told = Effect::AnnounceEnded(EndReason::Revoked);
    assert_eq!(over, [Effect::CloseStream, Effect::ReleaseRequests, told]);
    tab.assert_ended(EndReason::Revoked, false);
}

#[test]
fn unknown_credential_is_checked_again() {
    let mut tab = Tab::leading();
    tab.handle(Input::BecameVisible);
    for pause in UNKNOWN_RETRY_DELAYS {
        assert_eq!(tab.handle(UNKNOWN), []);
        assert_eq!(tab.status(), MonitorStatus::Unsure);
        assert_eq!(tab.advance(pause - 1), []);
        assert_eq!(tab.advance(1), [Effect::Check]);
    }
    tab.handle(UNKNOWN);
    tab.assert_ended(EndReason::Unknown, false);
}

#[test]
fn unknown_end_is_checked_when_another_tab_lives() {
    let mut tab = Tab::new();
    tab.handle(Input::BecameVisible);
    for pause in UNKNOWN_RETRY_DELAYS {
        tab.handle(UNKNOWN);
        tab.advance(pause);
    }
    tab.handle(UNKNOWN);
    tab.assert_ended(EndReason::Unknown, false);
    assert_eq!(tab.handle(Input::OtherTabLive(tab.times())), [Effect::Check]);
    tab.answer_live();
    assert_eq!(tab.status(), MonitorStatus::Live);

    let mut tab = Tab::ended();
    assert_eq!(tab.handle(Input::OtherTabLive(tab.times())), []);
}

#[test]
fn unknown_credential_holds_requests() {
    let mut tab = Tab::new();
    tab.advance(MINUTE);
    tab.handle(UNKNOWN);
    assert_eq!(tab.machine.gate(), RequestGate::Closed);
}

#[test]
fn any_live_result_resolves_the_doubt() {
    for word in [
        |tab: &mut Tab| {
            tab.advance(UNKNOWN_RETRY_DELAYS[0]);
            tab.answer_live()
        },
        |tab: &mut Tab| tab.handle(Input::OtherTabLive(tab.times())),
    ] {
        let mut tab = Tab::new();
        tab.handle(Input::BecameVisible);
        tab.handle(UNKNOWN);
        word(&mut tab);
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
    tab.answer_live();
    tab.handle(Input::BecameVisible);
    tab.handle(UNKNOWN);
    assert_eq!(tab.status(), MonitorStatus::Unsure);
}

#[test]
fn failure_between_two_unknown_results_ends_nothing() {
    let mut tab = Tab::new();
    tab.handle(Input::BecameVisible);
    tab.handle(UNKNOWN);
    tab.advance(UNKNOWN_RETRY_DELAYS[0]);
    tab.handle(Input::CheckFailed);
    assert_eq!(tab.status(), unreachable(false));
    tab.advance(INITIAL_BACKOFF);
    for pause in &UNKNOWN_RETRY_DELAYS[1..] {
        tab.handle(UNKNOWN);
        tab.advance(*pause);
    }
    tab.handle(UNKNOWN);
    tab.assert_ended(EndReason::Unknown, false);
}

#[test]
fn no_clock_ends_a_session() {
    let mut tab = Tab::new();
    // No check is answered.
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
    assert_eq!(tab.status(), unreachable(true));
    tab.handle(Input::BecameVisible);
    tab.answer_live();
    assert_eq!(tab.status(), MonitorStatus::Live);
}

#[test]
fn expiry_is_noticed_while_the_portal_is_unreachable() {
    let mut tab = Tab::new();
    tab.advance(MINUTE);
    let pause = loop {
        tab.handle(Input::CheckFailed);
        let pause = tab.next_check_in();
        if tab.now + pause >= IDLE {
            break pause;
        }
        tab.advance(pause);
    };
    assert!(pause < MAX_BACKOFF);
    assert_eq!(tab.now + pause, IDLE + EXPIRY_CHECK_DELAY);
    tab.advance(pause);
    tab.handle(Input::CheckFailed);
    assert_eq!(tab.status(), unreachable(true));
    assert_eq!(tab.next_check_in(), MAX_BACKOFF);
}

#[test]
fn end_started_by_this_browser_is_recognised() {
    let mut tab = Tab::new();
    assert_eq!(tab.handle(Input::SigningOut), []);
    assert_eq!(tab.status(), MonitorStatus::Live);
    tab.handle(Input::SessionEnded(EndReason::SignedOutEverywhere));
    tab.assert_ended(EndReason::SignedOutEverywhere, true);
}

#[test]
fn older_result_keeps_the_end_marked_local() {
    let mut tab = Tab::new();
    tab.handle(Input::SigningOut);
    tab.handle(Input::BecameVisible);
    tab.answer_live();
    tab.handle(Input::OtherTabLive(tab.times()));
    tab.handle(Input::SessionEnded(EndReason::SignedOutEverywhere));
    tab.assert_ended(EndReason::SignedOutEverywhere, true);
}

#[test]
fn later_end_is_not_attributed_to_this_browser() {
    let mut tab = Tab::new();
    tab.handle(Input::SigningOut);
    tab.advance(OWN_END_WINDOW + 1);
    tab.handle(Input::SessionEnded(EndReason::SignedOutEverywhere));
    tab.assert_ended(EndReason::SignedOutEverywhere, false);
}

#[test]
fn known_reason_replaces_an_unknown_reason() {
    let mut tab = Tab::new();
    tab.handle(Input::SigningOut);
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
        Input::StreamLost { own: false },
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
        let only_asks = effects.iter().all(|effect| *effect == Effect::Check);
        assert!(only_asks, "{input:?}: {effects:?}");
    }
}

#[test]
fn older_result_does_not_revive_the_session() {
    let mut tab = Tab::new();
    tab.handle(Input::BecameVisible);
    tab.handle(Input::SessionEnded(EndReason::Revoked));
    assert_eq!(tab.answer_live(), [Effect::Check]);
    tab.assert_ended(EndReason::Revoked, false);
    // Nothing remains to be checked.
    tab.handle(REVOKED);
    tab.assert_ended(EndReason::Revoked, false);
    assert_eq!(tab.advance(24 * HOUR), []);
}

#[test]
fn signing_in_again_continues_on_the_page() {
    let mut tab = Tab::leading();
    tab.handle(Input::SessionEnded(EndReason::Revoked));
    assert_eq!(tab.handle(Input::OtherSessionSeen), [Effect::Check]);
    let back = tab.answer_live();
    let live = Effect::AnnounceLive(tab.times());
    assert_eq!(
        back,
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
    tab.answer_live();
    assert_eq!(tab.status(), MonitorStatus::Live);
}
