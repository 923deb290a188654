//! `GET /api/openapi.json`: the OpenAPI document, generated from the handlers.

use axum::{Json, http::HeaderValue, http::header::CACHE_CONTROL, response::IntoResponse};
use utoipa::{
    OpenApi,
    openapi::{
        self,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Broker Portal",
        description = "Where a person is signed in, and the end of any of it. Times are RFC 3339 in UTC, errors \
            `application/problem+json` with a stable `code`. A credential is the cookie or a bearer token, never part \
            of the address. Unsafe requests from another origin are refused with 403, any request while the database \
            is away with 503 and `Retry-After`."
    ),
    tags(
        (name = "sessions", description = "Sign-in of desktop apps; the caller's sessions"),
        (name = "session", description = "The caller's session"),
        (name = "devices", description = "Desktop apps"),
        (name = "admin", description = "Sessions and audit log for administrators"),
    )
)]
struct Description;

/// The document without routes.
pub fn document() -> openapi::OpenApi {
    let mut document = Description::openapi();
    let schemes = document.components.get_or_insert_default();
    schemes.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    let cookie = ApiKeyValue::with_description("portal_session", "With https: `__Host-portal_session`.");
    schemes.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    let none: [&str; 0] = [];
    document.security = Some(vec![
        SecurityRequirement::new("bearer", none),
        SecurityRequirement::new("cookie", none),
    ]);
    document
}

/// Serves the document, which is constant for each version.
pub fn serve(
    description: openapi::OpenApi,
) -> impl Fn() -> std::future::Ready<axum::response::Response> + Clone + Send + Sync + 'static {
    move || {
        let mut response = Json(&description).into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        std::future::ready(response)
    }
}
