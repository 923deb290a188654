//! Cookies: the session cookie, the known browser's cookie, the cookie probe and the theme.

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
use tower_sessions::{SessionManagerLayer, cookie::SameSite};

use super::{credential::PresentedCredential, session_store::PortalSessionStore};
use crate::server::{auth::token::PlainToken, config::Config, state::AppState};

const THEME: &str = "portal_theme";

/// tower-sessions with our store and our cookie: HttpOnly, SameSite=Lax, Path=/, no Domain; Secure with https.
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
    let cookies: Vec<HeaderValue> = response.headers().get_all(SET_COOKIE).iter().cloned().collect();
    if cookies
        .iter()
        .any(|cookie| is_removal(cookie, state.config.cookie_name()))
    {
        response.headers_mut().remove(SET_COOKIE);
        for cookie in cookies {
            let ours = is_removal(&cookie, state.config.cookie_name());
            response
                .headers_mut()
                .append(SET_COOKIE, if ours { removal(&state.config) } else { cookie });
        }
    }
    response
}

fn is_removal(cookie: &HeaderValue, name: &str) -> bool {
    cookie.to_str().is_ok_and(|text| {
        text.strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(';'))
    })
}

fn removal(config: &Config) -> HeaderValue {
    HeaderValue::from_static(if config.public_url.is_https() {
        "__Host-portal_session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0"
    } else {
        "portal_session=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0"
    })
}

/// How long a browser stays known without a sign-in: 180 days, as in clean-up.
const KNOWN_BROWSER_SECONDS: u32 = 180 * 86_400;

fn known_browser_name(config: &Config) -> &'static str {
    if config.public_url.is_https() {
        "__Host-portal_browser"
    } else {
        "portal_browser"
    }
}

/// The token of a browser that has signed in before. Not a credential: it only gives the browser its own count of wrong
/// passwords, and avoids the question whether the user signed in there.
pub fn known_browser(headers: &HeaderMap, config: &Config) -> Option<PlainToken> {
    parse_cookie(headers, known_browser_name(config))
}

/// The cookie that holds this token.
pub fn set_known_browser(token: &PlainToken, config: &Config) -> String {
    let secure = if config.public_url.is_https() {
        "; Secure"
    } else {
        ""
    };
    format!(
        "{}={}; HttpOnly; SameSite=Lax; Path=/; Max-Age={KNOWN_BROWSER_SECONDS}{secure}",
        known_browser_name(config),
        token.reveal()
    )
}

/// The value of the probe. It has no meaning.
const PROBE: &str = "cookies-work";

fn probe_name(config: &Config) -> &'static str {
    if config.public_url.is_https() {
        "__Host-portal_probe"
    } else {
        "portal_probe"
    }
}

/// Whether the browser returned any cookie that only the portal sets. A browser that blocks cookies returns none.
pub fn has_portal_cookie(headers: &HeaderMap, config: &Config) -> bool {
    let ours = [
        config.cookie_name(),
        known_browser_name(config),
        probe_name(config),
    ];
    ours.into_iter()
        .any(|name| values(headers, name).next().is_some())
}

/// A probe with the attributes of the session cookie: a browser that returns it would also return the session cookie.
/// Deleted when the browser is closed.
pub fn set_probe(config: &Config) -> String {
    let secure = if config.public_url.is_https() {
        "; Secure"
    } else {
        ""
    };
    format!(
        "{}={PROBE}; HttpOnly; SameSite=Lax; Path=/{secure}",
        probe_name(config)
    )
}

/// Lifetime of cookies from a form for the next page, in seconds.
const FORM_SECONDS: u32 = 60;

fn form_error_name(config: &Config) -> &'static str {
    if config.public_url.is_https() {
        "__Host-portal_form_error"
    } else {
        "portal_form_error"
    }
}

/// Whether the last form of this browser failed with the error of this digest.
pub fn has_form_error(headers: &HeaderMap, digest: &str, config: &Config) -> bool {
    values(headers, form_error_name(config)).any(|value| value == digest.as_bytes())
}

/// The cookie with the digest of a form's error.
pub fn set_form_error(digest: &str, config: &Config) -> String {
    form_cookie(form_error_name(config), digest, config)
}

fn typed_email_name(config: &Config) -> &'static str {
    if config.public_url.is_https() {
        "__Host-portal_typed_email"
    } else {
        "portal_typed_email"
    }
}

/// The email of a failed sign-in without JavaScript.
pub fn typed_email(headers: &HeaderMap, config: &Config) -> Option<String> {
    let encoded = values(headers, typed_email_name(config)).next()?;
    String::from_utf8(BASE64URL_NOPAD.decode(encoded).ok()?).ok()
}

/// The cookie that passes this email to the next page.
pub fn set_typed_email(email: &str, config: &Config) -> String {
    let encoded = BASE64URL_NOPAD.encode(email.as_bytes());
    form_cookie(typed_email_name(config), &encoded, config)
}

fn form_cookie(name: &str, value: &str, config: &Config) -> String {
    let secure = if config.public_url.is_https() {
        "; Secure"
    } else {
        ""
    };
    format!("{name}={value}; HttpOnly; SameSite=Lax; Path=/; Max-Age={FORM_SECONDS}{secure}")
}

/// All values of the cookie `name`, in the order of the headers. Read as bytes, since other applications on this host may
/// set cookies that are not text.
pub fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
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

/// The first value of the cookie `name` that can be parsed.
fn parse_cookie<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    values(headers, name).find_map(|value| std::str::from_utf8(value).ok()?.parse().ok())
}

/// A `Cookie` header with only the portal's cookies. Add each new cookie here. Without the session cookie if there is a
/// bearer token, or if several session cookies differ. `None`: no cookie is left.
pub fn own_cookies(
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
    let known_browser = known_browser(headers, config).filter(|_| !credential.is_bearer());
    let probe = values(headers, probe_name(config)).next();
    let theme = parse_cookie::<Theme>(headers, THEME);
    let typed_email = values(headers, typed_email_name(config)).next();
    let own = [
        typed_email
            .and_then(|email| std::str::from_utf8(email).ok())
            .map(|email| (typed_email_name(config), email.to_owned())),
        probe.map(|_| (probe_name(config), PROBE.to_owned())),
        session.map(|value| (config.cookie_name(), value)),
        known_browser.map(|token| (known_browser_name(config), token.reveal())),
        theme.map(|theme| (THEME, theme.as_str().to_owned())),
    ];
    let own: Vec<String> = own
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    (!own.is_empty())
        .then(|| HeaderValue::from_str(&own.join("; ")).ok())
        .flatten()
}

/// The theme that the browser has chosen. A cookie, so that the first paint is right with and without JavaScript.
pub fn theme(headers: &HeaderMap) -> Theme {
    parse_cookie(headers, THEME).unwrap_or_default()
}

/// The cookie that stores `theme` for a year.
pub fn set_theme(theme: Theme, config: &Config) -> String {
    let secure = if config.public_url.is_https() {
        "; Secure"
    } else {
        ""
    };
    format!(
        "{THEME}={}; HttpOnly; SameSite=Lax; Path=/; Max-Age=31536000{secure}",
        theme.as_str()
    )
}
