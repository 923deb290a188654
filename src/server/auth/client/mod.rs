//! Describes the client of a request: browser and system from the User-Agent, address and network.

mod address;
mod engine;
mod network;
mod user_agent;

pub use address::client_address;
pub use engine::{ClientSignature, has_lost_browser_name, is_other_client};
pub use network::Network;
pub use user_agent::BrowserNames;

use axum::http::{HeaderMap, header::USER_AGENT};

use domain::plain_text::is_forbidden;

/// The User-Agent as stored: at most 512 characters, with `?` for invalid and invisible characters.
pub fn user_agent_of(headers: &HeaderMap) -> String {
    let bytes = headers
        .get(USER_AGENT)
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| {
            if is_forbidden(c) || c == char::REPLACEMENT_CHARACTER {
                '?'
            } else {
                c
            }
        })
        .take(512)
        .collect()
}

/// Whether the client hints name Chromium. Programs and other browsers send none.
pub fn has_chromium_hints(headers: &HeaderMap) -> bool {
    headers
        .get("sec-ch-ua")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|brands| brands.contains("Chromium"))
}
