//! Corrects responses of server functions. The framework returns 500 for every error, including invalid arguments: here
//! each gets the status of its [`AppError`]. Without JavaScript the framework redirects to the Referer: here only to our
//! own pages.

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{
        HeaderValue, StatusCode,
        header::{HOST, LOCATION},
    },
    middleware::Next,
    response::Response,
};
use leptos::server_fn::error::SERVER_FN_ERROR_HEADER;

use super::error_response;
use crate::{error::AppError, server::state::AppState};

/// Largest error in bytes. Ours are far smaller.
const MAX_ERROR: usize = 16 * 1024;

/// Corrects status and redirect. An error inside a redirect keeps the status of the redirect.
pub async fn fix_response(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .map(str::to_owned);
    let mut response = next.run(request).await;
    if response.status() == StatusCode::FOUND {
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok());
        let location = HeaderValue::from_str(own_path(
            location.unwrap_or_default(),
            [host.as_deref(), Some(state.config.public_url.authority())],
        ));
        response
            .headers_mut()
            .insert(LOCATION, location.unwrap_or(HeaderValue::from_static("/login")));
    }
    let failed = response.headers().contains_key(SERVER_FN_ERROR_HEADER);
    if !failed || response.status() != StatusCode::INTERNAL_SERVER_ERROR {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_ERROR).await else {
        return Response::from_parts(parts, Body::empty());
    };
    let error = serde_json::from_slice(&bytes).unwrap_or(AppError::Internal);
    parts.status = error_response::status(&error);
    error_response::with_retry(Response::from_parts(parts, Body::from(bytes)), &error)
}

/// The path of a page on one of these hosts: the requested one and the configured one, since a proxy may change the first.
/// `/login` for any other address.
fn own_path<'a>(location: &'a str, hosts: [Option<&str>; 2]) -> &'a str {
    let path = match location.split_once("://") {
        Some((_, rest)) => match rest.find('/') {
            Some(at) if hosts.contains(&Some(&rest[..at])) => &rest[at..],
            _ => "",
        },
        None => location,
    };
    let plain = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\');
    if plain { path } else { "/login" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_redirects_stay_on_the_portal() {
        let hosts = [None, Some("portal.example:8443")];
        for (location, page) in [
            ("/dashboard?x=y", "/dashboard?x=y"),
            ("https://portal.example:8443/login?__err=a", "/login?__err=a"),
            ("https://evil.example/x", "/login"),
            ("https://portal.example/x", "/login"),
            ("https://portal.example:8443", "/login"),
            ("https://portal.example:8443//evil.example", "/login"),
            ("//evil.example", "/login"),
            ("/\\evil.example", "/login"),
            ("javascript:alert(1)", "/login"),
            ("", "/login"),
        ] {
            assert_eq!(own_path(location, hosts), page, "{location}");
        }
        assert_eq!(own_path("https://portal.example/x", [None, None]), "/login");
    }
}
