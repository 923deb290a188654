//! What every server function needs of the request that it runs in.

use std::sync::Arc;

use axum::http::{Method, StatusCode, request::Parts};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;

use crate::{
    domain::theme::Theme,
    error::AppError,
    server::{
        auth::current_session::{Client, CurrentSession, Identity},
        http::{cookie, failure::accepts_html},
        state::AppState,
        store::audit::Actor,
    },
};

/// Gives a page that cannot be rendered whole the status of what went wrong. A call from the browser gets it from the
/// layer `http::server_fn_answer`.
pub async fn answer<T>(work: impl Future<Output = Result<T, AppError>>) -> Result<T, AppError> {
    let result = work.await;
    if let Err(error) = &result
        && use_context::<Parts>().is_some_and(|parts| parts.method != Method::POST)
        && let Some(response) = use_context::<ResponseOptions>()
        && let Ok(status) = StatusCode::from_u16(error.status())
    {
        response.set_status(status);
    }
    result
}

/// Sends a browser without JavaScript on to `path`; a page that runs goes by itself.
pub fn then_go_to(path: &str) {
    if is_plain_form() {
        leptos_axum::redirect(path);
    }
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

/// The audit log's words for the caller.
pub fn actor(caller: &CurrentSession) -> Result<Actor, AppError> {
    Ok(Actor {
        user: Some(caller.user.id),
        session: Some(caller.id),
        ip_address: Some(client()?.ip_address),
    })
}

/// The browser's cookie.
pub fn cookie_session() -> Result<tower_sessions::Session, AppError> {
    extension()
}

/// The theme that this browser chose.
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
