//! Alerts: raised once over all nodes, and cleared when the condition ends.

use broker_portal::server::{
    services::{
        alerts::{self, audit_chain_rule, evaluation::AlertEvaluator},
        cleanup,
    },
    state::AppState,
};
use chrono::TimeDelta;
use domain::alert::{Alert, AlertRule};

use crate::harness::*;

pub(crate) const DAY: u64 = 24 * 3600;

/// Returns the open alerts, newest first, and the number of cleared ones.
pub(crate) async fn standing(portal: &Portal) -> (Vec<Alert>, usize) {
    let list = alerts::list(&portal.state.database).await.expect("the alerts");
    (list.open, list.recent.len())
}

/// Returns the rules of the open alerts and the number of cleared ones.
pub(crate) async fn logged(portal: &Portal) -> (Vec<AlertRule>, usize) {
    let (open, recent) = standing(portal).await;
    (open.iter().map(|alert| alert.rule).collect(), recent)
}

/// A node that evaluates every 30 seconds.
pub(crate) struct Evaluators {
    pub(crate) state: AppState,
    pub(crate) watch: AlertEvaluator,
}

impl Evaluators {
    pub(crate) fn of(state: &AppState, name: &str) -> Self {
        Self {
            state: state.clone(),
            watch: AlertEvaluator::new(name, state.clock.now()),
        }
    }

    pub(crate) async fn evaluate(&mut self) {
        self.watch.evaluate(&self.state).await.expect("looked");
    }
}

/// Evaluates on two nodes at the same time, every 30 seconds for a while, and every two minutes for hours.
async fn evaluate_both(portal: &Portal, nodes: &mut [Evaluators; 2], time: u64) {
    let [a, b] = nodes;
    let step = if time < 3600 { 30 } else { 120 };
    for _ in 0..time / step {
        portal.advance(seconds(step)).await;
        tokio::join!(a.evaluate(), b.evaluate());
    }
}

async fn two_nodes(portal: &Portal) -> [Evaluators; 2] {
    let second = portal.second_node().await;
    [
        Evaluators::of(&portal.state, "a"),
        Evaluators::of(&second.state, "b"),
    ]
}

pub(crate) async fn fail_to_sign_in(portal: &Portal, person: &TestUser, times: usize) {
    for _ in 0..times {
        portal.browser(CHROME).fail_to_sign_in(&person.email).await;
    }
}

/// Turns off the rule for listeners where it is not the subject.
pub(crate) const NO_LISTENERS: (&str, &str) = ("PORTAL_ALERT_LISTENER_DOWN_SECONDS", "off");

#[tokio::test]
async fn failed_sign_ins_raise_one_alert_per_incident() {
    let portal = Portal::with(&[
        NO_LISTENERS,
        ("PORTAL_ALERT_SIGN_IN_FAILURES", "3"),
        ("PORTAL_ALERT_SIGN_IN_FAILURES_WINDOW_SECONDS", "600"),
    ])
    .await;
    let maria = portal.broker("maria").await;
    let mut nodes = two_nodes(&portal).await;
    fail_to_sign_in(&portal, &maria, 2).await;
    evaluate_both(&portal, &mut nodes, 30).await;
    assert_eq!(logged(&portal).await, (vec![], 0), "two are not enough");
    fail_to_sign_in(&portal, &maria, 1).await;
    evaluate_both(&portal, &mut nodes, 300).await;
    let (open, _) = standing(&portal).await;
    let [alert] = &open[..] else { panic!("{open:?}") };
    assert_eq!(alert.rule, AlertRule::SignInFailures);
    assert_eq!(alert.message, "3 of 3 sign-ins failed within 10 minutes.");
    assert_eq!(alert.last_seen_at, portal.now());
    assert_eq!(alert.raised_at, portal.now() - TimeDelta::seconds(270));

    // Two failures leave the window after ten minutes; the alert clears after two quiet minutes.
    evaluate_both(&portal, &mut nodes, 330).await;
    assert_eq!(logged(&portal).await, (vec![AlertRule::SignInFailures], 0));
    evaluate_both(&portal, &mut nodes, 60).await;
    assert_eq!(logged(&portal).await, (vec![], 1));
    fail_to_sign_in(&portal, &maria, 3).await;
    evaluate_both(&portal, &mut nodes, 60).await;
    assert_eq!(logged(&portal).await, (vec![AlertRule::SignInFailures], 1));
    assert_eq!(portal.rows("alerts").await, 2);
}

#[tokio::test]
async fn failures_among_many_successes_raise_no_alert() {
    let portal = Portal::with(&[NO_LISTENERS, ("PORTAL_ALERT_SIGN_IN_FAILURES", "3")]).await;
    let maria = portal.broker("maria").await;
    let mut node = Evaluators::of(&portal.state, "a");
    for _ in 0..4 {
        portal.browser(CHROME).signed_in(&maria).await;
    }
    fail_to_sign_in(&portal, &maria, 3).await;
    node.evaluate().await;
    assert_eq!(logged(&portal).await, (vec![], 0), "3 of 7");
    fail_to_sign_in(&portal, &maria, 1).await;
    portal.advance(seconds(30)).await;
    node.evaluate().await;
    assert_eq!(
        logged(&portal).await,
        (vec![AlertRule::SignInFailures], 0),
        "4 of 8"
    );
}

#[tokio::test]
async fn flapping_condition_is_one_alert() {
    let portal = Portal::with(&[
        NO_LISTENERS,
        ("PORTAL_ALERT_SIGN_IN_FAILURES", "1"),
        ("PORTAL_ALERT_SIGN_IN_FAILURES_WINDOW_SECONDS", "30"),
    ])
    .await;
    let maria = portal.broker("maria").await;
    let mut node = Evaluators::of(&portal.state, "a");
    for _ in 0..3 {
        fail_to_sign_in(&portal, &maria, 1).await;
        portal.advance(seconds(29)).await;
        node.evaluate().await;
        portal.advance(seconds(60)).await;
        node.evaluate().await;
    }
    assert_eq!(portal.rows("alerts").await, 1);
    assert_eq!(logged(&portal).await, (vec![AlertRule::SignInFailures], 0));
}

#[tokio::test]
async fn token_reuse_alert_clears_and_can_recur() {
    let portal = Portal::with(&[NO_LISTENERS]).await;
    let maria = portal.broker("maria").await;
    let mut nodes = two_nodes(&portal).await;
    for round in 0..2 {
        let mac = portal.desktop("mac").signed_in(&maria).await;
        let stolen = mac.refresh_token();
        mac.refresh().await.expect(200);
        portal.advance(seconds(31)).await;
        evaluate_both(&portal, &mut nodes, 30).await;
        assert_eq!(logged(&portal).await, (vec![], round));
        mac.exchange(&stolen).await.expect(401);
        evaluate_both(&portal, &mut nodes, 90).await;
        let (open, recent) = standing(&portal).await;
        assert_eq!((open.len(), recent), (1, round));
        assert_eq!(open[0].rule, AlertRule::TokenReuse);
        assert!(open[0].message.contains("1 time within 1 hour"), "{open:?}");
        evaluate_both(&portal, &mut nodes, 3600 + 120).await;
        assert_eq!(logged(&portal).await, (vec![], round + 1));
    }
}

#[tokio::test]
async fn distant_sign_ins_alert_clears_and_can_recur() {
    let portal = Portal::with(&[
        NO_LISTENERS,
        ("PORTAL_ALERT_FAR_SIGN_INS", "1"),
        ("PORTAL_ALERT_FAR_SIGN_INS_WINDOW_SECONDS", "300"),
    ])
    .await;
    let mut nodes = two_nodes(&portal).await;
    for (round, name) in ["maria", "jonas"].into_iter().enumerate() {
        let person = portal.broker(name).await;
        let chrome = portal.browser(CHROME).signed_in(&person).await;
        // A new browser raises a notice, but is not distant.
        portal.browser(FIREFOX).signed_in(&person).await;
        evaluate_both(&portal, &mut nodes, 30).await;
        assert_eq!(logged(&portal).await, (vec![], round));
        let there = chrome.clone().at("203.0.113.5");
        there.get("/dashboard").await.expect(200);
        evaluate_both(&portal, &mut nodes, 60).await;
        assert_eq!(logged(&portal).await, (vec![AlertRule::FarSignIns], round));
        evaluate_both(&portal, &mut nodes, 420).await;
        assert_eq!(logged(&portal).await, (vec![], round + 1));
    }
}

#[tokio::test]
async fn cleanup_that_never_finishes_raises_an_alert() {
    let portal = Portal::with(&[NO_LISTENERS]).await;
    let mut nodes = two_nodes(&portal).await;
    let clean_up = async || {
        let apart = TimeDelta::seconds(60);
        cleanup::run_unless_recent(&portal.state.database, &portal.clock, TimeDelta::days(30), apart).await
    };
    assert!(clean_up().await.expect("ran").is_some());
    for round in 0..2 {
        // Each further run starts and is interrupted.
        let refuse =
            "ALTER TABLE audit_events ADD CONSTRAINT refused CHECK (kind <> 'session_ended') NOT VALID";
        let maria = portal.broker(&format!("maria{round}")).await;
        portal.execute(refuse).await;
        portal.browser(CHROME).signed_in(&maria).await;
        portal.execute("UPDATE sessions SET last_active_at = last_active_at - interval '2 days' WHERE ended_at IS NULL").await;
        for _ in 0..2 {
            evaluate_both(&portal, &mut nodes, 3600).await;
            clean_up().await.expect_err("it breaks off");
            assert_eq!(logged(&portal).await, (vec![], round));
        }
        evaluate_both(&portal, &mut nodes, 3600).await;
        assert_eq!(logged(&portal).await, (vec![AlertRule::CleanupOverdue], round));
        portal
            .execute("ALTER TABLE audit_events DROP CONSTRAINT refused")
            .await;
        assert_eq!(clean_up().await.expect("ran").expect("its turn").ended, 1);
        evaluate_both(&portal, &mut nodes, 150).await;
        assert_eq!(logged(&portal).await, (vec![], round + 1));
    }
}

#[tokio::test]
async fn new_server_gives_cleanup_time_before_alerting() {
    let portal = Portal::with(&[NO_LISTENERS]).await;
    let apart = TimeDelta::seconds(60);
    let clean_up =
        cleanup::run_unless_recent(&portal.state.database, &portal.clock, TimeDelta::days(30), apart);
    clean_up.await.expect("ran").expect("its turn");
    // The rule is disabled for a week.
    portal.advance(seconds(7 * DAY)).await;
    let mut node = Evaluators::of(&portal.state, "a");
    node.evaluate().await;
    assert_eq!(logged(&portal).await, (vec![], 0));
    portal.advance(seconds(300)).await;
    node.evaluate().await;
    assert_eq!(logged(&portal).await, (vec![AlertRule::CleanupOverdue], 0));
}

#[tokio::test]
async fn each_running_node_reports_its_own_listener() {
    let portal = Portal::start().await;
    let mut nodes = two_nodes(&portal).await;
    let names = async || {
        let (open, _) = standing(&portal).await;
        let mut names: Vec<_> = open.into_iter().map(|alert| (alert.rule, alert.key)).collect();
        names.sort_by(|a, b| a.1.cmp(&b.1));
        names
    };
    let down = |name: &str| (AlertRule::ListenerDown, name.to_owned());
    evaluate_both(&portal, &mut nodes, 60).await;
    assert_eq!(names().await, [], "not for a minute yet");
    evaluate_both(&portal, &mut nodes, 60).await;
    assert_eq!(names().await, [down("a"), down("b")]);

    // One of the two listeners is connected again.
    let listening = portal.start_listener().await;
    evaluate_both(&portal, &mut nodes, 180).await;
    assert_eq!(names().await, [down("b")]);
    // The other server stops for good.
    let [a, _] = &mut nodes;
    for _ in 0..6 {
        portal.advance(seconds(30)).await;
        a.evaluate().await;
    }
    assert_eq!(names().await, []);
    drop(listening);
}

#[tokio::test]
async fn parallel_checks_raise_one_alert() {
    let portal = Portal::start().await;
    let mut watches: Vec<AlertEvaluator> = (0..8).map(|_| AlertEvaluator::new("a", portal.now())).collect();
    for evaluator in &mut watches {
        evaluator.evaluate(&portal.state).await.expect("looked");
    }
    portal.clock.advance(seconds(60));
    let looks = watches
        .iter_mut()
        .map(|evaluator| evaluator.evaluate(&portal.state));
    for looked in futures_util::future::join_all(looks).await {
        looked.expect("looked");
    }
    assert_eq!(portal.rows("alerts").await, 1);
}

#[tokio::test]
async fn disconnected_listener_is_logged_during_an_outage() {
    let log = CapturedLog::default();
    let portal = Portal::start().await;
    let guard = log.capture();
    let mut evaluator = AlertEvaluator::new("web-1:3000", portal.now());
    evaluator.evaluate(&portal.state).await.expect("looked");
    let outage = portal.disconnect_database().await;
    for _ in 0..5 {
        portal.clock.advance(seconds(30));
        evaluator
            .evaluate(&portal.state)
            .await
            .expect_err("the database is gone");
    }
    assert_eq!(log.lines("alert raised, not stored").len(), 1, "{}", log.text());
    assert!(
        log.text()
            .contains("The listener of server web-1:3000 has been disconnected")
    );
    outage.end().await;
    // The pool may first try broken connections.
    while evaluator.evaluate(&portal.state).await.is_err() {}
    let (open, _) = standing(&portal).await;
    assert_eq!(open.len(), 1, "now it can be stored: {open:?}");
    drop(guard);
}

#[tokio::test]
async fn changed_audit_log_alerts_until_restored() {
    let portal = Portal::start().await;
    let node = portal.second_node().await;
    let maria = portal.broker("maria").await;
    fail_to_sign_in(&portal, &maria, 4).await;
    portal.seal().await;
    // Unsealed rows are not a change.
    fail_to_sign_in(&portal, &maria, 1).await;
    portal.advance(seconds(300)).await;
    let look = async |state: &AppState| audit_chain_rule::evaluate_if_due(state).await.expect("looked");
    assert!(look(&portal.state).await);
    assert!(!look(&node.state).await, "once a day");
    assert_eq!(logged(&portal).await, (vec![], 0));

    for round in 0..2 {
        portal
            .tamper("UPDATE audit_events SET reason = 'another' WHERE id = (SELECT min(id) + 2 FROM audit_events)")
            .await;
        portal.advance(seconds(DAY / 2)).await;
        assert!(!look(&portal.state).await, "once a day");
        portal.advance(seconds(DAY / 2)).await;
        assert!(look(&node.state).await);
        portal.advance(seconds(3600)).await;
        assert!(look(&portal.state).await, "it is looked at again soon");
        let (open, recent) = standing(&portal).await;
        assert_eq!((open.len(), recent), (1, round));
        assert_eq!(open[0].rule, AlertRule::AuditChainBroken);
        assert!(
            open[0].message.contains("was changed after it was sealed"),
            "{open:?}"
        );
        portal
            .tamper("UPDATE audit_events SET reason = 'wrong_password' WHERE reason = 'another'")
            .await;
        portal.advance(seconds(3600)).await;
        assert!(look(&portal.state).await);
        assert_eq!(logged(&portal).await, (vec![], round + 1));
    }
}

#[tokio::test]
async fn truncated_audit_log_raises_an_alert() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    fail_to_sign_in(&portal, &maria, 4).await;
    portal.seal().await;
    assert!(
        audit_chain_rule::evaluate_if_due(&portal.state)
            .await
            .expect("looked")
    );
    // Remove the end of both log and chain, so that the rest is consistent.
    portal
        .tamper("DELETE FROM audit_events WHERE id = (SELECT max(id) FROM audit_events)")
        .await;
    portal
        .tamper("DELETE FROM audit_chain WHERE position = (SELECT max(position) FROM audit_chain)")
        .await;
    assert_eq!(portal.audit_problems().await, []);
    portal.advance(seconds(DAY)).await;
    assert!(
        audit_chain_rule::evaluate_if_due(&portal.state)
            .await
            .expect("looked")
    );
    let (open, _) = standing(&portal).await;
    assert!(open[0].message.contains("it was truncated"), "{open:?}");
}

#[tokio::test]
async fn interrupted_audit_verification_repeats_within_the_hour() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    fail_to_sign_in(&portal, &maria, 1).await;
    portal.seal().await;
    let rename = async |from: &str, to: &str| {
        let statement = format!("ALTER TABLE {from} RENAME TO {to}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&portal.sql)
            .await
            .expect("renamed");
    };
    rename("audit_unsealed", "elsewhere").await;
    audit_chain_rule::evaluate_if_due(&portal.state)
        .await
        .expect_err("a table is missing");
    rename("elsewhere", "audit_unsealed").await;
    assert!(
        !audit_chain_rule::evaluate_if_due(&portal.state)
            .await
            .expect("not yet")
    );
    portal.advance(seconds(3600)).await;
    assert!(
        audit_chain_rule::evaluate_if_due(&portal.state)
            .await
            .expect("looked")
    );
}

#[tokio::test]
async fn disabled_rule_clears_its_alerts_and_stays_silent() {
    let portal = Portal::with(&[NO_LISTENERS, ("PORTAL_ALERT_SIGN_IN_FAILURES", "1")]).await;
    let maria = portal.broker("maria").await;
    fail_to_sign_in(&portal, &maria, 1).await;
    Evaluators::of(&portal.state, "a").evaluate().await;
    assert_eq!(logged(&portal).await, (vec![AlertRule::SignInFailures], 0));

    let off = [NO_LISTENERS, ("PORTAL_ALERT_SIGN_IN_FAILURES", "off")];
    let restarted = portal.restarted_with(&off);
    portal.advance(seconds(30)).await;
    Evaluators::of(&restarted, "a").evaluate().await;
    assert_eq!(logged(&portal).await, (vec![], 1));
    let rules = alerts::rules(&restarted.config.alerts);
    let on: Vec<_> = rules
        .iter()
        .map(|setting| (setting.rule, setting.threshold.is_some()))
        .collect();
    let expected = AlertRule::ALL.map(|rule| {
        let off = [AlertRule::SignInFailures, AlertRule::ListenerDown];
        (rule, !off.contains(&rule))
    });
    assert_eq!(on, expected);
    assert_eq!(rules[1].threshold.as_deref(), Some("1 time within 1 hour"));
}

#[tokio::test]
async fn alerts_without_webhook_are_stored_and_logged() {
    let log = CapturedLog::default();
    let portal = Portal::with(&[NO_LISTENERS, ("PORTAL_ALERT_SIGN_IN_FAILURES", "1")]).await;
    let maria = portal.broker("maria").await;
    let mut node = Evaluators::of(&portal.state, "a");
    fail_to_sign_in(&portal, &maria, 1).await;
    let guard = log.capture();
    for _ in 0..30 {
        node.evaluate().await;
        portal.clock.advance(seconds(30));
    }
    drop(guard);
    assert_eq!(logged(&portal).await, (vec![], 1));
    assert_eq!(log.lines("alert raised: 1 of 1 sign-in failed").len(), 1);
    assert_eq!(log.lines("alert cleared after").len(), 1, "{}", log.text());
    assert_eq!(portal.rows("alert_deliveries").await, 0);
}
