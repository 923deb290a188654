//! The sessions of an administrator's people: listed, counted, written out.

use chrono::TimeDelta;

use super::{AdminRequest, csv};
use domain::{
    admin::{AdminSession, SessionStatus},
    ids::SessionId,
    session_filter::{SessionFilter, SessionSort},
    time::format_rfc3339,
};

use crate::{
    error::AppError,
    server::store::{
        audit::AuditKind,
        cursor::Cursor,
        session_list::{self, SessionSelection},
    },
};

/// Most rows of a page.
pub const MAX_PAGE: u16 = 200;

/// Most rows of an export: a spreadsheet takes no more.
const MAX_EXPORT: usize = 1_000_000;

/// A page of the list.
#[derive(Debug, Default)]
pub struct Page {
    pub sessions: Vec<AdminSession>,
    /// Rows of all pages together.
    pub total: i64,
    /// Where the next page begins.
    pub next: Option<Cursor>,
}

/// A page of what the filter lists, with the count of all of it.
///
/// # Errors
/// The database does not answer.
pub async fn list(
    admin: &AdminRequest,
    filter: &SessionFilter,
    sort: SessionSort,
    after: Option<&Cursor>,
    limit: u16,
) -> Result<Page, AppError> {
    let selection = selection(admin, filter);
    let conn = &mut *admin.state.database.connection().await?;
    let (sessions, next) =
        session_list::load_page(conn, selection, sort, after, limit.clamp(1, MAX_PAGE)).await?;
    let total = session_list::count(conn, selection).await?;
    let sessions = sessions
        .into_iter()
        .map(|session| as_noted(session, admin))
        .collect();
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

/// One session of someone within reach, whatever its state.
///
/// # Errors
/// [`AppError::SessionNotFound`] for any other.
pub async fn find(admin: &AdminRequest, session: SessionId) -> Result<AdminSession, AppError> {
    let conn = &mut *admin.state.database.connection().await?;
    let found = session_list::find(conn, admin.scope.organization, session, admin.state.clock.now()).await?;
    found
        .map(|session| as_noted(session, admin))
        .ok_or(AppError::SessionNotFound)
}

/// With what is noted on this node and not yet written: true already.
fn as_noted(mut reviewed: AdminSession, admin: &AdminRequest) -> AdminSession {
    let session = &mut reviewed.session;
    session.is_current = session.id == admin.caller.id;
    if reviewed.state == SessionStatus::Live
        && let Some(active) = admin.state.activity.last_active(session.id)
    {
        session.last_active_at = session.last_active_at.max(active);
        session.last_seen_at = session.last_seen_at.max(active);
        let idle_end = session.last_active_at + TimeDelta::seconds(reviewed.idle_seconds);
        session.expires_at = idle_end.min(reviewed.lifetime_expires_at);
    }
    reviewed
}

/// The names of the columns of an export.
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

/// What an export begins with: the mark of its encoding and the names of the columns.
pub fn csv_head() -> String {
    format!("{}{}", csv::BYTE_ORDER_MARK, csv::line(COLUMNS))
}

/// Records an export before it begins, with its filter and how many rows it lists.
///
/// # Errors
/// [`AppError::SessionEnded`], [`AppError::Forbidden`] for a caller who may not (any more); the database's.
pub async fn record_export(admin: &AdminRequest, filter: &SessionFilter) -> Result<(), AppError> {
    let mut tx = admin.begin(&[]).await?;
    let listed = session_list::count(&mut tx, selection(admin, filter)).await?;
    super::record_export(
        &mut tx,
        AuditKind::SessionsExported,
        &filter.explicit_query(),
        listed,
    )
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Everything that the filter lists, a page after the other, as lines of comma-separated values (RFC 4180), each page as
/// soon as it has been read. `write` says whether whoever reads still does.
///
/// # Errors
/// The database does not answer; what was written before stays written.
pub async fn export<W, F>(
    admin: &AdminRequest,
    filter: &SessionFilter,
    sort: SessionSort,
    mut write: W,
) -> Result<(), AppError>
where
    W: FnMut(String) -> F,
    F: Future<Output = bool>,
{
    let selection = selection(admin, filter);
    let mut after = None;
    let mut written = 0;
    loop {
        // A connection a page: whoever reads slowly holds none meanwhile.
        let (sessions, next) = {
            let conn = &mut *admin.state.database.connection().await?;
            // An administrator who was signed out meanwhile gets no more.
            admin.recheck(conn).await?;
            session_list::load_page(conn, selection, sort, after.as_ref(), 1000).await?
        };
        written += sessions.len();
        let lines: String = sessions
            .into_iter()
            .map(|session| csv_line(&as_noted(session, admin)))
            .collect();
        if !write(lines).await || next.is_none() {
            return Ok(());
        }
        if written >= MAX_EXPORT {
            // Cut off, so that nobody takes it for the whole.
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
