//! The brokerage that the session looks at.

use leptos::prelude::*;

use super::client::KeptClient;
use crate::wire::TextJson;
#[cfg(feature = "ssr")]
use crate::{server::services::switch_organization as service, server_fns::border};
#[cfg(feature = "ssr")]
use domain::next::safe_path;
use domain::organization::Organization;

use crate::error::AppError;

/// Has this session look at another brokerage of the caller's. Without JavaScript the browser comes back to `next`.
#[server(SwitchOrganization, prefix = "/api", endpoint = "switch_organization", output = TextJson, client = KeptClient)]
pub async fn switch_organization(
    organization_id: String,
    #[server(default)] next: Option<String>,
) -> Result<Organization, AppError> {
    border::answer(async {
        let to = organization_id
            .parse()
            .map_err(|_| AppError::NoSuch(crate::error::Thing::Organization))?;
        let switched =
            service::switch(&border::state()?, &*border::signed_in()?, to, &border::client()?).await?;
        border::then_go_to(next.as_deref().and_then(safe_path).unwrap_or("/dashboard"));
        Ok(switched)
    })
    .await
}
