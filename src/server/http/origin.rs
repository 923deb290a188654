//! Rejects requests that another site caused in a user's browser (CSRF).
//!
//! Browsers state the origin in `Sec-Fetch-Site`, which pages cannot change. Older browsers, and all browsers over plain
//! http, send `Origin`. SameSite=Lax alone would accept sibling subdomains and would not protect sign-in.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header::HOST},
    middleware::Next,
    response::Response,
};

use super::error_response::ErrorFormat;
use crate::{
    error::AppError,
    server::{
        config::{Config, public_url::is_loopback_authority},
        state::AppState,
        telemetry::log_limit::{OncePerMinute, sanitized},
    },
};

/// Rejects unsafe requests from another origin with 403.
pub async fn require_same_origin(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    );
    if safe || is_same_origin(request.headers(), state.config.public_url.origin()) {
        next.run(request).await
    } else {
        log_refusal(&request, &state.config);
        ErrorFormat::of(&request).respond(&explain_refusal(&request, &state.config))
    }
}

/// With demo accounts: rejects requests that do not come directly from this machine. A page of another site could point
/// its host name here (DNS rebinding) and sign in with the published password. A proxy would admit everyone, since many
/// proxies forward a loopback `Host`.
pub async fn require_loopback_for_demo(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    if !state.config.demo || is_direct(&request) {
        next.run(request).await
    } else {
        log_refusal(&request, &state.config);
        ErrorFormat::of(&request).respond(&wrong_address(&state.config))
    }
}

/// Whether the client addressed this machine, without a proxy and without a page of another host.
fn is_direct(request: &Request) -> bool {
    let headers = request.headers();
    let is_mark =
        |name: &str| name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "x-real-ip" | "via");
    authority(request).is_some_and(is_loopback_authority)
        && !headers.keys().any(|name| is_mark(name.as_str()))
        && headers.get_all("origin").iter().all(is_loopback_origin)
}

fn is_loopback_origin(origin: &HeaderValue) -> bool {
    let text = origin.to_str().ok();
    let authority = text.and_then(|text| text.split_once("://"));
    authority.is_some_and(|(_, authority)| is_loopback_authority(authority))
}

/// `none` is a user action: a typed address or a bookmark. Clients other than browsers send neither header.
fn is_same_origin(headers: &HeaderMap, our_origin: &str) -> bool {
    match headers.get("sec-fetch-site").map(|value| value.as_bytes()) {
        Some(site) => matches!(site, b"same-origin" | b"none"),
        None => headers
            .get("origin")
            .is_none_or(|origin| origin.as_bytes().eq_ignore_ascii_case(our_origin.as_bytes())),
    }
}

/// The error that tells user and operator what to do. Does not affect the decision.
fn explain_refusal(request: &Request, config: &Config) -> AppError {
    let headers = request.headers();
    if headers.contains_key("sec-fetch-site") {
        return AppError::Forbidden;
    }
    match headers.get("origin").and_then(|origin| origin.to_str().ok()) {
        // Sent with forms under `Referrer-Policy: no-referrer`; over plain http it is the only header.
        Some("null") => AppError::OriginHidden,
        Some(origin) if requested_hosts(request).any(|host| is_origin_of(origin, host)) => {
            wrong_address(config)
        }
        _ => AppError::Forbidden,
    }
}

/// Names the configured address, never one from the request.
fn wrong_address(config: &Config) -> AppError {
    AppError::WrongAddress {
        address: config.public_url.origin().to_owned(),
    }
}

/// The requested host and port.
fn authority(request: &Request) -> Option<&str> {
    match request.headers().get(HOST) {
        Some(host) => host.to_str().ok(),
        // HTTP/2 has no Host.
        None => request.uri().authority().map(|authority| authority.as_str()),
    }
}

/// The requested host, as seen by the server and by a proxy.
fn requested_hosts(request: &Request) -> impl Iterator<Item = &str> {
    let forwarded = request.headers().get("x-forwarded-host");
    authority(request)
        .into_iter()
        .chain(forwarded.and_then(|host| host.to_str().ok()))
}

/// Whether the page came from the requested host.
fn is_origin_of(origin: &str, host: &str) -> bool {
    let (with_scheme, default_port) = match origin.split_once("://") {
        Some(("http", rest)) => (rest, ":80"),
        Some(("https", rest)) => (rest, ":443"),
        _ => return false,
    };
    let plain = |authority: &str| {
        let authority = authority.strip_suffix(default_port).unwrap_or(authority);
        authority.to_ascii_lowercase()
    };
    plain(with_scheme) == plain(host)
}

fn log_refusal(request: &Request, config: &Config) {
    static LIMIT: OncePerMinute = OncePerMinute::new();
    let Some(suppressed) = LIMIT.allow() else {
        return;
    };
    let header = |name: &str| {
        let value = request.headers().get(name);
        value.map(|value| sanitized(value.as_bytes()))
    };
    let host = authority(request).map(|host| sanitized(host.as_bytes()));
    tracing::warn!(
        origin = header("origin"),
        host,
        sec_fetch_site = header("sec-fetch-site"),
        public_url = config.public_url.origin(),
        setting = "PORTAL_PUBLIC_URL",
        suppressed,
        "request from another origin refused"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_and_host_compare_as_browsers_write_them() {
        for (origin, host) in [
            ("http://192.0.2.10:3000", "192.0.2.10:3000"),
            ("http://portal.example", "portal.example"),
            ("http://portal.example", "Portal.example:80"),
            ("https://portal.example", "portal.example:443"),
            ("http://[2001:db8::1]:3000", "[2001:db8::1]:3000"),
        ] {
            assert!(is_origin_of(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://evil.example", "portal.example"),
            ("http://portal.example", "portal.example:443"),
            ("http://portal.example:3000", "portal.example"),
            ("null", "null"),
            ("ftp://portal.example", "portal.example"),
        ] {
            assert!(!is_origin_of(origin, host), "{origin} {host}");
        }
    }

    fn passes(headers: &[(&'static str, &'static str)]) -> bool {
        let map = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        is_same_origin(&map.collect(), "https://portal.example")
    }

    #[test]
    fn own_pages_and_programs_pass() {
        assert!(passes(&[("sec-fetch-site", "same-origin")]));
        assert!(passes(&[("sec-fetch-site", "none")]));
        assert!(passes(&[("origin", "https://portal.example")]));
        assert!(passes(&[]));
    }

    #[test]
    fn other_origins_are_refused() {
        assert!(!passes(&[
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://portal.example")
        ]));
        assert!(!passes(&[("sec-fetch-site", "same-site")]));
        assert!(!passes(&[("sec-fetch-site", "")]));
        for origin in [
            "null",
            "https://evil.example",
            "http://portal.example",
            "https://portal.example:8443",
            "",
        ] {
            assert!(!passes(&[("origin", origin)]), "{origin:?}");
        }
    }
}
