//! People as administrators list them, by one filter.
//!
//! Put together from those conditions that apply, as the list of sessions ([`super::review`]): everyone is walked along the
//! index of emails, the people of an organization are found by their memberships.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{containing, cursor::Cursor, unreadable};
use crate::server::database::Connection;
use domain::{
    ids::{OrganizationId, SessionId, UserId},
    people_filter::{AccountStatus, PeopleFilter},
    user::{Role, User},
};

/// What is asked for: the filter, within what the asker may see.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub filter: &'a PeopleFilter,
    /// The people of this organization only, as what they are there.
    pub organization: Option<OrganizationId>,
}

/// A page of the list by email, at most `limit` rows, and where the next one begins, if there is one.
pub async fn page(
    conn: &mut Connection,
    asked: Asked<'_>,
    after: Option<&Cursor>,
    limit: u16,
) -> sqlx::Result<(Vec<(User, AccountStatus)>, Option<Cursor>)> {
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "SELECT u.id, u.email, lower(u.email) AS email_key, u.display_name, {} AS role, \
         u.disabled_at IS NOT NULL AS is_disabled, u.password_change_required",
        match asked.organization {
            Some(_) => "scope.role",
            None => "u.role",
        }
    ));
    listed(&mut query, asked);
    if let Some((email, id)) = after.and_then(Cursor::person) {
        // Bounded on the key alone too: the index knows that column only.
        query
            .push(" AND lower(u.email) >= ")
            .push_bind(email.to_owned())
            .push(" AND (lower(u.email) > ")
            .push_bind(email.to_owned())
            .push(" OR u.id > ")
            .push_bind(id)
            .push(")");
    }
    // One more than is shown tells whether there is a next page.
    query
        .push(match asked.organization {
            // Few among everyone. Along the index of emails the database would look for them one by one, to the end: this
            // is the same order, and no index has it.
            Some(_) => " ORDER BY (lower(u.email) || ''), u.id LIMIT ",
            None => " ORDER BY lower(u.email), u.id LIMIT ",
        })
        .push_bind(i64::from(limit) + 1);
    let mut rows: Vec<Row> = query.build_query_as().fetch_all(conn).await?;
    let has_more = rows.len() > usize::from(limit);
    rows.truncate(usize::from(limit));
    let next = rows
        .last()
        .filter(|_| has_more)
        .map(|last| Cursor::of_person(last.email_key.clone(), last.id));
    let people = rows.into_iter().map(Row::read).collect::<sqlx::Result<_>>()?;
    Ok((people, next))
}

/// How many rows the list has, all pages together.
pub async fn count(conn: &mut Connection, asked: Asked<'_>) -> sqlx::Result<i64> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT count(*)");
    listed(&mut query, asked);
    query.build_query_scalar().fetch_one(conn).await
}

/// What is known of when someone was there.
pub struct Presence {
    pub user: UserId,
    /// Their live sessions.
    pub live: Vec<SessionId>,
    /// As far as it has been written down, in a session that is still kept.
    pub last_active_at: Option<DateTime<Utc>>,
    /// The audit log knows of a sign-in.
    pub has_signed_in: bool,
}

/// When each of these people was there.
pub async fn presence(
    conn: &mut Connection,
    users: &[UserId],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Presence>> {
    let ids: Vec<Uuid> = users.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"
        SELECT p.id AS "id!",
            ARRAY (
                SELECT st.id FROM session_state st
                WHERE st.user_id = p.id AND st.ended_at IS NULL AND st.live_until > $2
            ) AS "live!",
            (SELECT max(s.last_active_at) FROM sessions s WHERE s.user_id = p.id) AS last_active_at,
            EXISTS (SELECT 1 FROM audit_events e WHERE e.user_id = p.id AND e.kind = 'signed_in') AS "has_signed_in!"
        FROM unnest($1::uuid[]) AS p (id)
        "#,
        &ids,
        now,
    )
    .fetch_all(conn)
    .await?;
    let presence = rows.into_iter().map(|row| Presence {
        user: UserId(row.id),
        live: row.live.into_iter().map(SessionId).collect(),
        last_active_at: row.last_active_at,
        has_signed_in: row.has_signed_in,
    });
    Ok(presence.collect())
}

/// From where, and which of them.
fn listed(query: &mut QueryBuilder<Postgres>, Asked { filter, organization }: Asked<'_>) {
    query.push(" FROM users u");
    if let Some(organization) = organization {
        query
            .push(" JOIN memberships scope ON scope.user_id = u.id AND scope.organization_id = ")
            .push_bind(organization.0);
    }
    query.push(" WHERE true");
    if let Some(q) = &filter.q {
        let pattern = containing(q);
        query
            .push(" AND (lower(u.email) LIKE lower(")
            .push_bind(pattern.clone())
            .push(") OR lower(u.display_name) LIKE lower(")
            .push_bind(pattern)
            .push("))");
    }
    match (filter.role, organization) {
        (None, _) => {}
        (Some(role), Some(_)) => {
            query.push(" AND scope.role = ").push_bind(role.as_str());
        }
        // One everywhere, whatever they are anywhere.
        (Some(Role::SystemAdmin), None) => {
            query.push(" AND u.role = 'system_admin'");
        }
        // A membership's role comes before the person's own.
        (Some(role), None) => {
            query
                .push(
                    " AND u.role <> 'system_admin' AND u.id IN (SELECT m.user_id FROM memberships m WHERE m.role = ",
                )
                .push_bind(role.as_str())
                .push(" UNION ALL SELECT o.id FROM users o WHERE o.role = ")
                .push_bind(role.as_str())
                .push(" AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = o.id))");
        }
    }
    if let Some(status) = filter.state {
        query.push(match status {
            AccountStatus::Active => " AND u.disabled_at IS NULL AND NOT u.password_change_required",
            AccountStatus::Disabled => " AND u.disabled_at IS NOT NULL",
            AccountStatus::PasswordChangeRequired => {
                " AND u.disabled_at IS NULL AND u.password_change_required"
            }
        });
    }
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    email: String,
    email_key: String,
    display_name: String,
    role: String,
    is_disabled: bool,
    password_change_required: bool,
}

impl Row {
    fn read(self) -> sqlx::Result<(User, AccountStatus)> {
        let user = User {
            id: UserId(self.id),
            email: self.email,
            display_name: self.display_name,
            role: self.role.parse().map_err(unreadable("role"))?,
        };
        Ok((
            user,
            AccountStatus::new(self.is_disabled, self.password_change_required),
        ))
    }
}
