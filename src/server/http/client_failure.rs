//! `POST /api/client_failure`: a page reports that its client application failed. One log line and one count a report.
//!
//! Anyone can send anything here. Each field has a closed form, so that neither a secret nor a forged line reaches the
//! log, and few reports are logged: a failure that many users have is the same line again and again.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Extension, Form, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::post,
};
use serde::Deserialize;

use crate::server::{
    auth::{client::BrowserNames, current_session::Client},
    state::AppState,
    telemetry::metrics::ClientFailure,
};

/// Longest report in bytes.
const MAX_REPORT: usize = 2048;

/// Reports that one address may have logged in a [`WINDOW`].
const MOST_PER_ADDRESS: u32 = 5;

/// The same for all addresses together.
const MOST: u32 = 60;

const WINDOW: Duration = Duration::from_secs(60);

/// The route, with its own rate limit.
pub fn router() -> Router<AppState> {
    let limit = Arc::new(Mutex::new(RateLimit::new(Instant::now())));
    Router::new().route(
        "/api/client_failure",
        post(
            async move |State(state): State<AppState>,
                        Extension(client): Extension<Client>,
                        Form(report): Form<Report>| {
                let is_allowed = limit
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .allow(client.ip_address, Instant::now());
                record(&state, &client, &report, is_allowed)
            },
        )
        .layer(DefaultBodyLimit::max(MAX_REPORT)),
    )
}

/// What `shell/client_guard.js` sends.
#[derive(Debug, Deserialize)]
struct Report {
    /// How far the application had come.
    stage: String,
    /// The JavaScript name of the error: `RuntimeError` for a panic.
    #[serde(default)]
    error: String,
    /// Where in the module it happened, innermost first: `wasm-function[12]:0x34ab`.
    #[serde(default)]
    offsets: String,
    /// The page, without its query.
    #[serde(default)]
    path: String,
    /// The name of the module's script, which names the build.
    #[serde(default)]
    build: String,
    /// Nodes that did not come from the server and were hidden from hydration.
    #[serde(default)]
    foreign_nodes: u32,
}

fn record(state: &AppState, client: &Client, report: &Report, is_allowed: bool) -> StatusCode {
    let Some(stage) = stage(&report.stage) else {
        return StatusCode::UNPROCESSABLE_ENTITY;
    };
    if !is_allowed {
        state.metrics.client_failures.count(ClientFailure::NotLogged);
        return StatusCode::TOO_MANY_REQUESTS;
    }
    state.metrics.client_failures.count(stage);
    let browser = BrowserNames::read(&client.user_agent).device_name;
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

/// The text if it is letters, digits and `others` only and not too long, else a word in its place.
fn plain<'a>(text: &'a str, longest: usize, others: &str) -> &'a str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    if text.len() <= longest && text.chars().all(is_plain) {
        text
    } else {
        "(not plain)"
    }
}

/// Counts reports in windows of a fixed length.
struct RateLimit {
    since: Instant,
    total: u32,
    by_address: HashMap<IpAddr, u32>,
}

impl RateLimit {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            total: 0,
            by_address: HashMap::new(),
        }
    }

    /// Counts a report. False: it is one too many. Holds at most [`MOST`] addresses.
    fn allow(&mut self, address: IpAddr, now: Instant) -> bool {
        if now.duration_since(self.since) >= WINDOW {
            *self = Self::new(now);
        }
        if self.total >= MOST {
            return false;
        }
        let of_address = self.by_address.entry(address).or_default();
        if *of_address >= MOST_PER_ADDRESS {
            return false;
        }
        *of_address += 1;
        self.total += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, last))
    }

    #[test]
    fn reports_are_limited_by_address_and_total() {
        let began = Instant::now();
        let mut limit = RateLimit::new(began);
        let allowed = |limit: &mut RateLimit, last: u8, now| {
            (0..20).filter(|_| limit.allow(address(last), now)).count()
        };
        assert_eq!(allowed(&mut limit, 1, began), 5);
        let others: usize = (2..=255).map(|last| allowed(&mut limit, last, began)).sum();
        assert_eq!(others, 55);
        assert!(limit.by_address.len() <= 60, "{}", limit.by_address.len());
        assert_eq!(allowed(&mut limit, 1, began + WINDOW), 5);
    }

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
