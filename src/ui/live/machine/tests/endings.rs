//! Only the server's word ends a session.

use super::*;

#[test]
fn what_is_told_to_be_over_is_over() {
    let mut tab = Tab::leading();
    let over = tab.does(Event::ToldEnded(EndReason::SignedOutEverywhere));
    assert_eq!(over, [Effect::CloseStream, Effect::Decide]);
    tab.assert_ended(EndReason::SignedOutEverywhere, false);
    assert_eq!(tab.machine.gate(), Gate::Go);
    assert_eq!(tab.passes(24 * HOUR), []);
}

#[test]
fn an_end_that_a_check_met_is_told_to_the_other_tabs() {
    let mut tab = Tab::leading();
    tab.does(Event::BecameVisible);
    let over = tab.does(REVOKED);
    let told = Effect::TellEnded(EndReason::Revoked);
    assert_eq!(over, [Effect::CloseStream, Effect::Decide, told]);
    tab.assert_ended(EndReason::Revoked, false);
}

#[test]
fn an_unknown_credential_is_asked_about_again() {
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
fn an_unknown_end_is_checked_when_another_tab_is_live() {
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
fn a_doubt_makes_requests_wait_even_where_nobody_was_unsure_before() {
    let mut tab = Tab::new();
    tab.passes(MINUTE);
    tab.does(UNKNOWN);
    assert_eq!(tab.machine.gate(), Gate::Wait);
}

#[test]
fn a_doubt_is_over_with_the_next_good_word_whoever_has_it() {
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
fn a_session_that_ended_once_is_doubted_anew_after_signing_in() {
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
fn a_failure_between_two_doubts_ends_nothing_by_itself() {
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
fn what_should_have_run_out_is_asked_about_and_hidden_only_where_nobody_can_be_asked() {
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
fn while_the_portal_is_away_the_end_is_noticed_when_it_comes() {
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
fn whose_doing_it_was_is_known_where_a_tab_of_this_browser_said_so() {
    let mut tab = Tab::new();
    assert_eq!(tab.does(Event::EndsHere), []);
    assert_eq!(tab.standing(), Standing::Live);
    tab.does(Event::ToldEnded(EndReason::SignedOutEverywhere));
    tab.assert_ended(EndReason::SignedOutEverywhere, true);
}

#[test]
fn whose_doing_it_was_is_not_forgotten_for_an_answer_of_before_the_end() {
    let mut tab = Tab::new();
    tab.does(Event::EndsHere);
    tab.does(Event::BecameVisible);
    tab.is_checked();
    tab.does(Event::HeardLive(tab.times()));
    tab.does(Event::ToldEnded(EndReason::SignedOutEverywhere));
    tab.assert_ended(EndReason::SignedOutEverywhere, true);
}

#[test]
fn an_end_long_after_is_another() {
    let mut tab = Tab::new();
    tab.does(Event::EndsHere);
    tab.passes(ENDS_WITHIN + 1);
    tab.does(Event::ToldEnded(EndReason::SignedOutEverywhere));
    tab.assert_ended(EndReason::SignedOutEverywhere, false);
}

#[test]
fn better_words_for_an_end_take_the_place_of_none() {
    let mut tab = Tab::new();
    tab.does(Event::EndsHere);
    tab.does(Event::ToldEnded(EndReason::Unknown));
    assert_eq!(tab.does(Event::ToldEnded(EndReason::Revoked)), []);
    tab.assert_ended(EndReason::Revoked, true);
    tab.does(Event::ToldEnded(EndReason::SignedOut));
    tab.assert_ended(EndReason::Revoked, true);
}

#[test]
fn nothing_but_the_servers_word_brings_an_ended_session_back() {
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
fn an_answer_of_before_the_end_does_not_bring_the_session_back() {
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
fn whoever_signs_in_again_goes_on_where_they_were() {
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
fn a_sign_in_that_could_not_be_asked_about_is_asked_about_again() {
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
