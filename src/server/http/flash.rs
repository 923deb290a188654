//! Loads the flash message of a page and deletes it from the session.

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use domain::flash::Flash;

use super::identify::BACKGROUND;
use crate::{
    error::AppError,
    server::{
        auth::current_session::{CurrentSession, Identity},
        state::AppState,
        store::flash,
    },
};

/// Puts the page's [`Flash`] into the request extensions, if the session has one. Requests that do not show a page leave
/// the message in place.
pub async fn take_flash(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let session = match request.extensions().get() {
        Some(Identity::SignedIn(session)) if session.has_flash && is_shown(&request) => Some(session.clone()),
        _ => None,
    };
    if let Some(session) = session {
        let path = request.uri().path().to_owned();
        match take_for(&state, &session, &path).await {
            Ok(Some(flash)) => {
                request.extensions_mut().insert(flash);
            }
            Ok(None) => {}
            // Show the page without its message.
            Err(error) => tracing::warn!(%error, "flash message not taken"),
        }
    }
    next.run(request).await
}

async fn take_for(state: &AppState, session: &CurrentSession, path: &str) -> Result<Option<Flash>, AppError> {
    let conn = &mut *state.database.connection().await?;
    Ok(flash::take(conn, session.id, path).await?)
}

fn is_shown(request: &Request) -> bool {
    let headers = request.headers();
    let is_prefetch = headers
        .get("sec-purpose")
        .and_then(|purpose| purpose.to_str().ok())
        .is_some_and(|purpose| purpose.contains("prefetch"));
    request.method() == Method::GET
        && request.uri().path().starts_with("/dashboard")
        && !headers.contains_key(BACKGROUND)
        && !is_prefetch
}
