//! Keeps pages of one test from being rendered while another test builds its router.
//!
//! To list the routes, Leptos renders the app once with a switch thrown that keeps every resource of the process from
//! loading (`SuppressResourceLoad` in leptos_server 0.8). A server builds its router before it takes requests. Tests
//! share a process, and a page begun in that moment would wait for its data for ever.

use axum::{Router, body::Body, http::Request};
use broker_portal::server::{router::router, state::AppState};
use tokio::sync::RwLock;
use tower::ServiceExt as _;

use super::TestResponse;

static RENDERING: RwLock<()> = RwLock::const_new(());

/// Builds a router while no page is rendered.
pub async fn build(state: AppState) -> Router {
    let _alone = RENDERING.write().await;
    router(state)
}

/// Sends a request and reads the whole response. Only pages wait for routers, since an API call may wait for a lock of
/// its test.
pub async fn send(router: Router, description: String, request: Request<Body>) -> TestResponse {
    let is_page = !request.uri().path().starts_with("/api/");
    let _together = if is_page {
        Some(RENDERING.read().await)
    } else {
        None
    };
    let response = router.oneshot(request).await.expect("a router does not fail");
    TestResponse::read(description, response).await
}
