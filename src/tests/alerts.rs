//! Alerts: raised once over all nodes, and cleared when the condition ends.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::IntoResponse,
};
use domain::{
    alert::{Alert, AlertRule, DeliveryOutcome},
    ids::UserId,
};

use broker_portal::server::{
    services::{
        alerts::{
            self, audit_chain_rule,
            evaluation::AlertEvaluator,
            webhook_sender::{RECEIVER_TIMEOUT, WebhookSender},
        },
        cleanup,
    },
    state::AppState,
    store::audit::Actor,
};
use chrono::TimeDelta;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

use crate::harness::*;

const DAY: u64 = 24 * 3600;

/// Returns the open alerts, newest first, and the number of cleared ones.
async fn standing(portal: &Portal) -> (Vec<Alert>, usize) {
    let list = alerts::list(&portal.state.database).await.expect("the alerts");
    (list.open, list.recent.len())
}

/// Returns the rules of the open alerts and the number of cleared ones.
async fn logged(portal: &Portal) -> (Vec<AlertRule>, usize) {
    let (open, recent) = standing(portal).await;
    (open.iter().map(|alert| alert.rule).collect(), recent)
}

/// A node that evaluates every 30 seconds.
struct Evaluators {
    state: AppState,
    watch: AlertEvaluator,
}

impl Evaluators {
    fn of(state: &AppState, name: &str) -> Self {
        Self {
            state: state.clone(),
            watch: AlertEvaluator::new(name, state.clock.now()),
        }
    }

    async fn evaluate(&mut self) {
        self.watch.evaluate(&self.state).await.expect("looked");
    }
}

/// Evaluates on two nodes at the same time, every 30 seconds for a while.
async fn evaluate_both(portal: &Portal, nodes: &mut [Evaluators; 2], time: u64) {
    let [a, b] = nodes;
    for _ in 0..time / 30 {
        portal.advance(seconds(30)).await;
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

/// Queues a test message like an administrator.
async fn queue_test(portal: &Portal) {
    let database = &portal.state.database;
    let mut tx = database.begin().await.expect("a transaction");
    let queued = alerts::queue_test(&mut tx, &portal.state.config, Actor::default(), portal.now());
    queued.await.expect("queued");
    tx.commit().await.expect("committed");
}

async fn fail_to_sign_in(portal: &Portal, person: &TestUser, times: usize) {
    for _ in 0..times {
        let answer = portal.browser(CHROME).try_sign_in(&person.email, "not it").await;
        answer.expect(401);
    }
}

/// Turns off the rule for listeners where it is not the subject.
const NO_LISTENERS: (&str, &str) = ("PORTAL_ALERT_LISTENER_DOWN_SECONDS", "off");

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
        sqlx::query(refuse).execute(&portal.sql).await.expect("altered");
        portal.browser(CHROME).signed_in(&maria).await;
        sqlx::query(
            "UPDATE sessions SET last_active_at = last_active_at - interval '2 days' WHERE ended_at IS NULL",
        )
        .execute(&portal.sql)
        .await
        .expect("run out");
        for _ in 0..2 {
            evaluate_both(&portal, &mut nodes, 3600).await;
            clean_up().await.expect_err("it breaks off");
            assert_eq!(logged(&portal).await, (vec![], round));
        }
        evaluate_both(&portal, &mut nodes, 3600).await;
        assert_eq!(logged(&portal).await, (vec![AlertRule::CleanupOverdue], round));
        sqlx::query("ALTER TABLE audit_events DROP CONSTRAINT refused")
            .execute(&portal.sql)
            .await
            .expect("altered");
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
    let log = Log::default();
    let portal = Portal::start().await;
    let guard = tracing::subscriber::set_default(log.subscriber(LevelFilter::INFO));
    let mut evaluator = AlertEvaluator::new("web-1:3000", portal.now());
    evaluator.evaluate(&portal.state).await.expect("looked");
    let outage = portal.disconnect_database().await;
    for _ in 0..5 {
        portal.clock.advance(seconds(30));
        evaluator
            .evaluate(&portal.state)
            .await
            .expect_err("nobody answers");
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

// The webhook

const KEY: &[u8] = b"twenty-four bytes of key";

/// A request that the receiver got.
#[derive(Clone, Debug)]
struct Received {
    headers: HeaderMap,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("text")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// "The content is signed by concatenating the unique identifier, timestamp and payload separated by full-stop (`.`)",
    /// with HMAC-SHA256, and sent as `v1,` and base64 (Standard Webhooks, "Verifying webhook authenticity").
    #[track_caller]
    fn assert_signed(&self, portal: &Portal) {
        let (id, timestamp) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY).expect("a key");
        mac.update(format!("{id}.{timestamp}.{}", self.body).as_bytes());
        let (version, signature) = self
            .header("webhook-signature")
            .split_once(',')
            .expect("a version");
        assert_eq!(version, "v1");
        mac.verify_slice(&BASE64.decode(signature.as_bytes()).expect("base64"))
            .expect("the signature is right");
        assert_eq!(timestamp, portal.now().timestamp().to_string());
        assert_eq!(self.header("content-type"), "application/json");
    }
}

/// How the receiver answers.
#[derive(Clone, Copy, Debug)]
enum Answers {
    With(u16),
    /// Never.
    Hangs,
    /// With an endless response.
    Babbles,
}

/// A webhook receiver on a local port.
struct Receiver {
    url: String,
    got: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<VecDeque<Answers>>>,
    hanging: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/T0P/S3CRET", listener.local_addr().expect("bound"));
        let got = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(VecDeque::<Answers>::new()));
        let hanging = Arc::new(Notify::new());
        let app = Router::new().fallback({
            let (got, answers, hanging) = (got.clone(), answers.clone(), hanging.clone());
            async move |headers: HeaderMap, body: Bytes| {
                let body = String::from_utf8(body.to_vec()).expect("text");
                got.lock()
                    .expect("nobody panicked")
                    .push(Received { headers, body });
                let answer = answers.lock().expect("nobody panicked").pop_front();
                match answer.unwrap_or(Answers::With(200)) {
                    Answers::With(status) => {
                        let status = StatusCode::from_u16(status).expect("a status");
                        (status, [(LOCATION, "/elsewhere")], "no news").into_response()
                    }
                    Answers::Hangs => {
                        hanging.notify_one();
                        std::future::pending().await
                    }
                    Answers::Babbles => {
                        let again = futures_util::stream::repeat(Ok::<_, std::convert::Infallible>(
                            Bytes::from_static(&[b'.'; 1024]),
                        ));
                        axum::body::Body::from_stream(again).into_response()
                    }
                }
            }
        });
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("served");
        });
        Self {
            url,
            got,
            answers,
            hanging,
            task,
        }
    }

    fn answers(&self, answers: &[Answers]) {
        self.answers.lock().expect("nobody panicked").extend(answers);
    }

    fn got(&self) -> Vec<Received> {
        self.got.lock().expect("nobody panicked").clone()
    }

    /// Returns the received states, in order.
    fn states(&self) -> Vec<String> {
        let got = self.got();
        let state = |received: &Received| received.json()["state"].as_str().expect("a state").to_owned();
        got.iter().map(state).collect()
    }

    async fn portal(&self) -> Portal {
        let secret = format!("whsec_{}", BASE64.encode(KEY));
        Portal::with(&[
            NO_LISTENERS,
            ("PORTAL_ALERT_SIGN_IN_FAILURES", "1"),
            ("PORTAL_ALERT_WEBHOOK_URL", &self.url),
            ("PORTAL_ALERT_WEBHOOK_SECRET", &secret),
        ])
        .await
    }
}

fn sender(portal: &Portal) -> WebhookSender {
    let webhook = portal.state.config.alerts.webhook.clone();
    WebhookSender::new(webhook.expect("a webhook"), RECEIVER_TIMEOUT)
}

/// Sends due messages and returns how many were delivered.
async fn deliver(portal: &Portal) -> usize {
    sender(portal)
        .deliver_due(&portal.state.database, &portal.clock)
        .await
        .expect("sent")
}

#[tokio::test]
async fn webhook_signature_can_be_verified() {
    let receiver = Receiver::start().await;
    let portal = receiver.portal().await;
    let maria = portal.broker("maria").await;
    let mut node = Evaluators::of(&portal.state, "a");
    fail_to_sign_in(&portal, &maria, 1).await;
    node.evaluate().await;
    assert_eq!(deliver(&portal).await, 1);
    let raised = receiver.got().remove(0);
    raised.assert_signed(&portal);
    let (open, _) = standing(&portal).await;
    let expected = json!({
        "id": open[0].id,
        "rule": "sign_in_failures",
        "state": "raised",
        "key": "",
        "message": "1 of 1 sign-in failed within 10 minutes.",
        "figures": { "failed": 1, "sign_ins": 1, "window_seconds": 600 },
        "at": domain::time::format_rfc3339(portal.now()),
        "portal": portal.state.config.public_url.origin(),
    });
    assert_eq!(raised.json(), expected);

    portal.advance(seconds(900)).await;
    node.evaluate().await;
    assert_eq!(deliver(&portal).await, 1);
    let cleared = receiver.got().remove(1);
    cleared.assert_signed(&portal);
    assert_eq!(
        (&cleared.json()["id"], &cleared.json()["state"]),
        (&expected["id"], &json!("cleared"))
    );
    assert_ne!(cleared.header("webhook-id"), raised.header("webhook-id"));
    assert_eq!(deliver(&portal).await, 0, "each is told once");
    let list = alerts::list(&portal.state.database).await.expect("the alerts");
    let outcomes: Vec<_> = list.recent[0]
        .deliveries
        .iter()
        .map(|d| (&*d.state, d.outcome))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("raised", DeliveryOutcome::Delivered),
            ("cleared", DeliveryOutcome::Delivered)
        ]
    );
}

#[tokio::test]
async fn rejected_message_is_retried_in_order() {
    let receiver = Receiver::start().await;
    let portal = receiver.portal().await;
    let maria = portal.broker("maria").await;
    let mut node = Evaluators::of(&portal.state, "a");
    fail_to_sign_in(&portal, &maria, 1).await;
    node.evaluate().await;
    receiver.answers(&[Answers::With(500), Answers::With(302), Answers::With(503)]);
    assert_eq!(deliver(&portal).await, 0);
    assert_eq!(deliver(&portal).await, 0);
    assert_eq!(receiver.got().len(), 1, "not before its time");
    let (open, _) = standing(&portal).await;
    let delivery = &open[0].deliveries[0];
    assert_eq!(
        (delivery.attempts, delivery.outcome),
        (1, DeliveryOutcome::Waiting)
    );
    assert_eq!(delivery.last_error.as_deref(), Some("the receiver answered 500"));

    portal.advance(seconds(900)).await;
    node.evaluate().await;
    assert_eq!(deliver(&portal).await, 0, "the end waits");
    assert_eq!(receiver.got().len(), 2, "a redirect is not followed");
    portal.advance(seconds(60)).await;
    assert_eq!(deliver(&portal).await, 0);
    portal.advance(seconds(60)).await;
    assert_eq!(deliver(&portal).await, 2);
    assert_eq!(
        receiver.states(),
        ["raised", "raised", "raised", "raised", "cleared"]
    );
    let got = receiver.got();
    let ids: Vec<_> = got
        .iter()
        .map(|one| one.header("webhook-id").to_owned())
        .collect();
    assert!(
        ids[..4].iter().all(|id| *id == ids[0]) && ids[4] != ids[0],
        "{ids:?}"
    );
    assert!(got[..4].iter().all(|one| one.body == got[0].body));
    got[4].assert_signed(&portal);
    got[3].assert_signed(&portal);
}

#[tokio::test]
async fn undelivered_message_is_dropped_after_a_day() {
    let log = Log::default();
    let receiver = Receiver::start().await;
    let portal = receiver.portal().await;
    receiver.task.abort();
    queue_test(&portal).await;
    let guard = tracing::subscriber::set_default(log.subscriber(LevelFilter::INFO));
    for _ in 0..26 * 60 {
        if is_due(&portal).await {
            deliver(&portal).await;
        }
        portal.clock.advance(seconds(60));
    }
    drop(guard);
    let list = alerts::list(&portal.state.database).await.expect("the alerts");
    let test = &list.tests[0];
    assert_eq!(test.outcome, DeliveryOutcome::GivenUp);
    assert!(
        test.outcome_at - test.created_at <= TimeDelta::hours(24),
        "{test:?}"
    );
    assert!(
        test.outcome_at - test.created_at >= TimeDelta::hours(22),
        "{test:?}"
    );
    assert!((25..40).contains(&test.attempts), "{test:?}");
    assert!(
        test.last_error
            .as_deref()
            .is_some_and(|error| error.starts_with("no connection"))
    );
    assert_eq!(log.lines("alert dropped").len(), 1, "{}", log.text());
}

/// Returns whether a message is due.
async fn is_due(portal: &Portal) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM alert_deliveries WHERE next_attempt_at <= $1)")
        .bind(portal.now())
        .fetch_one(&portal.sql)
        .await
        .expect("a count")
}

#[tokio::test]
async fn hanging_receiver_delays_nothing_and_fails_over() {
    let receiver = Receiver::start().await;
    let portal = receiver.portal().await;
    let maria = portal.broker("maria").await;
    let mut node = Evaluators::of(&portal.state, "a");
    fail_to_sign_in(&portal, &maria, 1).await;
    node.evaluate().await;
    receiver.answers(&[Answers::Hangs]);
    let sending = tokio::spawn({
        let portal = portal.clone();
        async move { deliver(&portal).await }
    });
    receiver.hanging.notified().await;
    // Meanwhile no transaction is open and no row is locked.
    let open: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'",
    )
    .fetch_one(&portal.sql)
    .await
    .expect("a count");
    assert_eq!(open, 0);
    sqlx::query("SELECT FROM alert_deliveries FOR UPDATE NOWAIT")
        .fetch_all(&portal.sql)
        .await
        .expect("not locked");
    assert_eq!(deliver(&portal).await, 0, "nobody sends it twice at once");
    portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(30)).await;
    node.evaluate().await;
    assert!(!sending.is_finished());

    // The node dies with the message.
    sending.abort();
    portal.advance(seconds(31)).await;
    let second = portal.second_node().await;
    let taken = sender(&portal)
        .deliver_due(&second.state.database, &portal.clock)
        .await;
    assert_eq!(taken.expect("sent"), 1);
    let ids: Vec<_> = receiver
        .got()
        .iter()
        .map(|one| one.header("webhook-id").to_owned())
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn slow_and_endless_webhook_responses_time_out() {
    let receiver = Receiver::start().await;
    let portal = receiver.portal().await;
    let webhook = portal.state.config.alerts.webhook.clone().expect("a webhook");
    let impatient = WebhookSender::new(webhook, Duration::from_millis(100));
    let test = async || {
        queue_test(&portal).await;
    };
    receiver.answers(&[Answers::Hangs, Answers::Babbles]);
    test().await;
    let database = &portal.state.database;
    assert_eq!(
        impatient
            .deliver_due(database, &portal.clock)
            .await
            .expect("sent"),
        0
    );
    let list = alerts::list(database).await.expect("the alerts");
    assert!(
        list.tests[0]
            .last_error
            .as_deref()
            .is_some_and(|error| error.starts_with("no answer within")),
        "{list:?}"
    );
    // Status 200 counts, whatever the body contains.
    test().await;
    assert_eq!(deliver(&portal).await, 1);
}

#[tokio::test]
async fn parallel_senders_send_each_message_once() {
    let receiver = Receiver::start().await;
    let portal = receiver.portal().await;
    for _ in 0..20 {
        queue_test(&portal).await;
    }
    let (a, b, c) = tokio::join!(deliver(&portal), deliver(&portal), deliver(&portal));
    assert_eq!(a + b + c, 20);
    let mut ids: Vec<_> = receiver
        .got()
        .iter()
        .map(|one| one.header("webhook-id").to_owned())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), receiver.got().len()), (20, 20));
}

#[tokio::test]
async fn test_alert_is_marked_and_audited() {
    let receiver = Receiver::start().await;
    let portal = receiver.portal().await;
    let admin = portal.user("admin").role(Role::SystemAdmin).create().await;
    let ask = async |portal: &Portal, admin: &TestUser| {
        let browser = portal.browser(CHROME).signed_in(admin).await;
        browser.post("/api/admin_test_alerts").await
    };
    ask(&portal, &admin).await.expect(200);
    assert_eq!(deliver(&portal).await, 1);
    let test = receiver.got().remove(0);
    test.assert_signed(&portal);
    assert_eq!(test.json()["state"], "test");
    assert_eq!(test.json()["rule"], "test");
    let rows = portal.audit("alert_test_sent").await;
    let actors: Vec<Option<UserId>> = rows.iter().map(|row| row.actor).collect();
    assert_eq!(actors, [Some(admin.id)]);
    assert_eq!(logged(&portal).await, (vec![], 0));

    let without = Portal::start().await;
    let admin = without.user("admin").role(Role::SystemAdmin).create().await;
    let refused = ask(&without, &admin).await.expect(422).json();
    assert_eq!(
        (&refused["code"], &refused["field"]),
        (&json!("invalid_input"), &json!("webhook"))
    );
    assert_eq!(without.rows("alert_deliveries").await, 0);
    assert_eq!(without.audit("alert_test_sent").await, []);
}

#[tokio::test]
async fn alerts_without_webhook_are_stored_and_logged() {
    let log = Log::default();
    let portal = Portal::with(&[NO_LISTENERS, ("PORTAL_ALERT_SIGN_IN_FAILURES", "1")]).await;
    let maria = portal.broker("maria").await;
    let mut node = Evaluators::of(&portal.state, "a");
    fail_to_sign_in(&portal, &maria, 1).await;
    let guard = tracing::subscriber::set_default(log.subscriber(LevelFilter::INFO));
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

#[tokio::test]
async fn webhook_key_and_url_appear_nowhere() {
    let log = Log::default();
    let receiver = Receiver::start().await;
    let portal = receiver.portal().await;
    let guard = tracing::subscriber::set_default(log.subscriber(LevelFilter::TRACE));
    receiver.answers(&[Answers::With(500), Answers::With(302)]);
    let test = async || {
        queue_test(&portal).await;
    };
    test().await;
    deliver(&portal).await;
    portal.clock.advance(seconds(60));
    deliver(&portal).await;
    portal.clock.advance(seconds(60));
    assert_eq!(deliver(&portal).await, 1);
    receiver.task.abort();
    test().await;
    deliver(&portal).await;
    drop(guard);
    assert_eq!(receiver.got().len(), 3);
    let debug = format!("{:?}", portal.state);
    let places = [
        ("log", log.text()),
        ("database", portal.dump().await),
        ("debug", debug),
    ];
    assert!(places[0].1.contains("webhook delivery failed"), "{}", places[0].1);
    assert!(
        places[1].1.contains("no connection to the receiver"),
        "the dump is a dump"
    );
    assert!(places[2].1.contains("WebhookSecret(..)"));
    for (place, text) in places {
        for secret in [
            "S3CRET",
            &BASE64.encode(KEY),
            std::str::from_utf8(KEY).expect("text"),
            &format!("{KEY:?}"),
        ] {
            assert!(!text.contains(secret), "{place} holds {secret}");
        }
    }
}

#[tokio::test]
async fn retention_deletes_closed_alerts_and_keeps_open_ones() {
    let receiver = Receiver::start().await;
    let portal = receiver.portal().await;
    let maria = portal.broker("maria").await;
    let mut node = Evaluators::of(&portal.state, "a");
    fail_to_sign_in(&portal, &maria, 1).await;
    node.evaluate().await;
    portal.advance(seconds(900)).await;
    node.evaluate().await;
    fail_to_sign_in(&portal, &maria, 1).await;
    portal.advance(seconds(30)).await;
    node.evaluate().await;
    queue_test(&portal).await;
    assert_eq!(deliver(&portal).await, 4);
    portal.advance(seconds(30 * DAY - 60)).await;
    let report = portal.clean_up().await;
    assert_eq!((report.alerts_deleted, report.deliveries_deleted), (0, 0));
    portal.advance(seconds(120)).await;
    let report = portal.clean_up().await;
    assert_eq!((report.alerts_deleted, report.deliveries_deleted), (1, 1));
    assert_eq!(logged(&portal).await, (vec![AlertRule::SignInFailures], 0));
    assert_eq!(portal.rows("alert_deliveries").await, 1);
}

/// The log of a test, which runs on one thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn subscriber(&self, level: LevelFilter) -> impl tracing::Subscriber + Send + Sync + use<> {
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(self.clone())
            .with_ansi(false)
            .finish()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("nobody panicked").clone()).expect("text")
    }

    fn lines(&self, part: &str) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().filter(|line| line.contains(part));
        lines.map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}
