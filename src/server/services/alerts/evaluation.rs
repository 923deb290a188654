//! Evaluates the alert rules.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{AlertChange, clear, delta, length, raise};
use crate::server::database::Connection;
use domain::{
    alert::AlertRule,
    security_notice::NoticeRule,
    time::{format_utc, pluralize},
};

use crate::server::{
    config::{Config, alerts::CountThreshold},
    services::cleanup,
    state::AppState,
    store::{alerts::Finding, audit, job_runs},
};

/// The job name, by which only one node runs each evaluation.
const JOB: &str = "alerts";

/// An alert is cleared when its condition has not been met for this long, and for two evaluations. Avoids repeated alerts.
const CLEAR_AFTER: TimeDelta = TimeDelta::minutes(2);

/// Time after the start of a server before it reports an overdue clean-up.
const STARTUP_GRACE: TimeDelta = TimeDelta::minutes(5);

/// The state that a node keeps between evaluations.
#[derive(Debug)]
pub struct AlertEvaluator {
    /// The name of this node.
    node: String,
    /// When this node started.
    since: DateTime<Utc>,
    outage: Option<ListenerOutage>,
}

/// The listener of this node is disconnected.
#[derive(Clone, Copy, Debug)]
struct ListenerOutage {
    since: DateTime<Utc>,
    /// The alert could not be stored and was only logged.
    logged: bool,
}

/// The result of a rule.
enum RuleState {
    Normal,
    Triggered(Finding),
    /// Not decidable now. Open alerts stay open.
    Unknown,
}

impl AlertEvaluator {
    pub fn new(node: impl Into<String>, now: DateTime<Utc>) -> Self {
        Self {
            node: node.into(),
            since: now,
            outage: None,
        }
    }

    /// Checks this node's listener and, if it is this node's turn, evaluates all rules.
    ///
    /// # Errors
    /// Database errors. The state of the listener is logged in any case.
    pub async fn evaluate(&mut self, state: &AppState) -> sqlx::Result<()> {
        self.check_listener(state).await?;
        let mut tx = state.database.begin_unverified().await?;
        let apart = delta(state.config.alerts.interval.mul_f64(0.9));
        let ours = job_runs::start(&mut tx, JOB, apart, state.clock.now()).await?;
        tx.commit().await?;
        if !ours {
            return Ok(());
        }
        for rule in AlertRule::ALL {
            // An error in one rule must not block the others.
            if let Err(error) = self.evaluate_rule(state, rule).await {
                tracing::warn!(%error, rule = rule.as_str(), "alert rule not evaluated");
            }
        }
        let mut tx = state.database.begin().await?;
        job_runs::finish(&mut tx, JOB, &json!({}), state.clock.now()).await?;
        tx.commit().await
    }

    /// Checks the listener. Logs an outage that cannot be stored while the database is down.
    async fn check_listener(&mut self, state: &AppState) -> sqlx::Result<()> {
        let now = state.clock.now();
        if state.hub.is_listening() {
            if self.outage.take().is_some_and(|outage| outage.logged) {
                tracing::info!(node = self.node, "listener reconnected");
            }
            return Ok(());
        }
        let outage = *self.outage.get_or_insert(ListenerOutage {
            since: now,
            logged: false,
        });
        let Some(limit) = state.config.alerts.listener_down else {
            return Ok(());
        };
        if now - outage.since < delta(limit) {
            return Ok(());
        }
        let finding = Finding {
            rule: AlertRule::ListenerDown,
            key: self.node.clone(),
            figures: json!({ "since": outage.since, "seconds": (now - outage.since).num_seconds() }),
            message: format!(
                "The listener of server {} has been disconnected since {}. Open pages are notified late about ended sessions.",
                self.node,
                format_utc(outage.since)
            ),
        };
        let message = finding.message.clone();
        let stored = async {
            let mut tx = state.database.begin().await?;
            let change = raise(&mut tx, &state.config, finding, now).await?;
            tx.commit().await?;
            sqlx::Result::Ok(change)
        };
        match stored.await {
            Ok(change) => {
                if let Some(change) = change {
                    change.log();
                }
                Ok(())
            }
            Err(error) => {
                if !outage.logged {
                    tracing::warn!(
                        rule = AlertRule::ListenerDown.as_str(),
                        key = self.node,
                        "alert raised, not stored: {message}"
                    );
                    self.outage = Some(ListenerOutage {
                        logged: true,
                        ..outage
                    });
                }
                Err(error)
            }
        }
    }

    async fn evaluate_rule(&self, state: &AppState, rule: AlertRule) -> sqlx::Result<()> {
        let now = state.clock.now();
        let config = &state.config;
        let clear_after = CLEAR_AFTER.max(delta(config.alerts.interval * 2));
        let mut tx = state.database.begin_unverified().await?;
        let changes = match self.evaluate_condition(&mut tx, config, rule, now).await? {
            None => clear(&mut tx, config, rule, now, now).await?,
            Some(RuleState::Triggered(finding)) => {
                Vec::from_iter(raise(&mut tx, config, finding, now).await?)
            }
            Some(RuleState::Normal) => clear(&mut tx, config, rule, now - clear_after, now).await?,
            Some(RuleState::Unknown) => Vec::new(),
        };
        tx.commit().await?;
        changes.iter().for_each(AlertChange::log);
        Ok(())
    }

    /// Evaluates the condition of a rule. `None`: the rule is off.
    async fn evaluate_condition(
        &self,
        conn: &mut Connection,
        config: &Config,
        rule: AlertRule,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<RuleState>> {
        let rules = &config.alerts;
        let rule_state = match rule {
            AlertRule::SignInFailures => {
                let Some(limit) = rules.sign_in_failures else {
                    return Ok(None);
                };
                let counted = audit::count_sign_ins_since(conn, now - delta(limit.window)).await?;
                let all = counted.succeeded + counted.failed;
                let enough = counted.failed >= i64::from(limit.least);
                let large = counted.failed.saturating_mul(100) >= all.saturating_mul(limit.percent.into());
                rule_state(enough && large, rule, || {
                    let figures = json!({
                        "failed": counted.failed,
                        "sign_ins": all,
                        "window_seconds": limit.window.as_secs(),
                    });
                    let failed = counted.failed;
                    let within = length(limit.window);
                    (
                        figures,
                        format!(
                            "{failed} of {} failed within {within}.",
                            pluralize(all, "sign-in")
                        ),
                    )
                })
            }
            AlertRule::TokenReuse => {
                let Some(CountThreshold { least, window }) = rules.token_reuse else {
                    return Ok(None);
                };
                let audit::ReuseCounts { count, lost_answers } =
                    audit::count_reuses_since(conn, now - delta(window)).await?;
                rule_state(count >= i64::from(least), rule, || {
                    let figures = json!({
                        "count": count,
                        "lost_answers": lost_answers,
                        "window_seconds": window.as_secs(),
                    });
                    (figures, reuse_message(count, lost_answers, &length(window)))
                })
            }
            AlertRule::FarSignIns => {
                let Some(CountThreshold { least, window }) = rules.far_sign_ins else {
                    return Ok(None);
                };
                let then = now - delta(window);
                let count = audit::count_suspicions_since(conn, NoticeRule::FarNetworks, then).await?;
                rule_state(count >= i64::from(least), rule, || {
                    let figures = json!({ "count": count, "window_seconds": window.as_secs() });
                    let times = pluralize(count, "time");
                    let within = length(window);
                    (
                        figures,
                        format!(
                            "A user appeared in a network far from one used just before, {times} within {within}."
                        ),
                    )
                })
            }
            AlertRule::CleanupOverdue => {
                let Some(limit) = rules.cleanup_overdue else {
                    return Ok(None);
                };
                if now - self.since < STARTUP_GRACE {
                    return Ok(Some(RuleState::Unknown));
                }
                let done = job_runs::load_last_success(conn, cleanup::JOB).await?;
                let since = done.unwrap_or(self.since);
                rule_state(now - since >= delta(limit), rule, || {
                    let figures = json!({
                        "last_success": done,
                        "seconds": (now - since).num_seconds(),
                        "limit_seconds": limit.as_secs(),
                    });
                    (
                        figures,
                        format!("No clean-up has finished since {}.", format_utc(since)),
                    )
                })
            }
            // Each node reports its own listener. A stopped node reports nothing.
            AlertRule::ListenerDown => {
                if rules.listener_down.is_none() {
                    return Ok(None);
                }
                RuleState::Normal
            }
            // Evaluated by `audit_chain_rule`, because it takes longer.
            AlertRule::AuditChainBroken => {
                if rules.audit_chain.is_none() {
                    return Ok(None);
                }
                RuleState::Unknown
            }
        };
        Ok(Some(rule_state))
    }
}

fn reuse_message(count: i64, lost_answers: i64, within: &str) -> String {
    let times = pluralize(count, "time");
    let cause = match lost_answers {
        0 => "Two programs use the same token, or someone has a copy.".to_owned(),
        all if all == count => {
            "Responses were probably lost on the network: the new tokens were never used.".to_owned()
        }
        some => format!("In {some} of these a response was probably lost on the network."),
    };
    format!("A refresh token was used again, {times} within {within}. The sessions were revoked. {cause}")
}

fn rule_state(
    is_triggered: bool,
    rule: AlertRule,
    describe: impl FnOnce() -> (serde_json::Value, String),
) -> RuleState {
    if !is_triggered {
        return RuleState::Normal;
    }
    let (figures, message) = describe();
    RuleState::Triggered(Finding {
        rule,
        key: String::new(),
        figures,
        message,
    })
}
