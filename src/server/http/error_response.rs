//! Error responses in the format of the client: problem+json for the API, [`AppError`] as JSON for a server function, an
//! HTML page for a browser.

use axum::{
    Json,
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use domain::session::EndReason;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{AppError, RATE_LIMITED};

/// The kind of a request. Each kind has its own middleware stack (`router`), which puts it into the request extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    Page,
    ServerFn,
    Api,
}

/// The format of a request's error responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFormat {
    /// HTML for users.
    Page,
    /// JSON for server functions.
    Json,
    /// Problem JSON (RFC 9457) for programs.
    Problem,
}

impl ErrorFormat {
    pub fn of(request: &Request) -> Self {
        match request.extensions().get() {
            Some(RequestKind::Api) => Self::Problem,
            Some(RequestKind::ServerFn) if !accepts_html(request.headers()) => Self::Json,
            Some(RequestKind::ServerFn | RequestKind::Page) | None => Self::Page,
        }
    }

    /// Responds with `error`.
    pub fn respond(self, error: &AppError) -> Response {
        match self {
            Self::Page => with_retry((status(error), Html(page(error))).into_response(), error),
            Self::Json => with_retry((status(error), Json(error)).into_response(), error),
            Self::Problem => Problem(error.clone()).into_response(),
        }
    }
}

/// Whether the client is a browser that opens a page or submits a form without JavaScript.
pub fn accepts_html(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/html"))
}

/// The HTTP status of an error.
pub fn status(error: &AppError) -> StatusCode {
    match error {
        AppError::InvalidCredentials
        | AppError::InvalidGrant
        | AppError::RefreshTokenReused { .. }
        | AppError::SessionEnded { .. } => StatusCode::UNAUTHORIZED,
        AppError::Forbidden
        | AppError::WrongAddress { .. }
        | AppError::OriginHidden
        | AppError::CookiesRequired
        | AppError::ReauthRequired
        | AppError::PasswordChangeRequired
        | AppError::SignInTooOld => StatusCode::FORBIDDEN,
        AppError::NotFound(_) => StatusCode::NOT_FOUND,
        AppError::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        AppError::SessionRenewed => StatusCode::CONFLICT,
        AppError::InvalidScope => StatusCode::BAD_REQUEST,
        AppError::InvalidInput { .. } | AppError::UnsuitablePassword(_) => StatusCode::UNPROCESSABLE_ENTITY,
        AppError::TooManyAttempts { .. } | AppError::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
        // An outage is never a 401: no client may take its user for signed out.
        AppError::Busy | AppError::Unavailable | AppError::OutcomeUnknown | AppError::Offline => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        AppError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Adds `Retry-After` to errors that are temporary.
pub(super) fn with_retry(mut response: Response, error: &AppError) -> Response {
    if let Some(seconds) = error.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// An error of the JSON API (RFC 9457), with a stable `code`.
#[derive(Clone, Debug)]
pub struct Problem(pub AppError);

/// The JSON body of an API error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemBody {
    /// Always `about:blank`. `code` identifies the problem.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    /// The stable identifier of the problem.
    code: &'static str,
    /// An explanation for users.
    detail: String,
    /// Why the session ended. Only with `session_ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<EndReason>,
    /// The invalid field. Only with `invalid_input`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// What is wrong with a new password, with `unsuitable_password`. `rate_limited` with `too_many_attempts` if the password
    /// was not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    /// Only with `too_many_attempts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let error = self.0;
        let mut body = ProblemBody {
            kind: "about:blank",
            title: status(&error).canonical_reason().unwrap_or_default(),
            status: status(&error).as_u16(),
            code: error.code(),
            detail: error.message(),
            reason: None,
            field: None,
            problem: None,
            retry_after_seconds: None,
        };
        match &error {
            AppError::SessionEnded { reason } => body.reason = Some(*reason),
            AppError::UnsuitablePassword(problem) => body.problem = Some(problem.as_str()),
            AppError::TooManyAttempts { retry_after_seconds } => {
                body.retry_after_seconds = Some(*retry_after_seconds);
            }
            AppError::RateLimited { retry_after_seconds } => {
                body.retry_after_seconds = Some(*retry_after_seconds);
                body.problem = Some(RATE_LIMITED);
            }
            AppError::InvalidInput { field, problem } => {
                body.field = Some(field.clone());
                body.detail = problem.clone();
            }
            _ => {}
        }
        let mut response = (status(&error), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if matches!(error, AppError::SessionEnded { .. }) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        with_retry(response, &error)
    }
}

/// An HTML page without dependencies, since it is also shown while the database is down.
fn page(error: &AppError) -> String {
    let (mut link, mut action) = ("/dashboard", "Try again");
    let (title, text) = match error {
        AppError::Unavailable => (
            "The portal cannot reach its database right now",
            "You are still signed in. Nothing was changed. Try again in a minute.".to_owned(),
        ),
        AppError::OutcomeUnknown => ("It is not known whether this was done", error.message()),
        AppError::Forbidden => (
            "This request was not allowed",
            "It came from another site. Nothing was changed.".to_owned(),
        ),
        AppError::WrongAddress { address } => {
            (link, action) = (address, "Open the portal");
            ("The portal has another address", error.message())
        }
        AppError::OriginHidden => ("This request was not allowed", error.message()),
        other => ("Something went wrong", other.message()),
    };
    format!(
        r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - Broker Portal</title><link rel="stylesheet" href="/failure.css"></head>
<body><main><h1>{title}</h1><p>{text}</p><p><a href="{link}">{action}</a></p></main></body></html>"#
    )
}
