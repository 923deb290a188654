//! Errors of forms without JavaScript. The framework puts the error into the address of the page, which anyone can write.
//! Therefore the response to the form also sets a cookie with a digest of the error, and a page shows only the error with
//! this digest.

use axum::{
    extract::{Request, State},
    http::{
        HeaderValue, Method, StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use leptos::server_fn::error::SERVER_FN_ERROR_HEADER;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::cookie::{self, PortalCookie};
use crate::{error::AppError, server::state::AppState, wire::error_from_query};

/// The query parameters of an error.
const NAMES: [&str; 2] = ["__path", "__err"];

/// Removes an error that this server did not report to this browser from the address of a page.
pub async fn discard_forged_error(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let uri = request.uri();
    if is_read
        && let Some(query) = uri.query()
        && let Some(digest) = digest(query)
        && !PortalCookie::FormError
            .values(request.headers(), &state.config)
            .any(|value| value == digest.as_bytes())
    {
        // A browser that blocks cookies has no digest either.
        let blocks_cookies =
            !cookie::has_portal_cookie(request.headers(), &state.config) && is_cookies_required(query);
        if !blocks_cookies {
            return Redirect::to(&without_error(uri.path(), Some(query))).into_response();
        }
    }
    next.run(request).await
}

/// Marks the error of a response that leads back to a page.
pub async fn mark_error(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    // Not an error that came with `next=`: the response to a successful form has no such header.
    let failed = response.headers().contains_key(SERVER_FN_ERROR_HEADER);
    let digest = response
        .headers()
        .get(LOCATION)
        .filter(|_| failed && response.status() == StatusCode::FOUND)
        .and_then(|place| place.to_str().ok()?.split_once('?'))
        .and_then(|(_, query)| digest(query));
    if let Some(digest) = digest
        && let Ok(cookie) = HeaderValue::from_str(&PortalCookie::FormError.set(&digest, &state.config))
    {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// The only error in a query says that cookies are required.
fn is_cookies_required(query: &str) -> bool {
    let mut errors = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "__err");
    match (errors.next(), errors.next()) {
        (Some((_, error)), None) => error_from_query(&error) == AppError::CookiesRequired,
        _ => false,
    }
}

/// The digest of the error in a query. `None`: no error.
fn digest(query: &str) -> Option<String> {
    let mut hash = Sha256::new();
    let mut is_empty = true;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if NAMES.contains(&&*name) {
            is_empty = false;
            hash.update(format!("{name}={value}\n"));
        }
    }
    (!is_empty).then(|| data_encoding::BASE64URL_NOPAD.encode(&hash.finalize()))
}

/// The address of a page without its error.
pub fn without_error(path: &str, query: Option<&str>) -> String {
    let kept: Vec<&str> = query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && digest(pair).is_none())
        .collect();
    // Browsers interpret `//elsewhere` as another host.
    let is_foreign = path.starts_with("//") || path.contains('\\');
    let path = if is_foreign { "/login" } else { path };
    if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", kept.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_leave_an_address_however_they_are_written() {
        for (query, left) in [
            ("__path=/api/a&__err=b", "/login"),
            ("next=%2Fa&__err=b&x", "/login?next=%2Fa&x"),
            ("%5F_err=b&__pat%68=c&_err=d", "/login?_err=d"),
            ("__err", "/login"),
        ] {
            assert_eq!(without_error("/login", Some(query)), left);
        }
    }

    #[test]
    fn digest_identifies_one_error() {
        let expected = digest("__path=%2Fapi%2Fsign_in&__err=a");
        assert!(expected.is_some());
        assert_eq!(digest("next=b&__path=/api/sign_in&%5f_err=a"), expected);
        for other in [
            "__path=/api/sign_in&__err=b",
            "__err=a",
            "__path=/api/sign_in&__err=a&__err=b",
            "__err=a&__path=/api/sign_in",
        ] {
            assert_ne!(digest(other), expected, "{other}");
        }
        assert_eq!(digest("next=__err"), None);
    }
}
