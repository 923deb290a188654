//! The sessions of users in scope: list, count and export.

use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    AdminRequest, csv,
    query::{ListFilter, ListQuery, MAX_LIMIT, SessionsPosition},
};
use domain::{
    admin::{AdminSession, SessionStatus},
    filter::InvalidFilter,
    ids::SessionId,
    query::QueryFields,
    session_filter::{SessionFilter, SessionSort},
    time::format_rfc3339,
};

use crate::{
    error::{AppError, Resource},
    server::{
        services::session_view,
        store::{
            audit::{self, AuditEvent},
            cursor::Cursor,
            session_list::{self, AdminSessionRow, SessionSelection},
        },
    },
};

/// Most rows of an export: the limit of a spreadsheet.
const MAX_EXPORT: usize = 1_000_000;

/// Which sessions to list.
pub type SessionsQuery = ListQuery<SessionFilter>;

impl ListFilter for SessionFilter {
    type Sort = SessionSort;
    type Cursor = Cursor;

    const POSITION: &'static [&'static str] = &["sort", "after"];

    fn parse_sort(fields: &QueryFields) -> Result<SessionSort, InvalidFilter> {
        SessionSort::parse(fields)
    }

    fn sort_name(sort: SessionSort) -> Option<&'static str> {
        (sort != SessionSort::default()).then_some(sort.as_str())
    }

    fn parse_cursor(text: &str, sort: SessionSort) -> Option<Cursor> {
        Cursor::read(text, sort)
    }
}

impl IntoParams for SessionsQuery {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = SessionFilter::into_params(&parameter_in);
        parameters.extend(SessionsPosition::into_params(&parameter_in));
        parameters
    }
}

/// A page of the list.
#[derive(Debug, Default)]
pub struct Page {
    pub sessions: Vec<AdminSession>,
    /// Rows on all pages.
    pub total: i64,
    /// Where the next page starts.
    pub next: Option<Cursor>,
}

/// Lists a page, with the count of all rows.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn list(admin: &AdminRequest, query: &SessionsQuery) -> Result<Page, AppError> {
    let selection = selection(admin, &query.filter);
    let (sort, after, limit) = (query.sort, query.after.as_ref(), query.limit.clamp(1, MAX_LIMIT));
    let conn = &mut *admin.state.database.connection().await?;
    let (sessions, next) = session_list::load_page(conn, selection, sort, after, limit).await?;
    let total = session_list::count(conn, selection).await?;
    let sessions = sessions.into_iter().map(|row| view(row, admin)).collect();
    Ok(Page {
        sessions,
        total,
        next,
    })
}

fn selection<'a>(admin: &AdminRequest, filter: &'a SessionFilter) -> SessionSelection<'a> {
    SessionSelection {
        filter,
        organization: admin.scope.organization,
        now: admin.state.clock.now(),
    }
}

/// Finds a session of a user in scope, live or ended.
///
/// # Errors
/// [`AppError::NotFound`] for any other.
pub async fn find(admin: &AdminRequest, session: SessionId) -> Result<AdminSession, AppError> {
    let conn = &mut *admin.state.database.connection().await?;
    let found = session_list::find(conn, admin.scope.organization, session, admin.state.clock.now()).await?;
    found
        .map(|row| view(row, admin))
        .ok_or(AppError::NotFound(Resource::Session))
}

fn view(row: AdminSessionRow, admin: &AdminRequest) -> AdminSession {
    // The activity of an ended session is never written.
    let is_live = row.ended_at.is_none();
    let active = admin
        .state
        .activity
        .last_active(row.session.id)
        .filter(|_| is_live);
    AdminSession {
        session: session_view::build(row.session, active, Some(admin.caller.id)),
        user: row.user,
        state: if is_live {
            SessionStatus::Live
        } else {
            SessionStatus::Ended
        },
        ended_at: row.ended_at,
        reason: row.reason,
        note: row.end_note,
        ended_by: row.ended_by,
        is_unusual: row.is_unusual,
    }
}

/// The columns of an export.
const COLUMNS: [&str; 19] = [
    "person",
    "email",
    "role",
    "state",
    "reason",
    "kind",
    "device",
    "browser",
    "os",
    "address",
    "began",
    "last_active",
    "last_seen",
    "expires",
    "ended",
    "note",
    "unusual",
    "session_id",
    "user_id",
];

/// The start of an export: the byte order mark and the names of the columns.
pub fn csv_head() -> String {
    format!("{}{}", csv::BYTE_ORDER_MARK, csv::line(COLUMNS))
}

/// Records an export before it starts, with its filter and number of rows.
///
/// # Errors
/// [`AppError::SessionEnded`], [`AppError::Forbidden`] if the caller's session or permission ended; [`AppError::Unavailable`].
pub async fn record_export(admin: &AdminRequest, filter: &SessionFilter) -> Result<(), AppError> {
    let mut tx = admin.begin(&[]).await?;
    let listed = session_list::count(&mut tx, selection(admin, filter)).await?;
    let event = AuditEvent::sessions_exported(tx.actor(), &filter.explicit_query(), listed);
    let now = tx.now();
    audit::record(&mut tx, event, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Exports all selected sessions page by page as CSV (RFC 4180). `write` returns whether the reader is still there.
///
/// # Errors
/// As [`record_export`], before each page.
pub async fn export<W, F>(admin: &AdminRequest, query: &SessionsQuery, mut write: W) -> Result<(), AppError>
where
    W: FnMut(String) -> F,
    F: Future<Output = bool>,
{
    let selection = selection(admin, &query.filter);
    let mut after = None;
    let mut written = 0;
    loop {
        // One connection per page, so that a slow reader holds none.
        let (sessions, next) = {
            let conn = &mut *admin.state.database.connection().await?;
            // A caller who was signed out meanwhile gets no more.
            admin.recheck(conn).await?;
            session_list::load_page(conn, selection, query.sort, after.as_ref(), 1000).await?
        };
        written += sessions.len();
        let lines: String = sessions
            .into_iter()
            .map(|row| csv_line(&view(row, admin)))
            .collect();
        if !write(lines).await || next.is_none() {
            return Ok(());
        }
        if written >= MAX_EXPORT {
            // An aborted download is not mistaken for the whole list.
            return Err(AppError::invalid_input(
                "filter",
                "There is more than an export holds.",
            ));
        }
        after = next;
    }
}

fn csv_line(reviewed: &AdminSession) -> String {
    let AdminSession { session, user, .. } = reviewed;
    let state = match reviewed.state {
        SessionStatus::Live => "live",
        SessionStatus::Ended => "ended",
    };
    let fields: [String; COLUMNS.len()] = [
        user.display_name.clone(),
        user.email.clone(),
        user.role.as_str().to_owned(),
        state.to_owned(),
        reviewed
            .reason
            .map(|reason| reason.as_str().to_owned())
            .unwrap_or_default(),
        session.kind.as_str().to_owned(),
        session.device_name.clone(),
        session.browser.clone().unwrap_or_default(),
        session.os.clone().unwrap_or_default(),
        session.ip_address.clone(),
        format_rfc3339(session.created_at),
        format_rfc3339(session.last_active_at),
        format_rfc3339(session.last_seen_at),
        format_rfc3339(session.expires_at),
        reviewed.ended_at.map(format_rfc3339).unwrap_or_default(),
        reviewed.note.clone().unwrap_or_default(),
        if reviewed.is_unusual { "yes" } else { "no" }.to_owned(),
        session.id.to_string(),
        user.id.to_string(),
    ];
    csv::line(fields)
}
