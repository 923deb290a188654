//! Loads the page.

use domain::audit::AuditChainStatus;

use super::query;
use crate::{
    error::AppError,
    server::{
        admin::PageRequest,
        services::admin::audit_log::{self, AuditQuery, Page},
    },
};

/// The loaded page.
pub struct AuditPage {
    pub query: AuditQuery,
    /// Why the query is invalid.
    pub problem: Option<String>,
    /// The name of the organization in scope. `None`: everyone.
    pub organization: Option<String>,
    pub page: Page,
    pub chain: AuditChainStatus,
}

pub async fn load_audit_page(request: &PageRequest<'_>) -> Result<AuditPage, AppError> {
    let admin = request.admin;
    let (query, problem) = query::parse(request.query);
    let page = match problem {
        None => audit_log::list(admin, &query).await?,
        Some(_) => Page::default(),
    };
    Ok(AuditPage {
        query,
        problem,
        organization: admin.organization_name().map(str::to_owned),
        page,
        chain: audit_log::load_chain_status(&admin.state).await?,
    })
}
