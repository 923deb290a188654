//! The portal's cookies.

use std::str::FromStr;

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue,
        header::{COOKIE, SET_COOKIE},
    },
    middleware::Next,
    response::Response,
};
use data_encoding::BASE64URL_NOPAD;
use domain::theme::Theme;
use time::Duration;
use tower_sessions::{
    SessionManagerLayer,
    cookie::{Cookie, SameSite},
};

use super::session_store::PortalSessionStore;
use crate::server::{config::Config, state::AppState};

/// A cookie that the portal sets: HttpOnly, SameSite=Lax, Path=/, no Domain; Secure with https.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortalCookie {
    /// The credential of a session. tower-sessions sets and removes it.
    Session,
    /// The token of a browser that has signed in before. Not a credential: it only gives the browser its own count of
    /// wrong passwords, and avoids the question whether the user signed in there.
    KnownBrowser,
    /// Has no meaning. A browser that returns it would also return the session cookie.
    Probe,
    /// The digest of the error of this browser's last form.
    FormError,
    /// The email of a failed sign-in without JavaScript, in base64url.
    TypedEmail,
    /// The theme of this browser. A cookie, so that the first paint is right with and without JavaScript.
    Theme,
}

impl PortalCookie {
    /// With https, the prefix `__Host-` makes browsers require Secure, Path=/ and no Domain (RFC 6265bis, 4.1.3.2).
    pub(super) fn name(self, config: &Config) -> &'static str {
        let (with_https, with_http) = match self {
            PortalCookie::Session => return config.cookie_name(),
            PortalCookie::KnownBrowser => ("__Host-portal_browser", "portal_browser"),
            PortalCookie::Probe => ("__Host-portal_probe", "portal_probe"),
            PortalCookie::FormError => ("__Host-portal_form_error", "portal_form_error"),
            PortalCookie::TypedEmail => ("__Host-portal_typed_email", "portal_typed_email"),
            PortalCookie::Theme => (THEME, THEME),
        };
        if config.public_url.is_https() {
            with_https
        } else {
            with_http
        }
    }

    /// `None`: until the browser is closed.
    fn max_age(self) -> Option<Duration> {
        match self {
            PortalCookie::Session | PortalCookie::Probe => None,
            // As in clean-up.
            PortalCookie::KnownBrowser => Some(Duration::days(180)),
            // For the page that follows the form.
            PortalCookie::FormError | PortalCookie::TypedEmail => Some(Duration::minutes(1)),
            PortalCookie::Theme => Some(Duration::days(365)),
        }
    }

    /// The `Set-Cookie` header with this value, which must be text that a cookie can hold.
    pub fn set(self, value: &str, config: &Config) -> String {
        let mut cookie = self.with_attributes(value, config);
        cookie.set_max_age(self.max_age());
        cookie.to_string()
    }

    fn with_attributes<'a>(self, value: &'a str, config: &Config) -> Cookie<'a> {
        Cookie::build((self.name(config), value))
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(config.public_url.is_https())
            .path("/")
            .build()
    }

    /// All values in the order of the headers.
    pub fn values<'a>(self, headers: &'a HeaderMap, config: &Config) -> impl Iterator<Item = &'a [u8]> {
        values(headers, self.name(config))
    }

    /// The first value that can be parsed.
    pub fn parse<T: FromStr>(self, headers: &HeaderMap, config: &Config) -> Option<T> {
        parse(headers, self.name(config))
    }
}

const THEME: &str = "portal_theme";

/// The value of [`PortalCookie::Probe`].
pub const PROBE: &str = "cookies-work";

/// tower-sessions with our store and our cookie.
pub fn session_layer(state: &AppState) -> SessionManagerLayer<PortalSessionStore> {
    let store = PortalSessionStore {
        database: state.database.clone(),
        clock: state.clock.clone(),
    };
    SessionManagerLayer::new(store)
        .with_name(state.config.cookie_name())
        .with_secure(state.config.public_url.is_https())
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
}

/// Gives a cookie that removes the session cookie the attributes of the original. Browsers ignore one for a `__Host-`
/// name without Secure, and would keep the dead cookie.
pub async fn fix_removal_attributes(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let name = state.config.cookie_name();
    for header in response.headers_mut().iter_mut() {
        if header.0 == SET_COOKIE && is_removal(header.1, name) {
            let mut removal = PortalCookie::Session.with_attributes("", &state.config);
            removal.set_max_age(Duration::ZERO);
            if let Ok(removal) = HeaderValue::from_str(&removal.to_string()) {
                *header.1 = removal;
            }
        }
    }
    response
}

fn is_removal(cookie: &HeaderValue, name: &str) -> bool {
    let cookie = cookie.to_str().ok().and_then(|text| Cookie::parse(text).ok());
    cookie.is_some_and(|cookie| cookie.name() == name && cookie.value().is_empty())
}

/// Whether the browser returned any cookie that only the portal sets. A browser that blocks cookies returns none.
pub fn has_portal_cookie(headers: &HeaderMap, config: &Config) -> bool {
    [
        PortalCookie::Session,
        PortalCookie::KnownBrowser,
        PortalCookie::Probe,
    ]
    .into_iter()
    .any(|cookie| cookie.values(headers, config).next().is_some())
}

/// The value of [`PortalCookie::TypedEmail`].
pub fn encode_email(email: &str) -> String {
    BASE64URL_NOPAD.encode(email.as_bytes())
}

/// The email in [`PortalCookie::TypedEmail`].
pub fn typed_email(headers: &HeaderMap, config: &Config) -> Option<String> {
    let encoded = PortalCookie::TypedEmail.values(headers, config).next()?;
    String::from_utf8(BASE64URL_NOPAD.decode(encoded).ok()?).ok()
}

/// The theme of this browser.
pub fn theme(headers: &HeaderMap) -> Theme {
    parse(headers, THEME).unwrap_or_default()
}

/// All values of the cookie `name`. Read as bytes, since other applications on this host may set cookies that are not text.
pub(super) fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(move |pair| {
            let end = pair.iter().position(|byte| *byte == b'=')?;
            let (found, value) = (pair[..end].trim_ascii(), pair[end + 1..].trim_ascii());
            (found == name.as_bytes()).then_some(value)
        })
}

fn parse<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    values(headers, name).find_map(|value| std::str::from_utf8(value).ok()?.parse().ok())
}
