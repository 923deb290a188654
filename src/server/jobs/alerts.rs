//! Evaluates the alert rules, verifies the audit log and delivers alerts. Three jobs, so that none waits for another: not
//! for a receiver that hangs, nor for a long audit log.

use std::time::Duration;

use crate::server::{
    clock::Clock,
    database::Database,
    lifecycle::{Job, Jobs, LONG, SHORT},
    services::alerts::{
        audit_chain_rule,
        evaluation::AlertEvaluator,
        webhook_sender::{RECEIVER_TIMEOUT, WebhookSender},
    },
    state::AppState,
};

/// Starts the jobs; `node` is the name of this one.
pub fn start(jobs: &Jobs, state: &AppState, node: String) {
    jobs.start(EvaluateRules {
        rules: AlertEvaluator::new(node, state.clock.now()),
        state: state.clone(),
    });
    jobs.start(VerifyAuditLog { state: state.clone() });
    if let Some(webhook) = &state.config.alerts.webhook {
        jobs.start(DeliverAlerts {
            sender: WebhookSender::new(webhook.clone(), RECEIVER_TIMEOUT),
            clock: state.clock.clone(),
            database: state.database.clone(),
        });
    }
}

struct EvaluateRules {
    rules: AlertEvaluator,
    state: AppState,
}

impl Job for EvaluateRules {
    const NAME: &'static str = "alerts";
    const LIMIT: Option<Duration> = Some(SHORT);

    fn interval(&self) -> Duration {
        self.state.config.alerts.interval
    }

    async fn round(&mut self) {
        if let Err(error) = self.rules.evaluate(&self.state).await {
            tracing::warn!(%error, "alert rules not evaluated");
        }
    }
}

struct VerifyAuditLog {
    state: AppState,
}

impl Job for VerifyAuditLog {
    const NAME: &'static str = "audit_log";
    const LIMIT: Option<Duration> = Some(LONG);

    /// How often a node asks whether a verification is due, which a setting decides.
    fn interval(&self) -> Duration {
        Duration::from_secs(300)
    }

    async fn round(&mut self) {
        match audit_chain_rule::evaluate_if_due(&self.state).await {
            Ok(true) => tracing::debug!("audit log verified"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "audit log not verified, retrying"),
        }
    }
}

struct DeliverAlerts {
    sender: WebhookSender,
    clock: Clock,
    database: Database,
}

impl Job for DeliverAlerts {
    const NAME: &'static str = "alert_delivery";
    const LIMIT: Option<Duration> = Some(LONG);

    fn interval(&self) -> Duration {
        Duration::from_secs(3)
    }

    async fn round(&mut self) {
        if let Err(error) = self.sender.deliver_due(&self.database, &self.clock).await {
            tracing::warn!(%error, "alerts not delivered, retrying");
        }
    }
}
