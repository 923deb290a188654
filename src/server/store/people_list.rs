//! The list of users for administrators.
//!
//! A statement contains only the conditions that apply, as in [`super::session_list`]. All users are read along the index of
//! emails; the users of an organization are found by their memberships.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Postgres, QueryBuilder};

use super::{cursor::Cursor, like_pattern};
use crate::server::database::Connection;
use domain::{
    ids::{OrganizationId, SessionId, UserId},
    people_filter::{AccountStatus, PeopleFilter},
    user::User,
};

/// The filter, within what the caller may see.
#[derive(Clone, Copy, Debug)]
pub struct PeopleSelection<'a> {
    pub filter: &'a PeopleFilter,
    /// Only users of this organization, with their role there.
    pub organization: Option<OrganizationId>,
}

/// Returns a page by email, at most `limit` rows, and the cursor of the next page if there is one.
pub async fn load_page(
    conn: &mut Connection,
    selection: PeopleSelection<'_>,
    after: Option<&Cursor>,
    limit: u16,
) -> sqlx::Result<(Vec<(User, AccountStatus)>, Option<Cursor>)> {
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "SELECT u.id AS user_id, u.email, lower(u.email) AS email_key, u.display_name, {} AS role, \
         u.disabled_at IS NOT NULL AS is_disabled, u.password_change_required",
        match selection.organization {
            Some(_) => "effective_role(u.role, scope.role)",
            None => "u.role",
        }
    ));
    push_conditions(&mut query, selection);
    if let Some((email, id)) = after.and_then(Cursor::email_key) {
        // Also bound the key alone: the index contains only that column.
        query
            .push(" AND lower(u.email) >= ")
            .push_bind(email.to_owned())
            .push(" AND (lower(u.email) > ")
            .push_bind(email.to_owned())
            .push(" OR u.id > ")
            .push_bind(id)
            .push(")");
    }
    // One extra row shows whether there is a next page.
    query
        .push(match selection.organization {
            // Few rows among all users. Along the index of emails, the database would read all of them one by one. This
            // expression sorts the same, but no index matches it.
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
        .map(|last| Cursor::from_email(last.email_key.clone(), last.user.id.0));
    let people = rows.into_iter().map(|row| {
        let status = AccountStatus::new(row.is_disabled, row.password_change_required);
        (row.user, status)
    });
    Ok((people.collect(), next))
}

/// Counts the rows of all pages.
pub async fn count(conn: &mut Connection, selection: PeopleSelection<'_>) -> sqlx::Result<i64> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT count(*)");
    push_conditions(&mut query, selection);
    query.build_query_scalar().fetch_one(conn).await
}

/// When a user was last active.
pub struct Presence {
    pub user: UserId,
    /// Live sessions.
    pub live: Vec<SessionId>,
    /// As far as it is written, and from sessions that are still stored.
    pub last_active_at: Option<DateTime<Utc>>,
    /// The audit log contains a sign-in.
    pub has_signed_in: bool,
}

/// Loads the presence of users.
pub async fn load_presence(
    conn: &mut Connection,
    users: &[UserId],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Presence>> {
    sqlx::query_as!(
        Presence,
        r#"
        SELECT p.id AS "user!: _",
            ARRAY (
                SELECT st.id FROM session_state st
                WHERE st.user_id = p.id AND st.ended_at IS NULL AND st.live_until > $2
            ) AS "live!: _",
            (SELECT max(s.last_active_at) FROM sessions s WHERE s.user_id = p.id) AS last_active_at,
            EXISTS (SELECT 1 FROM audit_events e WHERE e.user_id = p.id AND e.kind = 'signed_in') AS "has_signed_in!"
        FROM unnest($1::uuid[]) AS p (id)
        "#,
        users as _,
        now,
    )
    .fetch_all(conn)
    .await
}

/// Adds FROM and WHERE.
fn push_conditions(
    query: &mut QueryBuilder<Postgres>,
    PeopleSelection { filter, organization }: PeopleSelection<'_>,
) {
    query.push(" FROM users u");
    if let Some(organization) = organization {
        query
            .push(" JOIN memberships scope ON scope.user_id = u.id AND scope.organization_id = ")
            .push_bind(organization);
    }
    query.push(" WHERE true");
    if let Some(q) = &filter.q {
        let pattern = like_pattern(q);
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
            query
                .push(" AND effective_role(u.role, scope.role) = ")
                .push_bind(role);
        }
        // In any of their organizations, or outside any.
        (Some(role), None) => {
            query
                .push(
                    " AND u.id IN (SELECT o.id FROM users o LEFT JOIN memberships m ON m.user_id = o.id \
                     WHERE effective_role(o.role, m.role) = ",
                )
                .push_bind(role)
                .push(")");
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
    #[sqlx(flatten)]
    user: User,
    email_key: String,
    is_disabled: bool,
    password_change_required: bool,
}
