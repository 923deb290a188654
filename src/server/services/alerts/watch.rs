//! Looks whether something is wrong.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{Change, clear, delta, length, saw};
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
const CALM: TimeDelta = TimeDelta::minutes(2);

/// A server that has just started leaves the clean-up so much time before it asks after it.
const START: TimeDelta = TimeDelta::minutes(5);

/// What one node knows between two looks.
#[derive(Debug)]
pub struct Watch {
    /// The node's own name.
    node: String,
    /// When it began to look.
    since: DateTime<Utc>,
    deaf: Option<Deaf>,
}

/// This node hears nothing of the database.
#[derive(Clone, Copy, Debug)]
struct Deaf {
    since: DateTime<Utc>,
    /// It was logged by this node, which could not store it.
    told: bool,
}

/// What a rule has to say.
enum Judgement {
    Well,
    Wrong(Finding),
    /// It cannot be told now. What is open stays open.
    NotNow,
}

impl Watch {
    pub fn begin(node: impl Into<String>, now: DateTime<Utc>) -> Self {
        Self {
            node: node.into(),
            since: now,
            deaf: None,
        }
    }

    /// Looks at this node itself, and, if it is its turn, at the portal.
    ///
    /// # Errors
    /// The database's. What this node says of itself is logged all the same.
    pub async fn look(&mut self, state: &AppState) -> sqlx::Result<()> {
        self.look_at_listener(state).await?;
        let mut tx = state.database.begin_unverified().await?;
        let apart = delta(state.config.alerts.interval.mul_f64(0.9));
        let ours = job_runs::start(&mut tx, JOB, apart, state.clock.now()).await?;
        tx.commit().await?;
        if !ours {
            return Ok(());
        }
        for rule in AlertRule::ALL {
            // A rule that fails keeps none of the others from speaking up.
            if let Err(error) = self.look_at_portal(state, rule).await {
                tracing::warn!(%error, rule = rule.as_str(), "an alert's rule could not be looked at");
            }
        }
        let mut tx = state.database.begin().await?;
        job_runs::finish(&mut tx, JOB, &json!({}), state.clock.now()).await?;
        tx.commit().await
    }

    /// While the database is away, nothing can be stored, so that this node says so in its log.
    async fn look_at_listener(&mut self, state: &AppState) -> sqlx::Result<()> {
        let now = state.clock.now();
        if state.hub.is_listening() {
            if self.deaf.take().is_some_and(|deaf| deaf.told) {
                tracing::info!(node = self.node, "this server hears of the database again");
            }
            return Ok(());
        }
        let deaf = *self.deaf.get_or_insert(Deaf {
            since: now,
            told: false,
        });
        let Some(limit) = state.config.alerts.listener_down else {
            return Ok(());
        };
        if now - deaf.since < delta(limit) {
            return Ok(());
        }
        let finding = Finding {
            rule: AlertRule::ListenerDown,
            key: self.node.clone(),
            figures: json!({ "since": deaf.since, "seconds": (now - deaf.since).num_seconds() }),
            message: format!(
                "Server {} has heard nothing of the database since {}: its open pages learn late of sessions that end.",
                self.node,
                format_utc(deaf.since)
            ),
        };
        let message = finding.message.clone();
        let stored = async {
            let mut tx = state.database.begin().await?;
            let change = saw(&mut tx, &state.config, finding, now).await?;
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
                if !deaf.told {
                    tracing::warn!(
                        rule = AlertRule::ListenerDown.as_str(),
                        key = self.node,
                        "alert raised, and not stored: {message}"
                    );
                    self.deaf = Some(Deaf { told: true, ..deaf });
                }
                Err(error)
            }
        }
    }

    async fn look_at_portal(&self, state: &AppState, rule: AlertRule) -> sqlx::Result<()> {
        let now = state.clock.now();
        let config = &state.config;
        let calm = CALM.max(delta(config.alerts.interval * 2));
        let mut tx = state.database.begin_unverified().await?;
        let changes = match self.judge(&mut tx, config, rule, now).await? {
            None => clear(&mut tx, config, rule, now, now).await?,
            Some(Judgement::Wrong(finding)) => Vec::from_iter(saw(&mut tx, config, finding, now).await?),
            Some(Judgement::Well) => clear(&mut tx, config, rule, now - calm, now).await?,
            Some(Judgement::NotNow) => Vec::new(),
        };
        tx.commit().await?;
        changes.iter().for_each(Change::log);
        Ok(())
    }

    /// What a rule has to say. `None`: it is switched off.
    async fn judge(
        &self,
        conn: &mut Connection,
        config: &Config,
        rule: AlertRule,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<Judgement>> {
        let rules = &config.alerts;
        let judgement = match rule {
            AlertRule::SignInFailures => {
                let Some(limit) = rules.sign_in_failures else {
                    return Ok(None);
                };
                let counted = audit::count_sign_ins_since(conn, now - delta(limit.window)).await?;
                let all = counted.succeeded + counted.failed;
                let enough = counted.failed >= i64::from(limit.least);
                let large = counted.failed.saturating_mul(100) >= all.saturating_mul(limit.percent.into());
                judgement(enough && large, rule, || {
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
                judgement(count >= i64::from(least), rule, || {
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
                judgement(count >= i64::from(least), rule, || {
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
                if now - self.since < START {
                    return Ok(Some(Judgement::NotNow));
                }
                let done = job_runs::load_last_success(conn, cleanup::JOB).await?;
                let since = done.unwrap_or(self.since);
                judgement(now - since >= delta(limit), rule, || {
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
                Judgement::Well
            }
            // Told by `audit_log`, which takes its time.
            AlertRule::AuditChainBroken => {
                if rules.audit_chain.is_none() {
                    return Ok(None);
                }
                Judgement::NotNow
            }
        };
        Ok(Some(judgement))
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

fn judgement(wrong: bool, rule: AlertRule, told: impl FnOnce() -> (serde_json::Value, String)) -> Judgement {
    if !wrong {
        return Judgement::Well;
    }
    let (figures, message) = told();
    Judgement::Wrong(Finding {
        rule,
        key: String::new(),
        figures,
        message,
    })
}
