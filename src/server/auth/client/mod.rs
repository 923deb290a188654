//! Who is asking: the names of browser and system from the User-Agent, and the address.

mod address;
mod user_agent;

pub use address::client_address;
pub use user_agent::{BrowserNames, UserAgentParser};

use axum::http::{HeaderMap, header::USER_AGENT};

/// The User-Agent as it is kept: at most 512 characters; bytes that are no text become `?`.
pub fn user_agent_of(headers: &HeaderMap) -> String {
    let bytes = headers
        .get(USER_AGENT)
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| {
            if c.is_control() || c == char::REPLACEMENT_CHARACTER {
                '?'
            } else {
                c
            }
        })
        .take(512)
        .collect()
}
