//! Selects the credential of a request, once, before any code reads a credential.

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue,
        header::{AUTHORIZATION, COOKIE},
    },
    middleware::Next,
    response::Response,
};

use super::cookie::{self, PROBE, PortalCookie};
use domain::{session::ClientKind, theme::Theme};

use crate::server::{
    auth::token::PlainToken, config::Config, state::AppState, telemetry::log_limit::OncePerMinute,
};

/// The only credential of a request. [`select_credential`] puts it into the extensions of every request.
///
/// - `Authorization: Bearer` takes precedence, valid or not: the session cookie is then neither read nor changed.
/// - Other schemes are for a proxy in front of the portal and are ignored.
/// - Without a bearer token, the session cookie is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresentedCredential {
    None,
    /// The access token of a desktop.
    Bearer(PlainToken),
    /// A malformed bearer token, or several.
    UnusableBearer,
    Cookie(PlainToken),
    /// A malformed session cookie.
    MalformedCookie,
    /// Several session cookies with different tokens. Their order does not show which one is right.
    AmbiguousCookie,
}

impl PresentedCredential {
    /// Selects the credential from the headers.
    pub fn from_headers(headers: &HeaderMap, cookie_name: &str) -> Self {
        Self::from_authorization(headers).unwrap_or_else(|| Self::from_cookies(headers, cookie_name))
    }

    /// `None`: no bearer token.
    fn from_authorization(headers: &HeaderMap) -> Option<Self> {
        let mut tokens = headers
            .get_all(AUTHORIZATION)
            .iter()
            .filter_map(|value| bearer_token(value.as_bytes()));
        let first = tokens.next()?;
        let token = std::str::from_utf8(first).ok().and_then(|text| text.parse().ok());
        Some(match token {
            Some(token) if tokens.next().is_none() => Self::Bearer(token),
            _ => Self::UnusableBearer,
        })
    }

    fn from_cookies(headers: &HeaderMap, name: &str) -> Self {
        let mut found = Self::None;
        for value in cookie::values(headers, name) {
            let token = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            found = match (found, token) {
                (Self::None, None) => Self::MalformedCookie,
                // A malformed cookie may belong to another application and must not hide ours.
                (Self::None | Self::MalformedCookie, Some(token)) => Self::Cookie(token),
                (Self::Cookie(known), Some(token)) if known != token => return Self::AmbiguousCookie,
                (found, _) => found,
            };
        }
        found
    }

    /// The token and the kind of client that uses such tokens.
    pub fn token(&self) -> Option<(&PlainToken, ClientKind)> {
        match self {
            Self::Bearer(token) => Some((token, ClientKind::Desktop)),
            Self::Cookie(token) => Some((token, ClientKind::Browser)),
            _ => None,
        }
    }

    /// Whether the request has a bearer token, valid or not.
    pub fn is_bearer(&self) -> bool {
        matches!(self, Self::Bearer(_) | Self::UnusableBearer)
    }
}

/// The text after the scheme `Bearer` in any case. `None`: another scheme.
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, rest) = value.trim_ascii().split_at_checked(SCHEME.len())?;
    let is_bearer =
        scheme.eq_ignore_ascii_case(SCHEME) && rest.first().is_none_or(|byte| byte.is_ascii_whitespace());
    is_bearer.then(|| rest.trim_ascii())
}

/// Puts the [`PresentedCredential`] into the request and removes all other cookies, so that tower-sessions, the framework
/// and handlers see only the selected session cookie.
pub async fn select_credential(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    static LIMIT: OncePerMinute = OncePerMinute::new();
    let credential = PresentedCredential::from_headers(request.headers(), state.config.cookie_name());
    if credential == PresentedCredential::AmbiguousCookie
        && let Some(suppressed) = LIMIT.allow()
    {
        tracing::warn!(
            cookie = state.config.cookie_name(),
            suppressed,
            "several session cookies in one request, all ignored"
        );
    }
    let cookies = own_cookies(request.headers(), &credential, &state.config);
    request.headers_mut().remove(COOKIE);
    if let Some(cookies) = cookies {
        request.headers_mut().insert(COOKIE, cookies);
    }
    request.extensions_mut().insert(credential);
    next.run(request).await
}

/// A `Cookie` header with only the portal's cookies. Without the session cookie if there is a bearer token, or if several
/// session cookies differ. `None`: no cookie is left.
fn own_cookies(
    headers: &HeaderMap,
    credential: &PresentedCredential,
    config: &Config,
) -> Option<HeaderValue> {
    let session = match credential {
        PresentedCredential::Cookie(token) => Some(token.reveal()),
        // tower-sessions removes it from the browser.
        PresentedCredential::MalformedCookie => Some(String::new()),
        _ => None,
    };
    let known_browser = PortalCookie::KnownBrowser
        .parse::<PlainToken>(headers, config)
        .filter(|_| !credential.is_bearer());
    let probe = PortalCookie::Probe.values(headers, config).next();
    let own = [
        (
            PortalCookie::TypedEmail,
            PortalCookie::TypedEmail.parse(headers, config),
        ),
        (PortalCookie::Probe, probe.map(|_| PROBE.to_owned())),
        (PortalCookie::Session, session),
        (
            PortalCookie::KnownBrowser,
            known_browser.map(|token| token.reveal()),
        ),
        (
            PortalCookie::Theme,
            PortalCookie::Theme
                .parse(headers, config)
                .map(|theme: Theme| theme.as_str().to_owned()),
        ),
    ];
    let own: Vec<String> = own
        .into_iter()
        .filter_map(|(cookie, value)| Some(format!("{}={}", cookie.name(config), value?)))
        .collect();
    (!own.is_empty())
        .then(|| HeaderValue::from_str(&own.join("; ")).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn token(byte: u8) -> PlainToken {
        PlainToken::from_bytes([byte; 16])
    }

    fn chosen(headers: &[(&'static str, &[u8])]) -> PresentedCredential {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).expect("a header"));
        }
        PresentedCredential::from_headers(&map, "portal_session")
    }

    #[test]
    fn bearer_token_wins_over_cookie() {
        let (bearer, cookie) = (token(1).reveal(), format!("portal_session={}", token(2).reveal()));
        for scheme in ["Bearer ", "bearer ", "BEARER  ", "Bearer\t"] {
            let value = format!("{scheme}{bearer}");
            assert_eq!(
                chosen(&[("authorization", value.as_bytes()), ("cookie", cookie.as_bytes())]),
                PresentedCredential::Bearer(token(1)),
                "{value}"
            );
        }
    }

    #[test]
    fn invalid_bearer_does_not_fall_back_to_cookie() {
        let good = format!("Bearer {}", token(1).reveal());
        let cookie = format!("portal_session={}", token(2).reveal());
        for values in [
            &[&b"Bearer"[..]][..],
            &[b"Bearer "],
            &[b"bearer x y"],
            &[b"Bearer \xe9"],
            &[b"Bearer AAAAAAAAAAAAAAAAAAAAA!"],
            &[good.as_bytes(), good.as_bytes()],
            &[b"Basic eDp5", b"Bearer x"],
        ] {
            let mut headers = vec![("cookie", cookie.as_bytes())];
            headers.extend(values.iter().map(|value| ("authorization", *value)));
            assert_eq!(
                chosen(&headers),
                PresentedCredential::UnusableBearer,
                "{values:?}"
            );
        }
    }

    #[test]
    fn other_authorization_schemes_keep_the_cookie_valid() {
        let cookie = format!("portal_session={}", token(2).reveal());
        for value in [&b""[..], b"Basic eDp5", b"Negotiate abc", b"Bearerx y", b"\xe9"] {
            assert_eq!(
                chosen(&[("authorization", value), ("cookie", cookie.as_bytes())]),
                PresentedCredential::Cookie(token(2)),
                "{value:?}"
            );
        }
    }

    #[test]
    fn session_cookie_is_found_among_foreign_ones() {
        let ours = format!("portal_session={}", token(2).reveal());
        let with = |before: &[u8], after: &[u8]| [before, ours.as_bytes(), after].concat();
        for line in [
            with(b"n=\xe9; ", b""),
            with(b"\xff\xfe;;=; a;", b" ; b=\x80"),
            with(b"portal_session_old=x; Portal_Session=y; ", b""),
            // Another application's cookie of the same name, which cannot be ours.
            with(b"portal_session=abc; ", b"; portal_session=\xe9"),
            // The same cookie twice.
            with(&[ours.as_bytes(), b"; "].concat(), b""),
        ] {
            assert_eq!(
                chosen(&[("cookie", &line)]),
                PresentedCredential::Cookie(token(2)),
                "{line:?}"
            );
        }
        assert_eq!(
            chosen(&[
                ("cookie", b"n=\xe9"),
                ("cookie", ours.as_bytes()),
                ("cookie", b"m=1")
            ]),
            PresentedCredential::Cookie(token(2))
        );
    }

    #[test]
    fn different_session_cookies_are_both_ignored() {
        let (one, other) = (token(1).reveal(), token(2).reveal());
        let line = format!("portal_session={one}; portal_session=x; portal_session={other}");
        assert_eq!(
            chosen(&[("cookie", line.as_bytes())]),
            PresentedCredential::AmbiguousCookie
        );
        let (one, other) = (format!("portal_session={one}"), format!("portal_session={other}"));
        assert_eq!(
            chosen(&[("cookie", one.as_bytes()), ("cookie", other.as_bytes())]),
            PresentedCredential::AmbiguousCookie
        );
        assert_eq!(
            chosen(&[("cookie", b"portal_session=x")]),
            PresentedCredential::MalformedCookie
        );
        assert_eq!(chosen(&[("cookie", b"a=b")]), PresentedCredential::None);
    }
}
