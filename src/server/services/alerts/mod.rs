//! Alerts for operators.
//!
//! [`evaluation`] evaluates the rules and raises each alert once for all nodes. [`audit_chain_rule`] verifies the audit log,
//! which takes longer. [`webhook_sender`] sends the alerts. This module loads alerts for the page.

pub mod audit_chain_rule;
pub mod evaluation;
pub mod webhook_sender;

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::server::database::Connection;
use domain::{
    alert::{AlertList, AlertRule, AlertRuleSetting, Delivery},
    ids::AlertId,
    time::{format_duration, format_rfc3339, pluralize},
};

use crate::{
    error::AppError,
    server::{
        config::{
            Config,
            alerts::{AlertRules, CountThreshold, FailureRate},
        },
        database::Database,
        services::admin::AdminRequest,
        store::{
            alert_deliveries::{self, NewDelivery},
            alerts::{self, ClearedAlert, Finding},
            audit::{self, Actor, AuditEvent},
        },
    },
};

/// Cleared alerts on the page.
const RECENT: i64 = 50;

/// Webhook tests on the page.
const TESTS: i64 = 5;

/// Open and recent alerts with their deliveries.
///
/// # Errors
/// Database errors.
pub async fn list(database: &Database) -> sqlx::Result<AlertList> {
    let conn = &mut *database.connection().await?;
    let mut list = AlertList {
        open: alerts::list_open(conn).await?,
        recent: alerts::list_recent(conn, RECENT).await?,
        tests: alert_deliveries::list_tests(conn, TESTS).await?,
    };
    let shown = || list.open.iter().chain(&list.recent);
    let ids: Vec<AlertId> = shown().map(|alert| alert.id).collect();
    let mut of_alert: HashMap<AlertId, Vec<Delivery>> = HashMap::new();
    for (alert, delivery) in alert_deliveries::list_by_alerts(conn, &ids).await? {
        of_alert.entry(alert).or_default().push(delivery);
    }
    for alert in list.open.iter_mut().chain(&mut list.recent) {
        alert.deliveries = of_alert.remove(&alert.id).unwrap_or_default();
    }
    Ok(list)
}

/// All rules with their thresholds.
pub fn rules(rules: &AlertRules) -> Vec<AlertRuleSetting> {
    let settings = AlertRule::ALL.into_iter().map(|rule| AlertRuleSetting {
        rule,
        threshold: threshold(rules, rule),
    });
    settings.collect()
}

fn threshold(rules: &AlertRules, rule: AlertRule) -> Option<String> {
    match rule {
        AlertRule::SignInFailures => {
            let FailureRate {
                least,
                percent,
                window,
            } = rules.sign_in_failures?;
            Some(format!(
                "{} within {}, and {percent} % of all sign-ins",
                pluralize(least.into(), "failed sign-in"),
                length(window)
            ))
        }
        AlertRule::TokenReuse => {
            let CountThreshold { least, window } = rules.token_reuse?;
            Some(format!(
                "{} within {}",
                pluralize(least.into(), "time"),
                length(window)
            ))
        }
        AlertRule::FarSignIns => {
            let CountThreshold { least, window } = rules.far_sign_ins?;
            Some(format!(
                "{} within {}",
                pluralize(least.into(), "time"),
                length(window)
            ))
        }
        AlertRule::CleanupOverdue => Some(format!("none for {}", length(rules.cleanup_overdue?))),
        AlertRule::ListenerDown => Some(format!("for {}", length(rules.listener_down?))),
        AlertRule::AuditChainBroken => Some(format!("checked every {}", length(rules.audit_chain?))),
    }
}

/// Sends a test message to the webhook for a system administrator.
///
/// # Errors
/// [`AppError::InvalidInput`] if no webhook is configured; [`AppError::SessionEnded`] and [`AppError::Forbidden`] if the
/// caller's session or permission ended meanwhile; [`AppError::Unavailable`].
pub async fn send_test(admin: &AdminRequest) -> Result<(), AppError> {
    // Alerts concern the whole portal.
    if !admin.scope.is_everyone() {
        return Err(AppError::Forbidden);
    }
    if admin.state.config.alerts.webhook.is_none() {
        return Err(AppError::invalid_input("webhook", "No webhook is set up."));
    }
    let mut tx = admin.begin(&[]).await?;
    let (actor, now) = (tx.actor(), tx.now());
    queue_test(&mut tx, &admin.state.config, actor, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Queues a test message, with an audit event that names the caller.
///
/// # Errors
/// Database errors.
pub async fn queue_test(
    conn: &mut Connection,
    config: &Config,
    actor: Actor,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let id = Uuid::new_v4();
    let payload = json!({
        "id": id,
        "rule": "test",
        "state": "test",
        "key": "",
        "message": "This is a test. Nothing is wrong.",
        "figures": {},
        "at": format_rfc3339(now),
        "portal": config.public_url.origin(),
    });
    let delivery = NewDelivery {
        id,
        alert: None,
        state: "test",
        payload: &payload.to_string(),
    };
    alert_deliveries::queue(conn, delivery, now).await?;
    let event = AuditEvent::alert_test_sent(actor, id);
    audit::record(conn, event, now).await
}

/// A change of an alert. Logged after the commit.
enum AlertChange {
    Raised(Finding),
    Cleared(Finding, TimeDelta),
}

impl AlertChange {
    /// Logs the change.
    fn log(&self) {
        match self {
            AlertChange::Raised(Finding {
                rule, key, message, ..
            }) => {
                tracing::warn!(rule = rule.as_str(), key, "alert raised: {message}");
            }
            AlertChange::Cleared(
                Finding {
                    rule, key, message, ..
                },
                after,
            ) => {
                let after = format_duration(after.num_seconds());
                tracing::info!(
                    rule = rule.as_str(),
                    key,
                    "alert cleared after {after}: {message}"
                );
            }
        }
    }
}

/// Stores a finding. Queues a message if the alert is new.
async fn raise(
    conn: &mut Connection,
    config: &Config,
    finding: Finding,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<AlertChange>> {
    let Some(alert) = alerts::record_finding(conn, &finding, now).await? else {
        return Ok(None);
    };
    queue_message(conn, config, alert, &finding, "raised", now).await?;
    Ok(Some(AlertChange::Raised(finding)))
}

/// Clears alerts that were last seen at `last_seen` or earlier, and queues messages.
async fn clear(
    conn: &mut Connection,
    config: &Config,
    rule: AlertRule,
    last_seen: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<AlertChange>> {
    let mut changes = Vec::new();
    for ClearedAlert {
        id,
        raised_at,
        finding,
    } in alerts::clear(conn, rule, last_seen, now).await?
    {
        queue_message(conn, config, id, &finding, "cleared", now).await?;
        changes.push(AlertChange::Cleared(finding, now - raised_at));
    }
    Ok(changes)
}

async fn queue_message(
    conn: &mut Connection,
    config: &Config,
    alert: AlertId,
    finding: &Finding,
    state: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if config.alerts.webhook.is_none() {
        return Ok(());
    }
    let payload: Value = json!({
        "id": alert,
        "rule": finding.rule,
        "state": state,
        "key": finding.key,
        "message": finding.message,
        "figures": finding.figures,
        "at": format_rfc3339(now),
        "portal": config.public_url.origin(),
    });
    let delivery = NewDelivery {
        id: Uuid::new_v4(),
        alert: Some(alert),
        state,
        payload: &payload.to_string(),
    };
    alert_deliveries::queue(conn, delivery, now).await
}

/// Converts a configured duration for arithmetic with times.
fn delta(length: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(length).unwrap_or(TimeDelta::MAX)
}

fn length(length: std::time::Duration) -> String {
    format_duration(delta(length).num_seconds())
}
