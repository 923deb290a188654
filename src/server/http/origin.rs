//! No other site makes a person's browser do something here.
//!
//! Browsers say where a request comes from in `Sec-Fetch-Site`, and no page can change it; older ones send `Origin`.
//! A cookie with SameSite=Lax alone would let a sibling subdomain in, and would not cover signing in.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method},
    middleware::Next,
    response::Response,
};

use super::failure;
use crate::{error::AppError, server::state::AppState};

/// Refuses unsafe requests that another origin caused with a 403.
pub async fn same_origin_only(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    );
    if safe || comes_from_here(request.headers(), state.config.public_url.origin()) {
        next.run(request).await
    } else {
        tracing::warn!("a request from another origin was refused");
        failure::respond(&request, &AppError::Forbidden)
    }
}

/// `none` is a person's own doing: an address typed, a bookmark. Clients that are no browsers send neither header.
fn comes_from_here(headers: &HeaderMap, our_origin: &str) -> bool {
    match headers.get("sec-fetch-site").map(|value| value.as_bytes()) {
        Some(site) => matches!(site, b"same-origin" | b"none"),
        None => headers
            .get("origin")
            .is_none_or(|origin| origin.as_bytes().eq_ignore_ascii_case(our_origin.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(headers: &[(&'static str, &'static str)]) -> bool {
        let map = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        comes_from_here(&map.collect(), "https://portal.example")
    }

    #[test]
    fn our_own_pages_and_programs_pass() {
        assert!(passes(&[("sec-fetch-site", "same-origin")]));
        assert!(passes(&[("sec-fetch-site", "none")]));
        assert!(passes(&[("origin", "https://portal.example")]));
        assert!(passes(&[]));
    }

    #[test]
    fn other_origins_do_not() {
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
