//! Cookies: the session's, with its attributes on its way out too, the known browser's, and the theme's.

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

/// tower-sessions over our store and with our cookie: HttpOnly, SameSite=Lax, Path=/, no Domain, and Secure with https.
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

/// Gives the cookie that takes a session cookie away the attributes of the one that set it: browsers ignore one for a
/// `__Host-` name without Secure, and the person would stay with a dead cookie.
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

/// How long a browser is known without signing in: as long as clean-up keeps it, 180 days.
const KNOWN_BROWSER_SECONDS: u32 = 180 * 86_400;

fn known_browser_name(config: &Config) -> &'static str {
    if config.public_url.is_https() {
        "__Host-portal_browser"
    } else {
        "portal_browser"
    }
}

/// The mark of a browser that has signed in before. It is no credential: it only gives the browser a count of its own
/// for wrong passwords, and spares the person the question whether a sign-in there was theirs.
pub fn known_browser(headers: &HeaderMap, config: &Config) -> Option<PlainToken> {
    parse_cookie(headers, known_browser_name(config))
}

/// The cookie that keeps the mark.
pub fn set_known_browser(mark: &PlainToken, config: &Config) -> String {
    let secure = if config.public_url.is_https() {
        "; Secure"
    } else {
        ""
    };
    format!(
        "{}={}; HttpOnly; SameSite=Lax; Path=/; Max-Age={KNOWN_BROWSER_SECONDS}{secure}",
        known_browser_name(config),
        mark.reveal()
    )
}

/// The value of the probe. It says nothing.
const PROBE: &str = "cookies-work";

fn probe_name(config: &Config) -> &'static str {
    if config.public_url.is_https() {
        "__Host-portal_probe"
    } else {
        "portal_probe"
    }
}

/// Whether the browser sends any cookie back that only we set. One that blocks cookies sends none.
pub fn has_portal_cookie(headers: &HeaderMap, config: &Config) -> bool {
    let ours = [
        config.cookie_name(),
        known_browser_name(config),
        probe_name(config),
    ];
    ours.into_iter()
        .any(|name| values(headers, name).next().is_some())
}

/// A cookie that says nothing, with the attributes of the session's: whether it comes back shows whether the session's
/// would. It goes when the browser is closed.
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

/// How long what a form left for the next page is kept.
const FORM_SECONDS: u32 = 60;

fn form_error_name(config: &Config) -> &'static str {
    if config.public_url.is_https() {
        "__Host-portal_form_error"
    } else {
        "portal_form_error"
    }
}

/// Whether the last form of this browser failed with the error that `mark` is of.
pub fn has_form_error(headers: &HeaderMap, mark: &str, config: &Config) -> bool {
    values(headers, form_error_name(config)).any(|value| value == mark.as_bytes())
}

/// The cookie that keeps the mark of a form's error.
pub fn set_form_error(mark: &str, config: &Config) -> String {
    of_form(form_error_name(config), mark, config)
}

fn typed_email_name(config: &Config) -> &'static str {
    if config.public_url.is_https() {
        "__Host-portal_typed_email"
    } else {
        "portal_typed_email"
    }
}

/// The email with which a sign-in without JavaScript has just failed.
pub fn typed_email(headers: &HeaderMap, config: &Config) -> Option<String> {
    let encoded = values(headers, typed_email_name(config)).next()?;
    String::from_utf8(BASE64URL_NOPAD.decode(encoded).ok()?).ok()
}

/// The cookie that keeps that email for the next page.
pub fn set_typed_email(email: &str, config: &Config) -> String {
    let encoded = BASE64URL_NOPAD.encode(email.as_bytes());
    of_form(typed_email_name(config), &encoded, config)
}

fn of_form(name: &str, value: &str, config: &Config) -> String {
    let secure = if config.public_url.is_https() {
        "; Secure"
    } else {
        ""
    };
    format!("{name}={value}; HttpOnly; SameSite=Lax; Path=/; Max-Age={FORM_SECONDS}{secure}")
}

/// Every value of the cookie `name`, in the order of the headers. Read as bytes, from all `Cookie` headers: other
/// applications on this host set cookies that are no text.
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

/// The first value of the cookie `name` that means something.
fn parse_cookie<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    values(headers, name).find_map(|value| std::str::from_utf8(value).ok()?.parse().ok())
}

/// A `Cookie` header with the portal's own cookies and nothing else: a new one has to be added here. With a bearer token,
/// and where it is ambiguous, the session cookie is left out. `None`: no cookie is left.
pub fn own_cookies(
    headers: &HeaderMap,
    credential: &PresentedCredential,
    config: &Config,
) -> Option<HeaderValue> {
    let session = match credential {
        PresentedCredential::Cookie(token) => Some(token.reveal()),
        // tower-sessions takes it away from the browser.
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
        known_browser.map(|mark| (known_browser_name(config), mark.reveal())),
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

/// The theme that the browser chose. Kept in a cookie so that the first paint is right, with or without JavaScript.
pub fn theme(headers: &HeaderMap) -> Theme {
    parse_cookie(headers, THEME).unwrap_or_default()
}

/// The cookie that keeps `theme` for a year.
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
