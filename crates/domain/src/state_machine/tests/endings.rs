//! Only the server's word ends a session.

use super::*;

#[test]
fn reported_end_ends_the_session() {
    let mut tab = Tab::leading();
    let over = tab.does(Event::ToldEnded(EndReason::SignedOutEverywhere));
    assert_eq!(over, [Effect::CloseStream, Effect::Decide]);
    tab.assert_ended(EndReason::SignedOutEverywhere, false);
    assert_eq!(tab.machine.gate(), Gate::Go);
    assert_eq!(tab.passes(24 * HOUR), []);
}

#[test]
fn end_found_by_check_reaches_other_tabs() {
    let mut tab = Tab::leading();
    tab.does(Event::BecameVisible);
    let over = tab.does(REVOKED);
    let told = Effect::TellEnded(EndReason::Revoked);
    assert_eq!(over, [Effect::CloseStream, Effect::Decide, told]);
    tab.assert_ended(EndReason::Revoked, false);
}

#[test]
fn unknown_credential_is_checked_again() {
    let mut tab = Tab::leading();
    tab.does(Event::BecameVisible);
    for pause in AFTER_UNKNOWN {
        assert_eq!(tab.does(UNKNOWN), []);
        assert_eq!(tab.standing(), Standing::Unsure);
        assert_eq!(tab.passes(pause - 1), []);
        assert_eq!(tab.passes(1), [Effect::Check]);
    }
    tab.does(UNKNOWN);
    tab.assert_ended(EndReason::Unknown, false);
}

#[test]
fn unknown_end_is_checked_when_another_tab_lives() {
    let mut tab = Tab::new();
    tab.does(Event::BecameVisible);
    for pause in AFTER_UNKNOWN {
        tab.does(UNKNOWN);
        tab.passes(pause);
    }
    tab.does(UNKNOWN);
    tab.assert_ended(EndReason::Unknown, false);
    assert_eq!(tab.does(Event::HeardLive(tab.times())), [Effect::Check]);
    tab.is_checked();
    assert_eq!(tab.standing(), Standing::Live);

    let mut tab = Tab::ended();
    assert_eq!(tab.does(Event::HeardLive(tab.times())), []);
}

#[test]
fn unknown_credential_holds_requests() {
    let mut tab = Tab::new();
    tab.passes(MINUTE);
    tab.does(UNKNOWN);
    assert_eq!(tab.machine.gate(), Gate::Wait);
}

#[test]
fn any_live_result_resolves_the_doubt() {
    for word in [
        |tab: &mut Tab| {
            tab.passes(AFTER_UNKNOWN[0]);
            tab.is_checked()
        },
        |tab: &mut Tab| tab.does(Event::HeardLive(tab.times())),
    ] {
        let mut tab = Tab::new();
        tab.does(Event::BecameVisible);
        tab.does(UNKNOWN);
        word(&mut tab);
        tab.does(Event::BecameVisible);
        tab.does(UNKNOWN);
        assert_eq!(tab.standing(), Standing::Unsure);
    }
}

#[test]
fn new_session_is_rechecked_before_it_ends() {
    let mut tab = Tab::new();
    tab.does(Event::BecameVisible);
    tab.does(UNKNOWN);
    tab.does(Event::ToldEnded(EndReason::Revoked));
    tab.does(Event::HeardOther);
    tab.is_checked();
    tab.does(Event::BecameVisible);
    tab.does(UNKNOWN);
    assert_eq!(tab.standing(), Standing::Unsure);
}

#[test]
fn failure_between_two_unknown_results_ends_nothing() {
    let mut tab = Tab::new();
    tab.does(Event::BecameVisible);
    tab.does(UNKNOWN);
    tab.passes(AFTER_UNKNOWN[0]);
    tab.does(Event::CheckFailed);
    assert_eq!(tab.standing(), unreachable(false));
    tab.passes(FIRST_PAUSE);
    for pause in &AFTER_UNKNOWN[1..] {
        tab.does(UNKNOWN);
        tab.passes(*pause);
    }
    tab.does(UNKNOWN);
    tab.assert_ended(EndReason::Unknown, false);
}

#[test]
fn no_clock_ends_a_session() {
    let mut tab = Tab::new();
    // Nothing is heard of any check.
    tab.passes(48 * HOUR);
    assert!(matches!(tab.standing(), Standing::Live | Standing::Unsure));
}

#[test]
fn unreachable_server_hides_the_page_after_expiry() {
    let mut tab = Tab::new();
    tab.does(Event::BecameHidden);
    tab.passes(IDLE + AFTER_END);
    assert_eq!(tab.standing(), Standing::Unsure);
    tab.does(Event::CheckFailed);
    assert_eq!(tab.standing(), unreachable(true));
    tab.does(Event::BecameVisible);
    tab.is_checked();
    assert_eq!(tab.standing(), Standing::Live);
}

#[test]
fn expiry_is_noticed_while_the_portal_is_unreachable() {
    let mut tab = Tab::new();
    tab.passes(MINUTE);
    let pause = loop {
        tab.does(Event::CheckFailed);
        let pause = tab.checks_in();
        if tab.now + pause >= IDLE {
            break pause;
        }
        tab.passes(pause);
    };
    assert!(pause < LONGEST_PAUSE);
    assert_eq!(tab.now + pause, IDLE + AFTER_END);
    tab.passes(pause);
    tab.does(Event::CheckFailed);
    assert_eq!(tab.standing(), unreachable(true));
    assert_eq!(tab.checks_in(), LONGEST_PAUSE);
}

#[test]
fn end_started_by_this_browser_is_recognised() {
    let mut tab = Tab::new();
    assert_eq!(tab.does(Event::EndsHere), []);
    assert_eq!(tab.standing(), Standing::Live);
    tab.does(Event::ToldEnded(EndReason::SignedOutEverywhere));
    tab.assert_ended(EndReason::SignedOutEverywhere, true);
}

#[test]
fn older_result_keeps_the_end_marked_local() {
    let mut tab = Tab::new();
    tab.does(Event::EndsHere);
    tab.does(Event::BecameVisible);
    tab.is_checked();
    tab.does(Event::HeardLive(tab.times()));
    tab.does(Event::ToldEnded(EndReason::SignedOutEverywhere));
    tab.assert_ended(EndReason::SignedOutEverywhere, true);
}

#[test]
fn later_end_is_not_attributed_to_this_browser() {
    let mut tab = Tab::new();
    tab.does(Event::EndsHere);
    tab.passes(ENDS_WITHIN + 1);
    tab.does(Event::ToldEnded(EndReason::SignedOutEverywhere));
    tab.assert_ended(EndReason::SignedOutEverywhere, false);
}

#[test]
fn known_reason_replaces_an_unknown_reason() {
    let mut tab = Tab::new();
    tab.does(Event::EndsHere);
    tab.does(Event::ToldEnded(EndReason::Unknown));
    assert_eq!(tab.does(Event::ToldEnded(EndReason::Revoked)), []);
    tab.assert_ended(EndReason::Revoked, true);
    tab.does(Event::ToldEnded(EndReason::SignedOut));
    tab.assert_ended(EndReason::Revoked, true);
}

#[test]
fn only_a_server_result_revives_an_ended_tab() {
    for event in [
        Event::HeardLive(TIMES),
        Event::Acted,
        Event::StreamOpened,
        Event::StreamLost { own: false },
        Event::WentOffline,
        Event::BecameHidden,
        Event::BecameVisible,
        Event::RequestRefused,
        Event::CheckFailed,
        Event::HeardOther,
        Event::Leads,
    ] {
        let mut tab = Tab::ended();
        let effects = tab.does(event);
        tab.assert_ended(EndReason::Revoked, false);
        let only_asks = effects.iter().all(|effect| *effect == Effect::Check);
        assert!(only_asks, "{event:?}: {effects:?}");
    }
}

#[test]
fn older_result_does_not_revive_the_session() {
    let mut tab = Tab::new();
    tab.does(Event::BecameVisible);
    tab.does(Event::ToldEnded(EndReason::Revoked));
    assert_eq!(tab.is_checked(), [Effect::Check]);
    tab.assert_ended(EndReason::Revoked, false);
    // Nor is there anything left to ask for.
    tab.does(REVOKED);
    tab.assert_ended(EndReason::Revoked, false);
    assert_eq!(tab.passes(24 * HOUR), []);
}

#[test]
fn signing_in_again_continues_on_the_page() {
    let mut tab = Tab::leading();
    tab.does(Event::ToldEnded(EndReason::Revoked));
    assert_eq!(tab.does(Event::HeardOther), [Effect::Check]);
    let back = tab.is_checked();
    let live = Effect::TellLive(tab.times());
    assert_eq!(
        back,
        [live, Effect::OpenStream, Effect::RefreshAll, Effect::Decide]
    );
    assert_eq!(tab.standing(), Standing::Live);
    assert_eq!(tab.checks_in(), MINUTE);
}

#[test]
fn failed_check_after_sign_in_is_repeated() {
    let mut tab = Tab::ended();
    tab.does(Event::HeardOther);
    tab.does(Event::CheckFailed);
    tab.assert_ended(EndReason::Revoked, false);
    assert_eq!(tab.passes(FIRST_PAUSE), [Effect::Check]);
    tab.does(Event::CheckFailed);
    // Nobody looks, nobody asks.
    tab.does(Event::BecameHidden);
    assert_eq!(tab.passes(24 * HOUR), []);
    tab.does(Event::BecameVisible);
    tab.is_checked();
    assert_eq!(tab.standing(), Standing::Live);
}
