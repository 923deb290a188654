//! What the page lists.

use domain::audit::AuditFilter;

use crate::{
    error::AppError,
    server::{
        admin::{
            list_page::{List, ListPage},
            paths,
        },
        services::admin::{
            AdminRequest,
            audit_log::{self, AuditQuery, Page},
        },
    },
};

#[derive(Clone, Default)]
pub struct AuditList;

pub type AuditPage = ListPage<AuditList>;

impl List for AuditList {
    type Filter = AuditFilter;
    type Rows = Page;
    type Details = ();

    const PATH: &'static str = paths::AUDIT;
    const LABELS: &'static [(&'static str, &'static str)] = &[
        ("person", "To whom"),
        ("actor", "By whom"),
        ("kind", "What"),
        ("since", "Since (UTC)"),
        ("until", "Until (UTC)"),
        ("address", "From address"),
    ];

    async fn load_rows(admin: &AdminRequest, query: &AuditQuery) -> Result<Page, AppError> {
        audit_log::list(admin, query).await
    }

    fn next(rows: &Page) -> Option<&i64> {
        rows.next.as_ref()
    }
}
