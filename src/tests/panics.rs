//! A panic in a request is a 500 with a request id, never a broken connection.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::Request,
    middleware::from_fn,
    response::Response,
    routing::get,
};
use broker_portal::server::{
    http::{catch_panic::catch_task_panic, error_response::RequestKind, page_threads},
    router::{guarded, logged},
    state::AppState,
};
use futures_util::stream;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::harness::*;

async fn panics() -> Response {
    panic!("on purpose")
}

/// A body that panics after its first part.
async fn panics_half_way() -> Response {
    let chunks = stream::unfold(0, |step| async move {
        match step {
            0 => Some((Ok::<_, Infallible>(Bytes::from_static(b"half of it")), 1)),
            _ => panic!("on purpose, half way"),
        }
    });
    Response::new(Body::from_stream(chunks))
}

/// The portal's own middleware around routes that panic: API routes, and pages on their threads.
fn router(portal: &Portal) -> Router {
    let pages: Router<AppState> = Router::new()
        .route("/dashboard/panics", get(panics))
        .route("/dashboard/half", get(panics_half_way))
        .layer(from_fn(page_threads::render_on_one_thread));
    let api = Router::new()
        .route("/api/v1/panics", get(panics))
        .route("/api/v1/half", get(panics_half_way));
    let server_fns = Router::new().route("/api/panics", get(panics));
    let state = &portal.state;
    let routes = guarded(pages, RequestKind::Page, state)
        .merge(guarded(api, RequestKind::Api, state))
        .merge(guarded(server_fns, RequestKind::ServerFn, state));
    logged(routes, state.clone())
}

fn request(path: &str) -> Request<Body> {
    let accept = if path.starts_with("/dashboard") {
        "text/html"
    } else {
        "application/json"
    };
    Request::get(path)
        .header("accept", accept)
        .body(Body::empty())
        .expect("a request")
}

async fn count(portal: &Portal, part: &str) -> String {
    let metrics = portal.anonymous().get_text("/metrics").await;
    let name = format!("broker_portal_panics_total{{part=\"{part}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("a count").to_owned()
}

#[tokio::test]
async fn panic_is_500_with_a_request_id() {
    let portal = Portal::start().await;
    let router = router(&portal);
    for (path, form) in [
        ("/api/v1/panics", "application/problem+json"),
        ("/api/panics", "application/json"),
        ("/dashboard/panics", "text/html; charset=utf-8"),
        ("/dashboard/half", "text/html; charset=utf-8"),
    ] {
        let response = router.clone().oneshot(request(path)).await.expect("a response");
        let response = TestResponse::read(path, response).await.expect(500);
        assert_eq!(response.header("content-type"), Some(form), "{path}");
        assert!(response.header("x-request-id").is_some(), "{path}: {response:#?}");
        assert!(
            response.header("x-content-type-options").is_some(),
            "{path}: {response:#?}"
        );
        assert!(
            !response.body.contains("on purpose") && !response.body.contains("half"),
            "{path}: {response:#?}"
        );
    }
    assert_eq!(count(&portal, "handler").await, "4");
}

#[tokio::test]
async fn panicking_body_closes_the_connection() {
    let portal = Portal::start().await;
    let response = router(&portal)
        .oneshot(request("/api/v1/half"))
        .await
        .expect("a response");
    let mut body = response.into_body();
    assert!(body.frame().await.expect("a beginning").is_ok());
    assert!(
        body.frame().await.expect("an end").is_err(),
        "half of it is not taken for the whole"
    );
    assert!(body.frame().await.is_none());
    assert_eq!(count(&portal, "body").await, "1");
}

#[tokio::test]
async fn panicking_task_fails_its_request() {
    let portal = Portal::start().await;
    assert_eq!(
        catch_task_panic(&portal.state.metrics, async { 7 }).await,
        Some(7)
    );
    assert!(catch_task_panic(&portal.state.metrics, panics()).await.is_none());
    assert_eq!(count(&portal, "task").await, "1");
}

/// The title is written after the page is rendered, when signals of the page may be disposed of, which happens on a
/// busy machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn admin_pages_render_under_load() {
    static IS_BUSY: AtomicBool = AtomicBool::new(true);
    let portal = Portal::start().await;
    let ada = portal.admin("ada", "Northgate").await;
    let admin = portal.browser(CHROME).signed_in(&ada).await;
    let loops: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(|| {
                while IS_BUSY.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    let mut readers = tokio::task::JoinSet::new();
    for (page, title) in [
        ("sessions", "Sessions"),
        ("people", "People"),
        ("audit", "Audit log"),
        ("health", "Health"),
    ] {
        let admin = admin.clone();
        readers.spawn(async move {
            for _ in 0..25 {
                let html = admin.get_text(&format!("/dashboard/admin/{page}")).await;
                assert!(
                    html.contains(&format!("<title>{title} · Broker Portal</title>")),
                    "{html}"
                );
            }
        });
    }
    let done = tokio::time::timeout(seconds(240), readers.join_all()).await;
    IS_BUSY.store(false, Ordering::Relaxed);
    for busy in loops {
        busy.join().expect("a loop");
    }
    done.expect("every page");
}
