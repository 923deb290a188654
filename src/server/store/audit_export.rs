//! The audit log as it is read: a page at a time, narrowed by one filter for the page, the API and the exports.
//!
//! Put together from those conditions that apply, as in [`super::review`], so that each finds its index.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{containing, network};
use crate::domain::{
    audit::AuditFilter,
    ids::{OrganizationId, UserId},
};

/// Which rows, within what the asker may see.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub filter: &'a AuditFilter,
    /// Rows about people of this organization, and none about another one.
    pub organization: Option<OrganizationId>,
    /// What this person did, and what was done to them.
    pub about: Option<UserId>,
}

/// One row of the log with its place in the chain, if it has one yet.
#[derive(FromRow)]
pub struct ExportedRow {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub kind: String,
    pub actor_id: Option<Uuid>,
    /// The address that whoever did it has now, where the asker may know them.
    pub actor_email: Option<String>,
    pub actor_session_id: Option<Uuid>,
    pub user_id: Option<Uuid>,
    /// The address that the person has now.
    pub user_email: Option<String>,
    pub session_id: Option<Uuid>,
    pub ip_address: Option<String>,
    pub reason: Option<String>,
    pub detail: Value,
    pub position: Option<i64>,
    pub sealed_at: Option<DateTime<Utc>>,
    pub hash: Option<Vec<u8>>,
}

/// The rows that follow an id, in order of id.
pub async fn page_after(
    conn: &mut PgConnection,
    asked: Asked<'_>,
    id: i64,
    limit: i64,
) -> sqlx::Result<Vec<ExportedRow>> {
    let mut query = rows(asked);
    query
        .push(" AND e.id > ")
        .push_bind(id)
        .push(" ORDER BY e.id LIMIT ")
        .push_bind(limit);
    query.build_query_as().fetch_all(conn).await
}

/// The rows before an id, newest first.
pub async fn page_before(
    conn: &mut PgConnection,
    asked: Asked<'_>,
    id: i64,
    limit: i64,
) -> sqlx::Result<Vec<ExportedRow>> {
    let mut query = rows(asked);
    query
        .push(" AND e.id < ")
        .push_bind(id)
        .push(" ORDER BY e.id DESC LIMIT ")
        .push_bind(limit);
    query.build_query_as().fetch_all(conn).await
}

fn rows(asked: Asked<'_>) -> QueryBuilder<Postgres> {
    let Asked {
        filter,
        organization,
        about,
    } = asked;
    // Times as far as they can be written.
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT e.id, LEAST(GREATEST(e.at, '0001-01-01'), '9999-12-31') AS at, e.kind, e.actor_id, a.email AS \
         actor_email, e.actor_session_id, e.user_id, u.email AS user_email, e.session_id, host(e.ip_address) AS \
         ip_address, e.reason, e.detail, c.position, c.hash, CASE WHEN c.sealed_at IS NOT NULL THEN \
         LEAST(GREATEST(c.sealed_at, '0001-01-01'), '9999-12-31') END AS sealed_at FROM audit_events e LEFT JOIN users u \
         ON u.id = e.user_id LEFT JOIN audit_chain c ON c.event_id = e.id LEFT JOIN users a ON a.id = e.actor_id",
    );
    if let Some(organization) = organization {
        let id = organization.0;
        query
            .push(" AND EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = a.id AND m.organization_id = ")
            .push_bind(id)
            .push(") WHERE (CASE WHEN e.user_id IS NOT NULL THEN e.user_id ELSE e.actor_id END) IN (SELECT user_id FROM \
                   memberships WHERE organization_id = ")
            .push_bind(id)
            // What is about another organization is no matter of this one's.
            .push(") AND NOT (e.detail ? 'organization_id' AND e.detail ->> 'organization_id' IS DISTINCT FROM ")
            .push_bind(id.to_string())
            .push(") AND NOT (e.kind = 'organization_switched' AND e.detail ->> 'to' IS DISTINCT FROM ")
            .push_bind(id.to_string())
            .push(")");
    } else {
        query.push(" WHERE true");
    }
    if let Some(about) = about {
        query.push(" AND (e.user_id = ").push_bind(about.0);
        query.push(" OR e.actor_id = ").push_bind(about.0).push(")");
    }
    if let Some(kind) = filter.kind {
        query.push(" AND e.kind = ").push_bind(kind.as_str());
    }
    if let Some(since) = filter.since {
        query.push(" AND e.at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        query.push(" AND e.at < ").push_bind(until);
    }
    if let Some(person) = &filter.person {
        people(&mut query, organization, "e.user_id", person);
    }
    if let Some(actor) = &filter.actor {
        people(&mut query, organization, "e.actor_id", actor);
    }
    if let Some(network) = filter.address.as_deref().and_then(network) {
        query
            .push(" AND e.ip_address <<= ")
            .push_bind(network.to_string())
            .push("::text::inet");
    }
    query
}

/// Whoever is no member of the organization is found by no name: who acted from outside is not told.
fn people(
    query: &mut QueryBuilder<Postgres>,
    organization: Option<OrganizationId>,
    column: &str,
    text: &str,
) {
    query.push(format!(" AND {column} IN (SELECT id FROM users WHERE "));
    if let Ok(id) = text.parse::<Uuid>() {
        query.push("id = ").push_bind(id);
    } else {
        let pattern = containing(text);
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
            .push_bind(organization.0)
            .push(")");
    }
    query.push(")");
}
