//! The active organization of the session.

use leptos::prelude::*;

use super::client::SessionClient;
use crate::wire::TextJson;
#[cfg(feature = "ssr")]
use crate::{server::services::switch_organization as service, server_fns::request_context};
use domain::organization::Organization;
#[cfg(feature = "ssr")]
use domain::return_path::safe_return_path;

use crate::error::AppError;

/// Selects another organization of the caller. Without JavaScript the browser returns to `next`.
#[server(SwitchOrganization, prefix = "/api", endpoint = "switch_organization", output = TextJson, client = SessionClient)]
pub async fn switch_organization(
    organization_id: String,
    #[server(default)] next: Option<String>,
) -> Result<Organization, AppError> {
    request_context::run(async {
        let to = organization_id
            .parse()
            .map_err(|_| AppError::NotFound(crate::error::Resource::Organization))?;
        let switched = service::switch_organization(
            &request_context::state()?,
            &*request_context::signed_in()?,
            to,
            &request_context::client()?,
        )
        .await?;
        request_context::redirect_plain_form(
            next.as_deref().and_then(safe_return_path).unwrap_or("/dashboard"),
        );
        Ok(switched)
    })
    .await
}
