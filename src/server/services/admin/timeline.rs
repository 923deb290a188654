//! The history of a session, from sign-in to end.

use super::AdminRequest;
use domain::{
    admin::{AdminSession, TimelineEntry},
    admin_permission::AdminScope,
    audit::AuditFilter,
    security_notice::{NoticeRule, ReuseCause},
    session::EndReason,
    time::{parse_rfc3339, pluralize},
};

use crate::{
    error::AppError,
    server::{
        services::audit_export::START,
        store::{
            audit_log::{self, AuditLogRow, AuditSelection},
            timeline,
        },
    },
};

/// Most audit rows that are shown.
const MAX_ROWS: i64 = 200;

/// Loads the history of a session in scope, oldest first.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn load_timeline(admin: &AdminRequest, of: &AdminSession) -> Result<Vec<TimelineEntry>, AppError> {
    let session = of.session.id;
    let conn = &mut *admin.state.database.connection().await?;
    let selection = AuditSelection {
        filter: &AuditFilter::default(),
        organization: admin.scope.organization,
        about: None,
        session: Some(session),
    };
    let recorded = audit_log::load_after(conn, selection, START, MAX_ROWS).await?;
    let mut moments: Vec<TimelineEntry> = recorded
        .into_iter()
        .filter_map(|row| to_entry(row, admin.scope))
        .collect();
    if !moments.iter().any(|moment| moment.what == SIGNED_IN) {
        // The audit row is missing if it is older than the audit log.
        moments.push(TimelineEntry {
            at: of.session.created_at,
            what: SIGNED_IN.to_owned(),
            more: None,
        });
    }
    // The first is the network of the sign-in.
    for (at, network) in timeline::list_networks(conn, session).await?.into_iter().skip(1) {
        moments.push(TimelineEntry {
            at,
            what: "Used from another network".to_owned(),
            more: Some(network),
        });
    }
    let (count, last) = timeline::load_refreshes(conn, session).await?;
    if let Some(at) = last {
        moments.push(TimelineEntry {
            at,
            what: "Access token refreshed".to_owned(),
            more: Some(format!("{} in all", pluralize(count, "time"))),
        });
    }
    for (_, rules, dismissed_at) in timeline::list_notices(conn, session).await? {
        if let Some(at) = dismissed_at {
            moments.push(TimelineEntry {
                at,
                what: "The person said that it was them".to_owned(),
                more: Some(describe_rules(&rules)),
            });
        }
    }
    moments.sort_by_key(|moment| moment.at);
    Ok(moments)
}

const SIGNED_IN: &str = "Signed in";

/// `None`: the row concerns another organization.
fn to_entry(row: AuditLogRow, scope: AdminScope) -> Option<TimelineEntry> {
    let by = match (row.actor_id, row.actor_email) {
        (_, Some(email)) => Some(format!("by {email}")),
        (None, None) if !row.is_actor_hidden => None,
        _ => Some("by a user outside your organization".to_owned()),
    };
    let from = row.ip_address.map(|address| format!("from {address}"));
    let (what, more): (&str, Vec<Option<String>>) = match row.kind.as_str() {
        "signed_in" => (SIGNED_IN, vec![from]),
        "session_ended" => {
            let reason: EndReason = row.reason.as_deref().and_then(|reason| reason.parse().ok())?;
            let note = row.detail.get("note").and_then(|note| note.as_str());
            // It had expired before that was recorded.
            let ended_at = row.detail.get("ended_at").and_then(|at| at.as_str());
            return Some(TimelineEntry {
                at: ended_at.and_then(parse_rfc3339).unwrap_or(row.at),
                what: format!("Ended: {}", reason.label().to_lowercase()),
                more: join_parts(vec![by, from, note.map(|note| format!("“{note}”"))]),
            });
        }
        "reauthenticated" => ("Password confirmed; the credential was replaced", vec![from]),
        "reauthentication_failed" => ("Password confirmation failed", vec![from]),
        "password_changed" => ("The user changed the password", vec![from]),
        "denied" => ("Refused an action", vec![row.reason, from]),
        "token_reused" => {
            let cause = row.detail.get("cause").and_then(|cause| cause.as_str());
            let lost = cause == Some(ReuseCause::LostResponse.as_str());
            let cause = lost.then(|| "a response was probably lost on the network".to_owned());
            ("A refresh token was reused", vec![cause, from])
        }
        "suspicion_raised" => {
            let rules = row.detail.get("rules").and_then(|rules| rules.as_array());
            let rules: Vec<String> = rules
                .into_iter()
                .flatten()
                .filter_map(|rule| rule.as_str().map(str::to_owned))
                .collect();
            ("Unusual activity", vec![Some(describe_rules(&rules)), from])
        }
        "organization_switched" => {
            let to = row.detail.get("to").and_then(|to| to.as_str());
            let own = scope.organization.map(|id| id.to_string());
            if own.is_some() && own.as_deref() != to {
                return None;
            }
            ("Switched to this organization", vec![from])
        }
        other => {
            return Some(TimelineEntry {
                at: row.at,
                what: to_label(other),
                more: join_parts(vec![by, from]),
            });
        }
    };
    Some(TimelineEntry {
        at: row.at,
        what: what.to_owned(),
        more: join_parts(more),
    })
}

fn join_parts(parts: Vec<Option<String>>) -> Option<String> {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

/// Returns the label of an audit kind: "User enabled" for `user_enabled`.
fn to_label(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => words,
    }
}

fn describe_rules(rules: &[String]) -> String {
    let describe = |rule: &String| match rule.parse() {
        Ok(NoticeRule::ClientChanged) => "used in another browser",
        Ok(NoticeRule::TokenReuse) => "a refresh token was reused",
        Ok(NoticeRule::FarNetworks) => "used in distant networks within minutes",
        Ok(NoticeRule::FailuresBefore) => "many failed sign-ins before",
        Ok(NoticeRule::NewDevice) => "a new device",
        Ok(NoticeRule::NewNetwork) => "a new network",
        Err(_) => "an unknown rule",
    };
    rules.iter().map(describe).collect::<Vec<_>>().join(", ")
}
