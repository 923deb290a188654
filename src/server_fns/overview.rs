//! Who the caller is and what the portal knows of them.

use leptos::prelude::*;

use super::client::KeptClient;
use crate::wire::TextJson;
use domain::overview::{Overview, Viewer};

use crate::error::AppError;
#[cfg(feature = "ssr")]
use crate::{
    server::services::{dashboard, session_state},
    server_fns::border,
};

/// Who is signed in, and where they belong.
#[server(ShowViewer, prefix = "/api", endpoint = "show_viewer", output = TextJson, client = KeptClient)]
pub async fn show_viewer() -> Result<Viewer, AppError> {
    border::answer(async {
        let (state, caller) = (border::state()?, border::signed_in()?);
        Ok(Viewer {
            memberships: dashboard::list_memberships(&state, &caller).await?,
            state: session_state::of(&state, &caller),
            theme: border::theme(),
        })
    })
    .await
}

/// What the dashboard shows.
#[server(ShowOverview, prefix = "/api", endpoint = "show_overview", output = TextJson, client = KeptClient)]
pub async fn show_overview() -> Result<Overview, AppError> {
    border::answer(async { dashboard::overview(&border::state()?, &*border::signed_in()?).await }).await
}
