//! The audit log for administrators: events that affect or were caused by users in scope.

use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

use super::{
    AdminRequest,
    query::{AuditPosition, ListFilter, ListQuery},
};
use domain::{
    alert::AlertRule,
    audit::{AuditChainStatus, AuditFilter},
    filter::Filter,
};

use crate::{
    error::AppError,
    server::{
        services::{
            alerts::audit_chain_rule as verification,
            audit_export::{self, START},
        },
        state::AppState,
        store::{
            alerts,
            audit::{self, AuditEvent},
            audit_chain,
            audit_log::{AuditLogRow, AuditSelection, count, load_before},
            job_runs,
        },
    },
};

/// Which rows to list. The list is ordered by time, newest first. The cursor is the id of the last row.
pub type AuditQuery = ListQuery<AuditFilter>;

impl ListFilter for AuditFilter {
    type Sort = ();
    type Cursor = i64;

    fn parse_cursor(text: &str, (): ()) -> Option<i64> {
        text.parse().ok()
    }
}

impl IntoParams for AuditQuery {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = AuditFilter::into_params(&parameter_in);
        parameters.extend(AuditPosition::into_params(&parameter_in));
        parameters
    }
}

/// A page of the log, newest first.
#[derive(Default)]
pub struct Page {
    pub rows: Vec<AuditLogRow>,
    /// Where the next page starts: the id of the last row.
    pub next: Option<i64>,
}

/// Lists a page.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn list(admin: &AdminRequest, query: &AuditQuery) -> Result<Page, AppError> {
    let (selection, limit) = (selection(admin, &query.filter), query.limit);
    let conn = &mut *admin.state.database.connection().await?;
    let before = query.after.unwrap_or(i64::MAX);
    let mut rows = load_before(conn, selection, before, i64::from(limit) + 1).await?;
    let has_more = rows.len() > usize::from(limit);
    rows.truncate(usize::from(limit));
    let next = rows.last().filter(|_| has_more).map(|last| last.id);
    Ok(Page { rows, next })
}

/// Records an export before it starts, with its filter and number of rows. `docs/administration.md` says which other reads are
/// recorded, and why.
///
/// # Errors
/// [`AppError::SessionEnded`], [`AppError::Forbidden`] if the caller's session or permission ended; [`AppError::Unavailable`].
pub async fn record_export(admin: &AdminRequest, filter: &AuditFilter) -> Result<(), AppError> {
    let mut tx = admin.begin(&[]).await?;
    let listed = count(&mut tx, selection(admin, filter)).await?;
    let (now, event) = (
        tx.now(),
        AuditEvent::audit_exported(tx.actor(), &filter.to_query_string(), listed),
    );
    audit::record(&mut tx, event, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Exports all selected rows, oldest first, one JSON object per line. `write` returns whether the reader is still there.
///
/// # Errors
/// As [`record_export`], before each part.
pub async fn export<W, F>(admin: &AdminRequest, filter: &AuditFilter, mut write: W) -> Result<(), AppError>
where
    W: FnMut(String) -> F,
    F: Future<Output = bool>,
{
    let mut after = START;
    loop {
        {
            // A caller who was signed out meanwhile gets no more.
            admin
                .recheck(&mut *admin.state.database.connection().await?)
                .await?;
        }
        let lines = audit_export::export_page(&admin.state.database, selection(admin, filter), after).await;
        let lines = lines.map_err(|error| {
            tracing::error!(%error, "the audit log could not be written out");
            AppError::Unavailable
        })?;
        let Some(lines) = lines else { return Ok(()) };
        after = lines.after;
        if !write(lines.text).await {
            return Ok(());
        }
    }
}

/// Loads the result of the last verification, and how far the log is sealed.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn load_chain_status(state: &AppState) -> Result<AuditChainStatus, AppError> {
    let conn = &mut *state.database.connection().await?;
    let open = alerts::list_open(conn).await?;
    let problem = open
        .into_iter()
        .find(|alert| alert.rule == AlertRule::AuditChainBroken);
    let first = audit_chain::list_entries_after(conn, 0, 1).await?;
    Ok(AuditChainStatus {
        sealed_since: first.first().map(|entry| entry.sealed_at),
        // A verification that found an error succeeds as well.
        verified_at: job_runs::load_last_success(conn, verification::JOB)
            .await?
            .filter(|_| problem.is_none()),
        problem: problem.map(|alert| alert.message),
        unsealed_rows: audit_chain::load_backlog(conn).await?.rows,
    })
}

fn selection<'a>(admin: &AdminRequest, filter: &'a AuditFilter) -> AuditSelection<'a> {
    AuditSelection {
        filter,
        organization: admin.scope.organization,
        about: None,
        session: None,
    }
}
