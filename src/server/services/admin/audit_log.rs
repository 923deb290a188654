//! The audit log as an administrator reads it: what was done to their people, and what these did.

use super::AdminRequest;
use domain::{
    alert::AlertRule,
    audit::{AuditChainStatus, AuditFilter, AuditKind},
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
            alerts, audit_chain,
            audit_log::{AuditLogRow, AuditSelection, count, load_before},
            job_runs,
        },
    },
};

/// A page of the log, newest first.
#[derive(Default)]
pub struct Page {
    pub rows: Vec<AuditLogRow>,
    /// Where the next page begins: the id of the last row of this one.
    pub next: Option<i64>,
}

/// A page of what the filter lists, from before the row of id `before` on.
///
/// # Errors
/// The database does not answer.
pub async fn list(
    admin: &AdminRequest,
    filter: &AuditFilter,
    before: Option<i64>,
    limit: u16,
) -> Result<Page, AppError> {
    let selection = selection(admin, filter);
    let conn = &mut *admin.state.database.connection().await?;
    let before = before.unwrap_or(i64::MAX);
    let mut rows = load_before(conn, selection, before, i64::from(limit) + 1).await?;
    let has_more = rows.len() > usize::from(limit);
    rows.truncate(usize::from(limit));
    let next = rows.last().filter(|_| has_more).map(|last| last.id);
    Ok(Page { rows, next })
}

/// Records an export before it begins, with its filter and how many rows it lists.
///
/// # Errors
/// [`AppError::SessionEnded`], [`AppError::Forbidden`] for a caller who may not (any more); the database's.
pub async fn record_export(admin: &AdminRequest, filter: &AuditFilter) -> Result<(), AppError> {
    let mut tx = admin.begin(&[]).await?;
    let listed = count(&mut tx, selection(admin, filter)).await?;
    super::record_export(&mut tx, AuditKind::AuditExported, &filter.query(), listed).await?;
    tx.commit().await?;
    Ok(())
}

/// Everything that the filter lists, oldest first, one JSON object a line. `write` says whether whoever reads still does.
///
/// # Errors
/// The database does not answer; what was written before stays written.
pub async fn export<W, F>(admin: &AdminRequest, filter: &AuditFilter, mut write: W) -> Result<(), AppError>
where
    W: FnMut(String) -> F,
    F: Future<Output = bool>,
{
    let mut after = START;
    loop {
        {
            // An administrator who was signed out meanwhile gets no more.
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

/// Whether the log can be trusted, as far as it was looked at.
///
/// # Errors
/// The database does not answer.
pub async fn trust(state: &AppState) -> Result<AuditChainStatus, AppError> {
    let conn = &mut *state.database.connection().await?;
    let open = alerts::list_open(conn).await?;
    let broken = open
        .into_iter()
        .find(|alert| alert.rule == AlertRule::AuditChainBroken);
    Ok(AuditChainStatus {
        // A pass that found something comes to its end as well.
        verified_at: job_runs::load_last_success(conn, verification::JOB)
            .await?
            .filter(|_| broken.is_none()),
        broken: broken.map(|alert| alert.message),
        unsealed: audit_chain::load_backlog(conn).await?.rows,
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
