//! Looks whether something is wrong.

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

/// Gives each look to one node.
const JOB: &str = "alerts";

/// An alert is cleared once it was not so any more for so long, or for two looks: what comes and goes is one alert.
const CLEAR_AFTER: TimeDelta = TimeDelta::minutes(2);

/// A server that has just started leaves the clean-up so much time before it asks after it.
const STARTUP_GRACE: TimeDelta = TimeDelta::minutes(5);

/// What one node knows between two looks.
#[derive(Debug)]
pub struct AlertEvaluator {
    /// The node's own name.
    node: String,
    /// When it began to look.
    since: DateTime<Utc>,
    outage: Option<ListenerOutage>,
}

/// This node hears nothing of the database.
#[derive(Clone, Copy, Debug)]
struct ListenerOutage {
    since: DateTime<Utc>,
    /// It was logged by this node, which could not store it.
    logged: bool,
}

/// What a rule has to say.
enum RuleState {
    Normal,
    Triggered(Finding),
    /// It cannot be told now. What is open stays open.
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

    /// Looks at this node itself, and, if it is its turn, at the portal.
    ///
    /// # Errors
    /// The database's. What this node says of itself is logged all the same.
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
            // A rule that fails keeps none of the others from speaking up.
            if let Err(error) = self.evaluate_rule(state, rule).await {
                tracing::warn!(%error, rule = rule.as_str(), "an alert's rule could not be looked at");
            }
        }
        let mut tx = state.database.begin().await?;
        job_runs::finish(&mut tx, JOB, &json!({}), state.clock.now()).await?;
        tx.commit().await
    }

    /// While the database is away, nothing can be stored, so that this node says so in its log.
    async fn check_listener(&mut self, state: &AppState) -> sqlx::Result<()> {
        let now = state.clock.now();
        if state.hub.is_listening() {
            if self.outage.take().is_some_and(|outage| outage.logged) {
                tracing::info!(node = self.node, "this server hears of the database again");
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
                "Server {} has heard nothing of the database since {}: its open pages learn late of sessions that end.",
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
                        "alert raised, and not stored: {message}"
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
        let calm = CLEAR_AFTER.max(delta(config.alerts.interval * 2));
        let mut tx = state.database.begin_unverified().await?;
        let changes = match self.evaluate_condition(&mut tx, config, rule, now).await? {
            None => clear(&mut tx, config, rule, now, now).await?,
            Some(RuleState::Triggered(finding)) => {
                Vec::from_iter(raise(&mut tx, config, finding, now).await?)
            }
            Some(RuleState::Normal) => clear(&mut tx, config, rule, now - calm, now).await?,
            Some(RuleState::Unknown) => Vec::new(),
        };
        tx.commit().await?;
        changes.iter().for_each(AlertChange::log);
        Ok(())
    }

    /// What a rule has to say. `None`: it is switched off.
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
                            "Somebody turned up in a network far from one in use just before, {times} within {within}."
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
                        format!("No clean-up has come to its end since {}.", format_utc(since)),
                    )
                })
            }
            // Each node tells of itself; one that is gone does not any more.
            AlertRule::ListenerDown => {
                if rules.listener_down.is_none() {
                    return Ok(None);
                }
                RuleState::Normal
            }
            // Told by `audit_chain_rule`, which takes its time.
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
        0 => "Two programs hold the same token, or someone has a copy.".to_owned(),
        all if all == count => {
            "Probably answers were lost on the network: the new tokens were never used.".to_owned()
        }
        some => format!("In {some} of these an answer was probably lost on the network."),
    };
    format!("A refresh token was shown again, {times} within {within}; the sessions were ended. {cause}")
}

fn rule_state(
    wrong: bool,
    rule: AlertRule,
    logged: impl FnOnce() -> (serde_json::Value, String),
) -> RuleState {
    if !wrong {
        return RuleState::Normal;
    }
    let (figures, message) = logged();
    RuleState::Triggered(Finding {
        rule,
        key: String::new(),
        figures,
        message,
    })
}
