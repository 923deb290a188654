//! `POST /api/client_failure`: a page reports that its client application failed. Each report is logged and counted.
//!
//! Anyone can send anything here. Each field has a restricted format, so that no secret and no forged line reaches the
//! log. Few reports are logged, since the same failure produces the same report for many users.

use axum::{
    Extension, Form, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::post,
};
use serde::Deserialize;

use crate::server::{
    auth::{client::BrowserNames, current_session::Client},
    services::rate_limit,
    state::AppState,
    telemetry::labels::ClientFailure,
};

/// Largest report in bytes.
const MAX_REPORT_BYTES: usize = 2048;

pub fn router() -> Router<AppState> {
    Router::new().route(
        "/api/client_failure",
        post(record).layer(DefaultBodyLimit::max(MAX_REPORT_BYTES)),
    )
}

/// The report of `shell/client_guard.js`.
#[derive(Debug, Deserialize)]
struct Report {
    /// The stage that the application had reached.
    stage: String,
    /// The JavaScript name of the error. A panic is a `RuntimeError`.
    #[serde(default)]
    error: String,
    /// Where it happened in the module, innermost call first: `wasm-function[12]:0x34ab`.
    #[serde(default)]
    offsets: String,
    /// The path of the page, without its query.
    #[serde(default)]
    path: String,
    /// The file name of the module's script, which identifies the build.
    #[serde(default)]
    build: String,
    /// Nodes that the server did not send and that were hidden from hydration.
    #[serde(default)]
    foreign_nodes: u32,
}

async fn record(
    State(state): State<AppState>,
    Extension(client): Extension<Client>,
    Form(report): Form<Report>,
) -> StatusCode {
    let Some(stage) = stage(&report.stage) else {
        return StatusCode::UNPROCESSABLE_ENTITY;
    };
    if !rate_limit::allows_client_failure(&state, client.ip_address) {
        state.metrics.client_failures.count(ClientFailure::NotLogged);
        return StatusCode::TOO_MANY_REQUESTS;
    }
    state.metrics.client_failures.count(stage);
    let browser = BrowserNames::parse(&client.user_agent).device_name;
    tracing::warn!(
        stage = report.stage,
        error = plain(&report.error, 40, ""),
        offsets = plain(&report.offsets, 320, "-[]: "),
        page = plain(&report.path, 120, "/-_"),
        build = plain(&report.build, 60, ".-_"),
        foreign_nodes = report.foreign_nodes,
        browser,
        "client application failed"
    );
    StatusCode::NO_CONTENT
}

fn stage(name: &str) -> Option<ClientFailure> {
    match name {
        "load" => Some(ClientFailure::Load),
        "hydration" => Some(ClientFailure::Hydration),
        "running" => Some(ClientFailure::Running),
        _ => None,
    }
}

/// The text, if it is short and consists of letters, digits and `others`; otherwise a placeholder.
fn plain<'a>(text: &'a str, longest: usize, others: &str) -> &'a str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    if text.len() <= longest && text.chars().all(is_plain) {
        text
    } else {
        "(not plain)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_without_plain_text_are_replaced() {
        assert_eq!(
            plain("wasm-function[12]:0x3f", 320, "-[]: "),
            "wasm-function[12]:0x3f"
        );
        for text in ["a\nb", "?token=abc", "é", "\u{1b}[31m", &"a".repeat(41)] {
            assert_eq!(plain(text, 40, "/-_"), "(not plain)", "{text:?}");
        }
    }
}
