//! Looks whether something is wrong, and tells the webhook, until the task is ended.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::server::{
    lifecycle::heartbeat::{LONG, SHORT},
    services::alerts::{
        audit_chain_rule,
        evaluation::AlertEvaluator,
        webhook_sender::{RECEIVER_TIMEOUT, WebhookSender},
    },
    state::AppState,
};

/// How soon the webhook is told.
const DELIVERY: Duration = Duration::from_secs(3);

/// How often a node asks whether the audit log is to be looked at. How often it is, the settings say.
const AUDIT_LOG: Duration = Duration::from_secs(300);

/// Each part goes on whatever holds up the others: a receiver that hangs, an audit log that is long.
pub async fn run(state: AppState, node: String) {
    tokio::join!(watch(&state, node), look_at_audit_log(&state), deliver(&state));
}

async fn watch(state: &AppState, node: String) {
    let mut evaluator = AlertEvaluator::new(node, state.clock.now());
    let mut ticks = interval(state.config.alerts.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = state.jobs.round("alerts", SHORT, evaluator.evaluate(state)).await {
            tracing::warn!(%error, "what would be alerts could not be looked at");
        }
    }
}

async fn look_at_audit_log(state: &AppState) {
    let mut ticks = interval(AUDIT_LOG);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match state
            .jobs
            .round("audit_log", LONG, audit_chain_rule::evaluate_if_due(state))
            .await
        {
            Ok(true) => tracing::debug!("looked at the audit log"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "a look at the audit log broke off; it is repeated"),
        }
    }
}

async fn deliver(state: &AppState) {
    let Some(webhook) = &state.config.alerts.webhook else {
        return;
    };
    let sender = WebhookSender::new(webhook.clone(), RECEIVER_TIMEOUT);
    let mut ticks = interval(DELIVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let delivering = sender.deliver_due(&state.database, &state.clock);
        if let Err(error) = state.jobs.round("alert_delivery", LONG, delivering).await {
            tracing::warn!(%error, "alerts wait to be delivered");
        }
    }
}
