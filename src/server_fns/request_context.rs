//! What a server function needs from its request.

use std::sync::Arc;

use axum::http::{
    HeaderValue, Method,
    header::{RETRY_AFTER, SET_COOKIE},
    request::Parts,
};
use domain::{flash::Flash, query::query_param, session::ClientKind, theme::Theme};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;

use crate::{
    error::AppError,
    server::{
        auth::current_session::{Client, CurrentSession, Identity},
        http::{
            catch_panic::catch_task_panic,
            cookie::{self, PortalCookie},
            credential::PresentedCredential,
            error_response::{self, accepts_html},
            session_store,
        },
        services::{
            rate_limit,
            reauthentication::{self, PasswordProof, RotatedCredential},
        },
        state::AppState,
        store,
    },
};

/// Runs the body of a server function. A panic becomes [`AppError::Internal`]. While a page is rendered, an error sets
/// its status and `Retry-After`; calls from the browser get these in `http::server_fn_response`.
pub async fn run<T>(work: impl Future<Output = Result<T, AppError>>) -> Result<T, AppError> {
    // Without this, a page would wait for a panicked loading task until its deadline.
    let result = match state() {
        Ok(state) => catch_task_panic(&state.metrics, work)
            .await
            .unwrap_or(Err(AppError::Internal)),
        Err(error) => Err(error),
    };
    let result = result.map_err(count_refusal);
    if let Err(error) = &result
        && use_context::<Parts>().is_some_and(|parts| parts.method != Method::POST)
        && let Some(response) = use_context::<ResponseOptions>()
    {
        response.set_status(error_response::status(error));
        if let Some(seconds) = error.retry_after() {
            response.insert_header(RETRY_AFTER, seconds.into());
        }
    }
    result
}

/// Limits callers that repeat denied actions.
fn count_refusal(error: AppError) -> AppError {
    match (state(), identity(), client()) {
        (Ok(state), Ok(Identity::SignedIn(caller)), Ok(client)) => {
            rate_limit::count_refusal(&state, caller.user.id, client.ip_address, error)
        }
        _ => error,
    }
}

/// Redirects a browser without JavaScript to `path`. With JavaScript the page navigates by itself.
pub fn redirect_plain_form(path: &str) {
    if is_plain_form() {
        leptos_axum::redirect(path);
    }
}

/// Redirects a browser without JavaScript to `path` and stores a flash message for that page.
pub async fn redirect_with_flash(path: &str, flash: Flash) {
    if !is_plain_form() {
        return;
    }
    // The action succeeded, even if its message is lost.
    if let Err(error) = store_flash(path, flash).await {
        tracing::warn!(%error, "flash message not stored");
    }
    leptos_axum::redirect(path);
}

async fn store_flash(path: &str, flash: Flash) -> Result<(), AppError> {
    let (state, caller) = (state()?, signed_in()?);
    let page = path.split(['?', '#']).next().unwrap_or_default();
    let conn = &mut *state.database.connection().await?;
    Ok(store::flash::put(conn, caller.id, page, flash).await?)
}

/// The flash message for the page that is rendered.
pub fn flash() -> Option<Flash> {
    extension().ok()
}

/// The path and query of the page that is rendered.
pub fn page_path() -> Option<String> {
    use_context::<Parts>().map(|parts| parts.uri.to_string())
}

fn is_plain_form() -> bool {
    use_context::<Parts>().is_some_and(|parts| parts.method == Method::POST && accepts_html(&parts.headers))
}

pub fn state() -> Result<AppState, AppError> {
    use_context().ok_or(AppError::Internal)
}

pub fn identity() -> Result<Identity, AppError> {
    extension()
}

/// The caller's live session, or why there is none.
pub fn signed_in() -> Result<Arc<CurrentSession>, AppError> {
    identity()?.signed_in()
}

pub fn client() -> Result<Client, AppError> {
    extension()
}

/// Rejects a request with a bearer token: it must not change the cookie of the browser that sent it.
pub fn reject_bearer() -> Result<(), AppError> {
    if extension::<PresentedCredential>()?.is_bearer() {
        let problem = "A browser signs in without a bearer token. Programs use POST /api/v1/sessions.";
        return Err(AppError::invalid_input("authorization", problem));
    }
    Ok(())
}

/// The cookie session of the browser. Empty for a request with a bearer token.
pub fn cookie_session() -> Result<tower_sessions::Session, AppError> {
    extension()
}

/// The result of [`require_reauthentication`].
#[must_use]
pub enum Reauthentication {
    /// Execute the action, then call [`renew_password_check`].
    Confirmed(PasswordProof),
    /// A browser without JavaScript was redirected to the page that asks for the password. Do not execute the action.
    Redirected,
}

/// Checks the password if the last check is too old for a sensitive action. `asks` is the query of the password page
/// for browsers without JavaScript; it names the action.
pub async fn require_reauthentication(
    caller: &CurrentSession,
    password: Option<String>,
    asks: &str,
) -> Result<Reauthentication, AppError> {
    match reauthentication::require_recent_check(&state()?, caller, password, &client()?).await {
        Ok(allowed) => Ok(Reauthentication::Confirmed(allowed)),
        Err(error) if redirect_to_password_page(&error, asks) => Ok(Reauthentication::Redirected),
        Err(error) => Err(error),
    }
}

/// Redirects a browser without JavaScript to the password page if `error` requires it. Returns whether it did. `asks`
/// as in [`require_reauthentication`].
pub fn redirect_to_password_page(error: &AppError, asks: &str) -> bool {
    let asked = *error == AppError::ReauthRequired && is_plain_form();
    if asked {
        leptos_axum::redirect(&format!("/dashboard/confirm-password?{asks}"));
    }
    asked
}

/// Records the password check of a finished action and sets the rotated cookie.
pub async fn renew_password_check(caller: &CurrentSession, allowed: PasswordProof) -> Result<(), AppError> {
    set_session_cookie(reauthentication::renew_after_action(&state()?, caller, allowed, &client()?).await)
        .await
}

/// Sets the rotated session cookie. Desktop apps have no cookie: they refresh their access token.
pub async fn set_session_cookie(rotated: Option<RotatedCredential>) -> Result<(), AppError> {
    match rotated {
        Some(rotated) if signed_in()?.kind == ClientKind::Browser => {
            session_store::set_cookie(&cookie_session()?, &rotated.credential, rotated.valid_for).await
        }
        _ => Ok(()),
    }
}

/// Adds a cookie to the response.
pub fn set_cookie(cookie: PortalCookie, value: &str) -> Result<(), AppError> {
    let cookie =
        HeaderValue::from_str(&cookie.set(value, &state()?.config)).map_err(|_| AppError::Internal)?;
    if let Some(response) = use_context::<ResponseOptions>() {
        response.append_header(SET_COOKIE, cookie);
    }
    Ok(())
}

/// Keeps the email of a sign-in that failed without JavaScript, for the form that comes next.
pub fn keep_typed_email(email: &str) -> Result<(), AppError> {
    // Longer than any email, it would be no cookie.
    if is_plain_form() && email.len() <= 254 {
        set_cookie(PortalCookie::TypedEmail, &cookie::encode_email(email))?;
    }
    Ok(())
}

/// That email, where the page shows the error of the sign-in.
pub fn typed_email() -> Option<String> {
    let (state, parts) = (state().ok()?, use_context::<Parts>()?);
    let sent_to = query_param(parts.uri.query()?, "__path")?;
    (sent_to == "/api/sign_in").then(|| cookie::typed_email(&parts.headers, &state.config))?
}

/// Whether the browser returns cookies. If it sent none, this sets a cookie for the next request.
pub fn has_cookie_support() -> Result<bool, AppError> {
    let (state, parts) = (state()?, use_context::<Parts>().ok_or(AppError::Internal)?);
    let keeps = cookie::has_portal_cookie(&parts.headers, &state.config);
    if !keeps {
        set_cookie(PortalCookie::Probe, cookie::PROBE)?;
    }
    Ok(keeps)
}

/// The theme chosen in this browser.
pub fn theme() -> Theme {
    use_context::<Parts>()
        .map(|parts| cookie::theme(&parts.headers))
        .unwrap_or_default()
}

fn extension<T: Clone + Send + Sync + 'static>() -> Result<T, AppError> {
    use_context::<Parts>()
        .and_then(|parts| parts.extensions.get().cloned())
        .ok_or(AppError::Internal)
}
