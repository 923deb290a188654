//! Verifies the whole audit log at intervals.
//!
//! A verification reads and hashes every row in one snapshot, so it must not run often; the default is once a day. It starts
//! at the head of the last successful verification, which also detects changes in between. After a failure or a finding it
//! is repeated within an hour.

use chrono::TimeDelta;
use serde_json::json;

use super::{AlertChange, clear, delta, raise};
use domain::{alert::AlertRule, time::pluralize};

use crate::server::{
    services::{
        audit_chain::ChainHead,
        audit_verification::{self, ChainProblem, VerificationReport},
    },
    state::AppState,
    store::{
        alerts::{self, Finding},
        job_runs,
    },
};

/// The job name, by which only one node runs each verification.
pub const JOB: &str = "audit_verification";

/// The name under which the head of the last successful verification is stored.
const HEAD: &str = "audit_verification_head";

/// Interval after a failure or a finding.
const RETRY_AFTER: TimeDelta = TimeDelta::hours(1);

/// Longest problem text in a message.
const MAX_PROBLEM_CHARS: usize = 300;

/// Verifies the audit log if it is due and no other node does. Returns whether it ran.
///
/// # Errors
/// Database errors. The verification is repeated then.
pub async fn evaluate_if_due(state: &AppState) -> sqlx::Result<bool> {
    let Some(every) = state.config.alerts.audit_chain else {
        return Ok(false);
    };
    // Slightly less, since the ticks of a node are not exact.
    let every = delta(every.mul_f64(0.9));
    let mut tx = state.database.begin_unverified().await?;
    let now = state.clock.now();
    let done = job_runs::load_last_success(&mut tx, JOB).await?;
    let due = done.is_none_or(|done| done <= now - every)
        || alerts::is_open(&mut tx, AlertRule::AuditChainBroken).await?;
    let ours = due && job_runs::start(&mut tx, JOB, every.min(RETRY_AFTER), now).await?;
    let noted = job_runs::load_note(&mut tx, HEAD).await?;
    tx.commit().await?;
    if !ours {
        return Ok(false);
    }
    let noted: Option<ChainHead> = noted.and_then(|note| note["head"].as_str()?.parse().ok());
    let verdict = audit_verification::verify(&state.database, now, noted).await?;

    let now = state.clock.now();
    let mut tx = state.database.begin().await?;
    let changes = match finding(&verdict) {
        Some(finding) => Vec::from_iter(raise(&mut tx, &state.config, finding, now).await?),
        None => {
            if let Some(head) = verdict.head {
                job_runs::save_note(&mut tx, HEAD, &json!({ "head": head.to_string() }), now).await?;
            }
            clear(&mut tx, &state.config, AlertRule::AuditChainBroken, now, now).await?
        }
    };
    let report = json!({ "sealed": verdict.sealed, "problems": verdict.problems.len() + verdict.unlisted });
    job_runs::finish(&mut tx, JOB, &report, now).await?;
    tx.commit().await?;
    changes.iter().for_each(AlertChange::log);
    Ok(true)
}

/// The alert for a report. Late sealing is not an alert.
fn finding(verdict: &VerificationReport) -> Option<Finding> {
    let found = verdict
        .problems
        .iter()
        .filter(|problem| !matches!(problem, ChainProblem::Behind { .. }));
    let first = found.clone().next()?;
    let more = found.count() - 1 + verdict.unlisted;
    let words: String = first.to_string().chars().take(MAX_PROBLEM_CHARS).collect();
    let rest = match i64::try_from(more) {
        Ok(0) => String::new(),
        Ok(more) => format!(", and {}", pluralize(more, "other problem")),
        Err(_) => ", and others".to_owned(),
    };
    Some(Finding {
        rule: AlertRule::AuditChainBroken,
        key: String::new(),
        figures: json!({ "problems": more + 1, "sealed": verdict.sealed }),
        message: format!("The audit log was changed: {words}{rest}."),
    })
}
