//! Light or dark, on this browser.

use leptos::prelude::*;

use super::client::KeptClient;
use crate::wire::TextJson;
use domain::theme::Theme;

use crate::error::AppError;
#[cfg(feature = "ssr")]
use crate::{server::http::cookie, server_fns::border};

/// Keeps the theme on this browser, signed in or not. Without JavaScript the browser comes back to its page.
#[server(ChooseTheme, prefix = "/api", endpoint = "choose_theme", output = TextJson, client = KeptClient)]
pub async fn choose_theme(theme: Theme) -> Result<(), AppError> {
    border::answer(async {
        border::set_cookie(&cookie::set_theme(theme, &border::state()?.config));
        Ok(())
    })
    .await
}
