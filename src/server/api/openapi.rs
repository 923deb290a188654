//! `GET /api/openapi.json`: the API as its handlers describe themselves.

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
        (name = "sessions", description = "Signing desktops in; a person's sessions"),
        (name = "session", description = "The session that asks"),
        (name = "devices", description = "Desktops"),
        (name = "admin", description = "Administrators review the sessions of their people"),
    )
)]
struct Description;

/// What is said of the whole API, without its routes.
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

/// Answers with the whole description. It is the same for everyone and changes with a new version only.
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
