//! The webhook for alerts: signatures, retries and secrecy.

use crate::alerts::{DAY, Evaluators, NO_LISTENERS, fail_to_sign_in, logged, standing};
use crate::harness::*;
use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::IntoResponse,
};
use broker_portal::server::{
    services::alerts::{
        self,
        webhook_sender::{RECEIVER_TIMEOUT, WebhookSender},
    },
    store::audit::Actor,
};
use chrono::TimeDelta;
use data_encoding::BASE64;
use domain::{
    alert::{AlertRule, DeliveryOutcome},
    ids::UserId,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

/// Queues a test message like an administrator.
async fn queue_test(portal: &Portal) {
    let database = &portal.state.database;
    let mut tx = database.begin().await.expect("a transaction");
    let queued = alerts::queue_test(&mut tx, &portal.state.config, Actor::default(), portal.now());
    queued.await.expect("queued");
    tx.commit().await.expect("committed");
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

    /// Compares the signature with that of the library of Standard Webhooks.
    #[track_caller]
    fn assert_signed(&self, portal: &Portal) {
        let timestamp = self.header("webhook-timestamp");
        let expected = standardwebhooks::Webhook::from_bytes(KEY.to_vec())
            .and_then(|webhook| {
                let timestamp = timestamp.parse().expect("a time");
                webhook.sign(self.header("webhook-id"), timestamp, self.body.as_bytes())
            })
            .expect("a signature");
        assert_eq!(self.header("webhook-signature"), expected);
        assert_eq!(timestamp, portal.now().timestamp().to_string());
        assert_eq!(self.header("content-type"), "application/json");
    }
}

/// How the receiver responds.
#[derive(Clone, Copy, Debug)]
enum WebhookResponse {
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
    responses: Arc<Mutex<VecDeque<WebhookResponse>>>,
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
        let responses = Arc::new(Mutex::new(VecDeque::<WebhookResponse>::new()));
        let hanging = Arc::new(Notify::new());
        let app = Router::new().fallback({
            let (got, responses, hanging) = (got.clone(), responses.clone(), hanging.clone());
            async move |headers: HeaderMap, body: Bytes| {
                let body = String::from_utf8(body.to_vec()).expect("text");
                got.lock()
                    .expect("nobody panicked")
                    .push(Received { headers, body });
                let response = responses.lock().expect("nobody panicked").pop_front();
                match response.unwrap_or(WebhookResponse::With(200)) {
                    WebhookResponse::With(status) => {
                        let status = StatusCode::from_u16(status).expect("a status");
                        (status, [(LOCATION, "/elsewhere")], "no news").into_response()
                    }
                    WebhookResponse::Hangs => {
                        hanging.notify_one();
                        std::future::pending().await
                    }
                    WebhookResponse::Babbles => {
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
            responses,
            hanging,
            task,
        }
    }

    fn respond_with(&self, responses: &[WebhookResponse]) {
        self.responses.lock().expect("nobody panicked").extend(responses);
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
    assert_eq!(deliver(&portal).await, 0, "each message is sent once");
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
    receiver.respond_with(&[
        WebhookResponse::With(500),
        WebhookResponse::With(302),
        WebhookResponse::With(503),
    ]);
    assert_eq!(deliver(&portal).await, 0);
    assert_eq!(deliver(&portal).await, 0);
    assert_eq!(receiver.got().len(), 1, "not before its time");
    let (open, _) = standing(&portal).await;
    let delivery = &open[0].deliveries[0];
    assert_eq!(
        (delivery.attempts, delivery.outcome),
        (1, DeliveryOutcome::Waiting)
    );
    assert_eq!(
        delivery.last_error.as_deref(),
        Some("the receiver responded with status 500")
    );

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
    let log = CapturedLog::default();
    let receiver = Receiver::start().await;
    let portal = receiver.portal().await;
    receiver.task.abort();
    queue_test(&portal).await;
    let guard = log.capture();
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
    assert_eq!(log.lines("message dropped").len(), 1, "{}", log.text());
}

/// Returns whether a message is due.
async fn is_due(portal: &Portal) -> bool {
    portal
        .scalar(&format!(
            "SELECT EXISTS (SELECT FROM alert_deliveries WHERE next_attempt_at <= '{}')",
            portal.now()
        ))
        .await
}

#[tokio::test]
async fn hanging_receiver_delays_nothing_and_fails_over() {
    let receiver = Receiver::start().await;
    let portal = receiver.portal().await;
    let maria = portal.broker("maria").await;
    let mut node = Evaluators::of(&portal.state, "a");
    fail_to_sign_in(&portal, &maria, 1).await;
    node.evaluate().await;
    receiver.respond_with(&[WebhookResponse::Hangs]);
    let sending = tokio::spawn({
        let portal = portal.clone();
        async move { deliver(&portal).await }
    });
    receiver.hanging.notified().await;
    // Meanwhile no transaction is open and no row is locked.
    let open: i64 = portal
        .scalar(
            "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'",
        )
        .await;
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
    receiver.respond_with(&[WebhookResponse::Hangs, WebhookResponse::Babbles]);
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
            .is_some_and(|error| error.starts_with("no response within")),
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
    let admin = portal.system_admin("admin").await;
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
    let admin = without.system_admin("admin").await;
    let refused = ask(&without, &admin).await.expect(422).json();
    assert_eq!(
        (&refused["code"], &refused["field"]),
        (&json!("invalid_input"), &json!("webhook"))
    );
    assert_eq!(without.rows("alert_deliveries").await, 0);
    assert_eq!(without.audit("alert_test_sent").await, []);
}

#[tokio::test]
async fn webhook_key_and_url_appear_nowhere() {
    let log = CapturedLog::default();
    let receiver = Receiver::start().await;
    let portal = receiver.portal().await;
    let guard = log.capture();
    receiver.respond_with(&[WebhookResponse::With(500), WebhookResponse::With(302)]);
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
