//! The theme of this browser.

use leptos::prelude::*;

use super::client::SessionClient;
use crate::wire::TextJson;
use domain::theme::Theme;

use crate::error::AppError;
#[cfg(feature = "ssr")]
use crate::{server::http::cookie::PortalCookie, server_fns::request_context};

/// Stores the theme in a cookie, with or without a session. Without JavaScript the browser returns to its page.
#[server(ChooseTheme, prefix = "/api", endpoint = "choose_theme", output = TextJson, client = SessionClient)]
pub async fn choose_theme(theme: Theme) -> Result<(), AppError> {
    request_context::run(async { request_context::set_cookie(PortalCookie::Theme, theme.as_str()) }).await
}
