//! Redirects page requests without a live session to `/login`, which returns to the page after sign-in. Redirects
//! signed-in users from `/login`.

use axum::{
    extract::Request,
    http::Method,
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use domain::{
    query::{encode_query_value, query_param},
    return_path::safe_return_path,
    session::EndReason,
};

use crate::server::{auth::current_session::Identity, http::form_error::without_error};

/// Redirects requests below `/dashboard` without a live session to `/login`, with the end reason if there is one.
pub async fn require_sign_in(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let private = path == "/dashboard" || path.starts_with("/dashboard/");
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    if reading && path == "/login" && matches!(request.extensions().get(), Some(Identity::SignedIn(_))) {
        let next = query_param(request.uri().query().unwrap_or_default(), "next");
        return Redirect::to(next.as_deref().and_then(safe_return_path).unwrap_or("/dashboard"))
            .into_response();
    }
    if !private || !reading {
        return next.run(request).await;
    }
    let identity = request.extensions().get::<Identity>();
    if path.ends_with('/') {
        return Redirect::to(path.trim_end_matches('/')).into_response();
    }
    // The error is obsolete after signing in again.
    let wanted = without_error(path, request.uri().query());
    let login = match identity {
        Some(Identity::SignedIn(_)) => return next.run(request).await,
        Some(Identity::Ended(ended)) => {
            format!(
                "/login?next={}&reason={}",
                encode_query_value(&wanted),
                ended.reason.as_str()
            )
        }
        Some(Identity::Replaced(_)) => {
            let reason = EndReason::RenewalLost.as_str();
            format!("/login?next={}&reason={reason}", encode_query_value(&wanted))
        }
        Some(Identity::Anonymous) | None => format!("/login?next={}", encode_query_value(&wanted)),
    };
    Redirect::to(&login).into_response()
}
