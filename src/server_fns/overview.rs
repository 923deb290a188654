//! The signed-in user and the dashboard.

use leptos::prelude::*;

use super::client::SessionClient;
use crate::wire::TextJson;
use domain::overview::{Overview, Viewer};

use crate::error::AppError;
#[cfg(feature = "ssr")]
use crate::{
    server::services::{dashboard, session_state},
    server_fns::request_context,
};

/// Returns the signed-in user with all memberships.
#[server(ShowViewer, prefix = "/api", endpoint = "show_viewer", output = TextJson, client = SessionClient)]
pub async fn show_viewer() -> Result<Viewer, AppError> {
    request_context::run(async {
        let (state, caller) = (request_context::state()?, request_context::signed_in()?);
        Ok(Viewer {
            memberships: dashboard::list_memberships(&state, &caller).await?,
            state: session_state::build(&state, &caller),
            theme: request_context::theme(),
        })
    })
    .await
}

/// Returns the data of the dashboard.
#[server(ShowOverview, prefix = "/api", endpoint = "show_overview", output = TextJson, client = SessionClient)]
pub async fn show_overview() -> Result<Overview, AppError> {
    request_context::run(async {
        dashboard::load_overview(&request_context::state()?, &*request_context::signed_in()?).await
    })
    .await
}
