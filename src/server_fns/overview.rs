//! Who the caller is and what the portal knows of them.

use leptos::prelude::*;

#[cfg(feature = "ssr")]
use crate::{server::services::dashboard, server_fns::border};
use crate::{
    domain::{
        organization::Membership,
        overview::{Overview, Viewer},
    },
    error::AppError,
};

/// Who is signed in. Costs no statement beyond the check of the session.
#[server(ShowViewer, prefix = "/api", endpoint = "show_viewer")]
pub async fn show_viewer() -> Result<Viewer, AppError> {
    border::answer(async {
        let caller = border::signed_in()?;
        Ok(Viewer {
            user: caller.user.clone(),
            organization: caller.organization.clone(),
            session_id: caller.id,
            theme: border::theme(),
        })
    })
    .await
}

/// What the dashboard shows.
#[server(ShowOverview, prefix = "/api", endpoint = "show_overview")]
pub async fn show_overview() -> Result<Overview, AppError> {
    border::answer(async { dashboard::overview(&border::state()?, &*border::signed_in()?).await }).await
}

/// The brokerages that the caller belongs to.
#[server(ListMemberships, prefix = "/api", endpoint = "list_memberships")]
pub async fn list_memberships() -> Result<Vec<Membership>, AppError> {
    border::answer(async { dashboard::list_memberships(&border::state()?, &*border::signed_in()?).await }).await
}
