//! Every route, and the layers that each request passes, from the outside in.

use axum::{
    Router,
    http::{HeaderValue, header::CACHE_CONTROL},
    middleware::{from_fn, from_fn_with_state},
    response::Redirect,
    routing::{get, get_service},
};
use leptos::prelude::provide_context;
use leptos_axum::{LeptosRoutes, file_and_error_handler_with_context, generate_route_list};
use tower::ServiceBuilder;
use tower_http::{
    services::{ServeDir, ServeFile},
    set_header::SetResponseHeaderLayer,
};

use super::{
    api,
    auth::{credential, identify::identify},
    drawn, health,
    http::{
        catch_panic::catch_panic, client_failure, cookie, flash, form_error, json_form, one_thread, origin,
        request_log, security_headers, server_fn_answer, sign_in_first, whole_body,
    },
    shell::shell,
    state::AppState,
};
use crate::app::App;

/// The whole server as one router. Tests drive this very one.
pub fn router(state: AppState) -> Router {
    let context = {
        let state = state.clone();
        move || provide_context(state.clone())
    };
    let pages = Router::new()
        .leptos_routes_with_context(&state, generate_route_list(App), context.clone(), {
            let options = state.leptos.clone();
            move || shell(options.clone())
        })
        .fallback(file_and_error_handler_with_context::<AppState, _>(context, shell))
        .layer(from_fn(one_thread::render));

    let dynamic = Router::new()
        .merge(api::router())
        .merge(client_failure::router())
        .merge(pages)
        .layer(
            ServiceBuilder::new()
                .layer(from_fn_with_state(state.clone(), origin::same_origin_only))
                .layer(from_fn(whole_body::first))
                .layer(from_fn_with_state(state.clone(), form_error::check_origin))
                .layer(from_fn(json_form::accept_json))
                .layer(from_fn_with_state(state.clone(), cookie::complete_removal))
                .layer(from_fn_with_state(state.clone(), credential::choose))
                .layer(cookie::session_layer(&state))
                .layer(from_fn_with_state(state.clone(), identify))
                .layer(from_fn(sign_in_first::sign_in_first))
                .layer(from_fn_with_state(state.clone(), flash::take))
                // Innermost: to the framework every failure is a 500, and with such an answer no new cookie goes out.
                .layer(from_fn_with_state(state.clone(), server_fn_answer::mend)),
        );

    let routes = Router::new()
        .route("/", get(|| async { Redirect::to("/dashboard") }))
        .route("/settings", get(|| async { Redirect::to("/dashboard/settings") }))
        .route(
            "/dashboard/admin",
            get(|| async { Redirect::to(drawn::sessions::PATH) }),
        )
        .merge(health::router())
        .merge(files(&state))
        .merge(dynamic);
    with_outer_layers(routes, state)
}

/// The layers that every request passes, whatever it is for: the log with its request id, security headers, and panics
/// as answers. Tests add routes of their own inside of them.
pub fn with_outer_layers(routes: Router<AppState>, state: AppState) -> Router {
    routes
        .layer(
            ServiceBuilder::new()
                .layer(from_fn_with_state(state.clone(), request_log::log))
                .layer(from_fn_with_state(state.clone(), security_headers::add))
                .layer(from_fn_with_state(state.clone(), catch_panic))
                .layer(from_fn_with_state(state.clone(), origin::loopback_only_with_demo)),
        )
        .with_state(state)
}

/// The site's files, as the build compressed them. Those in `/pkg` have a hash in their name and never change.
fn files(state: &AppState) -> Router<AppState> {
    let root = &state.config.site_root;
    let file = |name: &str| {
        get_service(
            ServeFile::new(root.join(name))
                .precompressed_br()
                .precompressed_gzip(),
        )
    };
    let for_good = SetResponseHeaderLayer::overriding(CACHE_CONTROL, |response: &axum::http::Response<_>| {
        response
            .status()
            .is_success()
            .then(|| HeaderValue::from_static("public, max-age=31536000, immutable"))
    });
    let for_an_hour =
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
        .nest_service("/pkg", ServiceBuilder::new().layer(for_good).service(package))
        .merge(
            Router::new()
                .route("/favicon.svg", file("favicon.svg"))
                .route("/robots.txt", file("robots.txt"))
                .route("/failure.css", file("failure.css"))
                .layer(for_an_hour),
        )
}
