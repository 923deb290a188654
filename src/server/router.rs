//! All routes, with a middleware stack for each kind of request: files, API, server functions and pages.

use axum::{
    Extension, Router,
    http::{HeaderValue, header::CACHE_CONTROL},
    middleware::{from_fn, from_fn_with_state},
    response::Redirect,
    routing::{MethodFilter, get, get_service, on},
};
use leptos::{prelude::provide_context, server_fn::axum::server_fn_paths};
use leptos_axum::{
    LeptosRoutes, file_and_error_handler_with_context, generate_route_list_with_exclusions,
    handle_server_fns_with_context,
};
use tower::ServiceBuilder;
use tower_http::{
    services::{ServeDir, ServeFile},
    set_header::SetResponseHeaderLayer,
};

use super::{
    admin::{list_page::List, sessions::SessionsList},
    api, health,
    http::{
        catch_panic::catch_panic, client_failure, cookie, credential, error_response::RequestKind, flash,
        form_error, identify::identify, json_to_form, origin, page_threads, request_body, request_log,
        require_sign_in, security_headers, server_fn_response,
    },
    shell::shell,
    state::AppState,
};
use crate::app::App;

/// The complete server. Tests use the same router.
pub fn router(state: AppState) -> Router {
    let plain = Router::new()
        .route("/", get(|| async { Redirect::to("/dashboard") }))
        .route("/settings", get(|| async { Redirect::to("/dashboard/settings") }))
        .route(
            "/dashboard/admin",
            get(|| async { Redirect::to(SessionsList::PATH) }),
        )
        .merge(health::router())
        .merge(files(&state));
    let routes = Router::new()
        .merge(guarded(plain, RequestKind::Page, &state))
        .merge(api(&state))
        .merge(server_fns(&state))
        .merge(pages(&state));
    logged(routes, state)
}

/// `/api/v1`, and reports of failed client applications.
fn api(state: &AppState) -> Router<AppState> {
    let routes = authenticated(api::router(), state);
    let reports = authenticated(client_failure::router(), state);
    guarded(routes, RequestKind::Api, state).merge(guarded(reports, RequestKind::ServerFn, state))
}

fn server_fns(state: &AppState) -> Router<AppState> {
    let mut routes = Router::new();
    for (path, method) in server_fn_paths() {
        let state = state.clone();
        let handler = async move |request| {
            handle_server_fns_with_context(move || provide_context(state.clone()), request).await
        };
        let method = MethodFilter::try_from(method).unwrap_or(MethodFilter::POST);
        routes = routes.route(path, on(method, handler));
    }
    let routes = routes
        .layer(from_fn(page_threads::render_on_one_thread))
        // Innermost: the framework turns every failure into a 500, and a 500 carries no new cookie.
        .layer(from_fn_with_state(
            state.clone(),
            server_fn_response::fix_response,
        ))
        .layer(from_fn(json_to_form::convert_json));
    let routes =
        authenticated(routes, state).layer(from_fn_with_state(state.clone(), form_error::mark_error));
    guarded(routes, RequestKind::ServerFn, state)
}

/// All pages, and the page for unknown addresses.
fn pages(state: &AppState) -> Router<AppState> {
    let context = {
        let state = state.clone();
        move || provide_context(state.clone())
    };
    let server_fns = server_fn_paths().map(|(path, _)| path.to_owned()).collect();
    let list = generate_route_list_with_exclusions(App, Some(server_fns));
    let routes = Router::new()
        .leptos_routes_with_context(state, list, context.clone(), {
            let options = state.leptos.clone();
            move || shell(options.clone())
        })
        .fallback(file_and_error_handler_with_context::<AppState, _>(context, shell))
        .layer(from_fn(page_threads::render_on_one_thread))
        .layer(from_fn_with_state(state.clone(), flash::take_flash))
        .layer(from_fn(require_sign_in::require_sign_in));
    let routes = authenticated(routes, state).layer(from_fn_with_state(
        state.clone(),
        form_error::discard_forged_error,
    ));
    guarded(routes, RequestKind::Page, state)
}

/// Adds the middleware that reads the whole request and authenticates it.
fn authenticated(routes: Router<AppState>, state: &AppState) -> Router<AppState> {
    routes.layer(
        ServiceBuilder::new()
            .layer(from_fn_with_state(state.clone(), origin::require_same_origin))
            .layer(from_fn(request_body::read_body))
            .layer(from_fn_with_state(state.clone(), cookie::fix_removal_attributes))
            .layer(from_fn_with_state(state.clone(), credential::select_credential))
            .layer(cookie::session_layer(state))
            .layer(from_fn_with_state(state.clone(), identify)),
    )
}

/// Adds the middleware of all kinds of requests, which returns errors in the format of the kind.
pub fn guarded(routes: Router<AppState>, kind: RequestKind, state: &AppState) -> Router<AppState> {
    routes.layer(
        ServiceBuilder::new()
            .layer(Extension(kind))
            .layer(from_fn_with_state(state.clone(), catch_panic))
            .layer(from_fn_with_state(
                state.clone(),
                origin::require_loopback_for_demo,
            )),
    )
}

/// Adds the middleware around all routes: log with request id, and security headers.
pub fn logged(routes: Router<AppState>, state: AppState) -> Router {
    routes
        .layer(
            ServiceBuilder::new()
                .layer(from_fn_with_state(state.clone(), request_log::log_request))
                .layer(from_fn_with_state(
                    state.clone(),
                    security_headers::add_security_headers,
                )),
        )
        .with_state(state)
}

/// Static files, precompressed by the build. Names in `/pkg` contain a hash, so these files never change.
fn files(state: &AppState) -> Router<AppState> {
    let root = &state.config.site_root;
    let file = |name: &str| {
        get_service(
            ServeFile::new(root.join(name))
                .precompressed_br()
                .precompressed_gzip(),
        )
    };
    let cache_forever =
        SetResponseHeaderLayer::overriding(CACHE_CONTROL, |response: &axum::http::Response<_>| {
            response
                .status()
                .is_success()
                .then(|| HeaderValue::from_static("public, max-age=31536000, immutable"))
        });
    let cache_one_hour =
        SetResponseHeaderLayer::overriding(CACHE_CONTROL, |response: &axum::http::Response<_>| {
            response
                .status()
                .is_success()
                .then(|| HeaderValue::from_static("public, max-age=3600"))
        });
    let package = ServeDir::new(root.join("pkg"))
        .precompressed_br()
        .precompressed_gzip();
    Router::new()
        .nest_service(
            "/pkg",
            ServiceBuilder::new().layer(cache_forever).service(package),
        )
        .merge(
            Router::new()
                .route("/favicon.svg", file("favicon.svg"))
                .route("/robots.txt", file("robots.txt"))
                .route("/failure.css", file("failure.css"))
                .layer(cache_one_hour),
        )
}
