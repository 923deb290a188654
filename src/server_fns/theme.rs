//! Light or dark, on this browser.

use leptos::prelude::*;

use super::wire::TextJson;
use crate::{domain::theme::Theme, error::AppError};
#[cfg(feature = "ssr")]
use crate::{server::http::cookie, server_fns::border};

/// Keeps the theme on this browser, signed in or not. Without JavaScript the browser comes back to its page.
#[server(ChooseTheme, prefix = "/api", endpoint = "choose_theme", output = TextJson)]
pub async fn choose_theme(theme: Theme) -> Result<(), AppError> {
    use axum::http::{HeaderValue, header::SET_COOKIE};
    border::answer(async {
        let cookie = cookie::set_theme(theme, &border::state()?.config);
        if let (Some(response), Ok(cookie)) = (
            use_context::<leptos_axum::ResponseOptions>(),
            HeaderValue::from_str(&cookie),
        ) {
            response.append_header(SET_COOKIE, cookie);
        }
        Ok(())
    })
    .await
}
