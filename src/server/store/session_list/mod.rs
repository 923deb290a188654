//! Sessions for administrators: list, count and selection for revocation, with one filter.
//!
//! A statement contains only the conditions that apply, because a condition that is always present but sometimes empty
//! would keep the database from its indexes. Values are bound, never written into the text.

mod conditions;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, Postgres, QueryBuilder};

use self::conditions::{ListPart, list_parts, push_conditions, push_from, role_expression};
use super::{cursor::Cursor, sessions::SessionRow};
use crate::server::database::Connection;
use domain::{
    admin::Cutoff,
    admin_permission::AdminScope,
    ids::{OrganizationId, SessionId, UserId},
    session::EndReason,
    session_filter::{SessionFilter, SessionSort},
    user::{Role, User},
};

/// The filter, within what the caller may see, at one time.
#[derive(Clone, Copy, Debug)]
pub struct SessionSelection<'a> {
    pub filter: &'a SessionFilter,
    /// Only users of this organization.
    pub organization: Option<OrganizationId>,
    pub now: DateTime<Utc>,
}

/// A session for administrators.
#[derive(Debug, FromRow)]
pub struct AdminSessionRow {
    #[sqlx(flatten)]
    pub session: SessionRow,
    #[sqlx(flatten)]
    pub user: User,
    email_key: String,
    /// `None` while the session is live.
    pub ended_at: Option<DateTime<Utc>>,
    pub reason: Option<EndReason>,
    pub end_note: Option<String>,
    pub ended_by: Option<UserId>,
    pub is_unusual: bool,
}

/// Returns a page, at most `limit` rows, and the cursor of the next page if there is one.
pub async fn load_page(
    conn: &mut Connection,
    selection: SessionSelection<'_>,
    sort: SessionSort,
    after: Option<&Cursor>,
    limit: u16,
) -> sqlx::Result<(Vec<AdminSessionRow>, Option<Cursor>)> {
    let parts = list_parts(selection.filter);
    if parts.is_empty() {
        return Ok((Vec::new(), None));
    }
    let (key, direction) = match sort {
        SessionSort::LastActive => ("st.last_active_at", "DESC"),
        SessionSort::CreatedAt => ("st.created_at", "DESC"),
        SessionSort::User => ("lower(st.email)", "ASC"),
    };
    // One extra row shows whether there is a next page.
    let most = i64::from(limit) + 1;
    let mut query = QueryBuilder::<Postgres>::new("");
    select_rows(&mut query, selection);
    // Select the ids from as few tables as possible, then load their details.
    query.push(" JOIN (");
    for (place, part) in parts.iter().enumerate() {
        query.push(if place == 0 { "(" } else { " UNION ALL (" });
        query.push("SELECT st.id");
        push_from(&mut query, selection);
        push_conditions(&mut query, selection, *part);
        if let Some(cursor) = after {
            after_cursor(&mut query, cursor, sort);
        }
        let key = order(sort, *part);
        query
            .push(format!(" ORDER BY {key} {direction}, st.id {direction} LIMIT "))
            .push_bind(most)
            .push(")");
    }
    query
        .push(format!(
            ") AS page ON page.id = st.id ORDER BY {key} {direction}, st.id {direction} LIMIT "
        ))
        .push_bind(most);
    let mut rows: Vec<AdminSessionRow> = query.build_query_as().fetch_all(conn).await?;
    let has_more = rows.len() > usize::from(limit);
    rows.truncate(usize::from(limit));
    let next = rows.last().filter(|_| has_more).map(|last| cursor_of(last, sort));
    Ok((rows, next))
}

/// Returns the ORDER BY expression of a part.
fn order(sort: SessionSort, part: ListPart) -> &'static str {
    match (sort, part) {
        (SessionSort::LastActive, ListPart::Live | ListPart::Open | ListPart::Recorded) => {
            "st.last_active_at"
        }
        (SessionSort::CreatedAt, ListPart::Live | ListPart::Open | ListPart::Recorded) => "st.created_at",
        (SessionSort::User, ListPart::Live | ListPart::Open | ListPart::Recorded) => "lower(st.email)",
        // Few rows among all open sessions. Along an index of the sort key, the database would read all of them one by
        // one. These expressions sort the same, but no index matches them.
        (SessionSort::LastActive, ListPart::Expired) => "(st.last_active_at + interval '0')",
        (SessionSort::CreatedAt, ListPart::Expired) => "(st.created_at + interval '0')",
        (SessionSort::User, ListPart::Expired) => "(lower(st.email) || '')",
    }
}

/// Counts the rows of all pages.
pub async fn count(conn: &mut Connection, selection: SessionSelection<'_>) -> sqlx::Result<i64> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT 0::bigint");
    for part in list_parts(selection.filter) {
        query.push(" + (SELECT count(*)");
        push_from(&mut query, selection);
        push_conditions(&mut query, selection, *part);
        query.push(")");
    }
    query.build_query_scalar().fetch_one(conn).await
}

/// Returns live sessions of the filter up to `until`, grouped by user, at most `most`.
pub async fn list_live_ids(
    conn: &mut Connection,
    selection: SessionSelection<'_>,
    until: Cutoff,
    except: Option<SessionId>,
    most: i64,
) -> sqlx::Result<Vec<(UserId, SessionId)>> {
    let mut query = live_until(selection, Some(until), except);
    query.push(" ORDER BY st.user_id, st.id LIMIT ").push_bind(most);
    query.build_query_as().fetch_all(conn).await
}

/// Returns those of `ids` that the filter still lists, up to `until` if given.
pub async fn filter_listed(
    conn: &mut Connection,
    selection: SessionSelection<'_>,
    until: Option<Cutoff>,
    ids: &[SessionId],
) -> sqlx::Result<Vec<SessionId>> {
    let mut query = live_until(selection, until, None);
    query
        .push(" AND st.id = ANY(")
        .push_bind(ids)
        .push(") ORDER BY st.id");
    let rows: Vec<(UserId, SessionId)> = query.build_query_as().fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(_, session)| session).collect())
}

/// Counts live sessions of the filter, up to `until` if given.
pub async fn count_live(
    conn: &mut Connection,
    selection: SessionSelection<'_>,
    until: Option<Cutoff>,
    except: Option<SessionId>,
) -> sqlx::Result<i64> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT count(*)");
    live_conditions(&mut query, selection, until, except);
    query.build_query_scalar().fetch_one(conn).await
}

fn live_until(
    selection: SessionSelection<'_>,
    until: Option<Cutoff>,
    except: Option<SessionId>,
) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT st.user_id, st.id");
    live_conditions(&mut query, selection, until, except);
    query
}

fn live_conditions(
    query: &mut QueryBuilder<Postgres>,
    selection: SessionSelection<'_>,
    until: Option<Cutoff>,
    except: Option<SessionId>,
) {
    push_from(query, selection);
    push_conditions(query, selection, ListPart::Live);
    match until {
        None => {}
        Some(Cutoff::Number(number)) => {
            query.push(" AND COALESCE(st.number, 0) <= ").push_bind(number);
        }
        Some(Cutoff::Time(time)) => {
            query.push(" AND st.created_at <= ").push_bind(time);
        }
    }
    if let Some(except) = except {
        query.push(" AND st.id <> ").push_bind(except);
    }
}

/// Finds one session in any state that the caller may see, without a filter.
pub async fn find(
    conn: &mut Connection,
    organization: Option<OrganizationId>,
    session: SessionId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<AdminSessionRow>> {
    let filter = SessionFilter::default();
    let selection = SessionSelection {
        filter: &filter,
        organization,
        now,
    };
    let mut query = QueryBuilder::<Postgres>::new("");
    select_rows(&mut query, selection);
    query.push(" WHERE st.id = ").push_bind(session);
    query.build_query_as().fetch_optional(conn).await
}

/// The first of these sessions whose user does not belong to the organization.
pub async fn find_first_outside(
    conn: &mut Connection,
    organization: Option<OrganizationId>,
    ids: &[SessionId],
) -> sqlx::Result<Option<SessionId>> {
    sqlx::query_scalar!(
        r#"
        SELECT s.id AS "id: SessionId" FROM sessions s WHERE s.id = ANY ($1) AND $2::uuid IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM memberships m WHERE m.user_id = s.user_id AND m.organization_id = $2) LIMIT 1
        "#,
        ids as _,
        organization as _,
    )
    .fetch_optional(conn)
    .await
}

/// The users whom the session's user administers in it, as of now. `None`: no administrator.
pub async fn admin_scope(conn: &mut Connection, session: SessionId) -> sqlx::Result<Option<AdminScope>> {
    let row = sqlx::query!(
        r#"SELECT role AS "role!: Role", organization_id AS "organization: OrganizationId"
        FROM session_state WHERE id = $1"#,
        session as _,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.and_then(|row| AdminScope::for_session(row.role, row.organization)))
}

fn select_rows(query: &mut QueryBuilder<Postgres>, selection: SessionSelection<'_>) {
    query.push(format!(
        "SELECT {}, st.user_id, st.email, lower(st.email) AS email_key, st.display_name, {} AS role, \
         EXISTS (SELECT 1 FROM security_notices n WHERE n.session_id = st.id) AS is_unusual, ended.*",
        SessionRow::COLUMNS,
        role_expression(selection),
    ));
    match selection.organization {
        None => {
            query.push(", st.end_note, st.ended_by");
        }
        // Hide the note and the actor of a revocation in another organization.
        Some(organization) => {
            for column in ["end_note", "ended_by"] {
                query
                    .push(", CASE WHEN acted_within(")
                    .push_bind(organization)
                    .push(format!(
                        ", st.ended_by, st.user_id, (SELECT e.actor_organization_id FROM audit_events e WHERE \
                         e.session_id = st.id AND e.kind = 'session_ended' ORDER BY e.id LIMIT 1)) THEN st.{column} END \
                         AS {column}"
                    ));
            }
        }
    }
    push_from(query, selection);
    query
        .push(" LEFT JOIN LATERAL (SELECT session_end_reason(st, ")
        .push_bind(selection.now)
        .push(") AS reason, session_end_time(st, ")
        .push_bind(selection.now)
        .push(") AS ended_at WHERE st.live_until <= ")
        .push_bind(selection.now)
        .push(") ended ON true");
}

fn cursor_of(row: &AdminSessionRow, sort: SessionSort) -> Cursor {
    let session = &row.session;
    match sort {
        SessionSort::LastActive => Cursor::from_time(session.last_active_at, session.id.0),
        SessionSort::CreatedAt => Cursor::from_time(session.created_at, session.id.0),
        SessionSort::User => Cursor::from_email(row.email_key.clone(), session.id.0),
    }
}

/// Continues after the last row of the previous page.
fn after_cursor(query: &mut QueryBuilder<Postgres>, cursor: &Cursor, sort: SessionSort) {
    let (key, beyond) = match sort {
        SessionSort::LastActive => ("st.last_active_at", "<"),
        SessionSort::CreatedAt => ("st.created_at", "<"),
        SessionSort::User => ("lower(st.email)", ">"),
    };
    // Also bound the key alone: the index contains only that column.
    query.push(format!(" AND {key} {beyond}= "));
    cursor.bind_key(query);
    query.push(format!(" AND ({key} {beyond} "));
    let id = cursor.bind_key(query);
    query.push(format!(" OR st.id {beyond} ")).push_bind(id).push(")");
}
