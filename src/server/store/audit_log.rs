//! Pages of the audit log with one filter, for the page, the API and the exports.
//!
//! A statement contains only the conditions that apply, as in [`super::session_list`], so that each finds its index.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, Postgres, QueryBuilder};

use super::{like_pattern, parse_network};
use crate::server::database::Connection;
use domain::{
    audit::AuditFilter,
    ids::{OrganizationId, SessionId, UserId},
};

/// Selects rows within what the reader may see.
#[derive(Clone, Copy, Debug)]
pub struct AuditSelection<'a> {
    pub filter: &'a AuditFilter,
    /// Only rows about users of this organization, and none about another organization.
    pub organization: Option<OrganizationId>,
    /// Only rows that this user caused, or that are about this user.
    pub about: Option<UserId>,
    /// Only rows that this session caused, or that are about this session.
    pub session: Option<SessionId>,
}

/// One row of the log, with its position in the chain if it is sealed.
#[derive(FromRow)]
pub struct AuditLogRow {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub kind: String,
    pub actor_id: Option<UserId>,
    /// The actor's current email, if the reader may know the actor.
    pub actor_email: Option<String>,
    pub actor_session_id: Option<SessionId>,
    /// The active organization of the actor's session.
    pub actor_organization_id: Option<OrganizationId>,
    /// The reader may not know the actor; the row contains nothing about them.
    pub is_actor_hidden: bool,
    pub user_id: Option<UserId>,
    /// The user's current email.
    pub user_email: Option<String>,
    pub session_id: Option<SessionId>,
    pub ip_address: Option<String>,
    pub reason: Option<String>,
    pub detail: Value,
    pub position: Option<i64>,
    pub sealed_at: Option<DateTime<Utc>>,
    pub hash: Option<Vec<u8>>,
}

/// Returns the rows after an id, in order of id.
pub async fn load_after(
    conn: &mut Connection,
    selection: AuditSelection<'_>,
    id: i64,
    limit: i64,
) -> sqlx::Result<Vec<AuditLogRow>> {
    load(
        conn,
        selection,
        (" AND e.id > ", id),
        (" ORDER BY e.id LIMIT ", limit),
    )
    .await
}

/// Returns the rows before an id, newest first.
pub async fn load_before(
    conn: &mut Connection,
    selection: AuditSelection<'_>,
    id: i64,
    limit: i64,
) -> sqlx::Result<Vec<AuditLogRow>> {
    load(
        conn,
        selection,
        (" AND e.id < ", id),
        (" ORDER BY e.id DESC LIMIT ", limit),
    )
    .await
}

async fn load(
    conn: &mut Connection,
    selection: AuditSelection<'_>,
    (beyond, id): (&str, i64),
    (order, limit): (&str, i64),
) -> sqlx::Result<Vec<AuditLogRow>> {
    let mut query = select_rows(selection);
    query.push(beyond).push_bind(id).push(order).push_bind(limit);
    let mut rows: Vec<AuditLogRow> = query.build_query_as().fetch_all(conn).await?;
    if let Some(organization) = selection.organization {
        rows.iter_mut().for_each(|row| redact(row, organization));
    }
    Ok(rows)
}

/// Counts the rows.
pub async fn count(conn: &mut Connection, selection: AuditSelection<'_>) -> sqlx::Result<i64> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT count(*)");
    push_conditions(&mut query, selection);
    query.build_query_scalar().fetch_one(conn).await
}

fn select_rows(selection: AuditSelection<'_>) -> QueryBuilder<Postgres> {
    // Times as far as they can be written. `known.here`: the asker may know who did it.
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT e.id, LEAST(GREATEST(e.at, '0001-01-01'), '9999-12-31') AS at, e.kind, \
         CASE WHEN known.here THEN e.actor_id END AS actor_id, CASE WHEN known.here THEN a.email END AS actor_email, \
         CASE WHEN known.here THEN e.actor_session_id END AS actor_session_id, \
         CASE WHEN known.here THEN e.actor_organization_id END AS actor_organization_id, \
         NOT known.here AS is_actor_hidden, e.user_id, u.email AS user_email, e.session_id, \
         CASE WHEN known.here THEN host(e.ip_address) END AS ip_address, e.reason, e.detail, c.position, c.hash, \
         CASE WHEN c.sealed_at IS NOT NULL THEN LEAST(GREATEST(c.sealed_at, '0001-01-01'), '9999-12-31') END AS sealed_at",
    );
    push_conditions(&mut query, selection);
    query
}

fn push_conditions(query: &mut QueryBuilder<Postgres>, selection: AuditSelection<'_>) {
    let AuditSelection {
        filter,
        organization,
        about,
        session,
    } = selection;
    query.push(
        " FROM audit_events e LEFT JOIN users u ON u.id = e.user_id LEFT JOIN audit_chain c ON c.event_id = e.id \
         LEFT JOIN users a ON a.id = e.actor_id",
    );
    if let Some(organization) = organization {
        query
            .push(" AND EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = a.id AND m.organization_id = ")
            .push_bind(organization)
            .push(") CROSS JOIN LATERAL (SELECT acted_within(")
            .push_bind(organization)
            .push(
                ", e.actor_id, e.user_id, e.actor_organization_id) AS here) known \
                 WHERE (CASE WHEN e.user_id IS NOT NULL THEN e.user_id ELSE e.actor_id END) IN (SELECT user_id FROM \
                 memberships WHERE organization_id = ",
            )
            .push_bind(organization)
            // What was done to nobody is told where it was done.
            .push(") AND (e.user_id IS NOT NULL OR known.here)")
            // What is about another organization is no matter of this one's.
            .push(" AND NOT (e.detail ? 'organization_id' AND e.detail ->> 'organization_id' IS DISTINCT FROM ")
            .push_bind(organization.to_string())
            .push(") AND NOT (e.kind = 'organization_switched' AND e.detail ->> 'to' IS DISTINCT FROM ")
            .push_bind(organization.to_string())
            .push(")");
    } else {
        query.push(" CROSS JOIN (SELECT true AS here) known WHERE true");
    }
    if let Some(session) = session {
        query.push(" AND e.session_id = ").push_bind(session);
    }
    if let Some(about) = about {
        query.push(" AND (e.user_id = ").push_bind(about);
        query.push(" OR e.actor_id = ").push_bind(about).push(")");
    }
    if let Some(kind) = filter.kind {
        query.push(" AND e.kind = ").push_bind(kind);
    }
    if let Some(since) = filter.since {
        query.push(" AND e.at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        query.push(" AND e.at < ").push_bind(until);
    }
    if let Some(person) = &filter.person {
        push_user_condition(query, organization, "e.user_id", person);
    }
    if let Some(actor) = &filter.actor {
        // Nor is a hidden actor found by what is not shown of them.
        query.push(" AND known.here");
        push_user_condition(query, organization, "e.actor_id", actor);
    }
    if let Some(network) = filter.address.as_deref().and_then(parse_network) {
        query
            .push(" AND known.here AND e.ip_address <<= ")
            .push_bind(network);
    }
}

/// Removes what the reader may not know. Of an actor in another organization only the action remains; ids that belong
/// to another organization are removed.
fn redact(row: &mut AuditLogRow, own: OrganizationId) {
    row.actor_organization_id = row.actor_organization_id.filter(|id| *id == own);
    // The role of a new account is that of the organization it was created for.
    let is_told = |name: &str| match row.kind.as_str() {
        "user_created" => name != "role",
        _ if row.is_actor_hidden => matches!(name, "organization_id" | "from" | "to" | "role"),
        _ => true,
    };
    let is_foreign = |value: &Value| {
        let id: Option<OrganizationId> = value.as_str().and_then(|text| text.parse().ok());
        id.is_some_and(|id| id != own)
    };
    if let Value::Object(facts) = &mut row.detail {
        facts.retain(|name, value| is_told(name) && !is_foreign(value));
    }
}

/// Matches users by name or id. Only members of the organization are found, so that a search does not reveal an actor
/// from outside.
fn push_user_condition(
    query: &mut QueryBuilder<Postgres>,
    organization: Option<OrganizationId>,
    column: &str,
    text: &str,
) {
    query.push(format!(" AND {column} IN (SELECT id FROM users WHERE "));
    if let Ok(id) = text.parse::<UserId>() {
        query.push("id = ").push_bind(id);
    } else {
        let pattern = like_pattern(text);
        query
            .push("(lower(email) LIKE lower(")
            .push_bind(pattern.clone())
            .push(") OR lower(display_name) LIKE lower(")
            .push_bind(pattern)
            .push("))");
    }
    if let Some(organization) = organization {
        query
            .push(" AND id IN (SELECT user_id FROM memberships WHERE organization_id = ")
            .push_bind(organization)
            .push(")");
    }
    query.push(")");
}
