//! The layer that looks at each request's credential, once, with one statement.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, header::AUTHORIZATION},
    middleware::Next,
    response::Response,
};

use super::{
    client::{client_address, user_agent_of},
    current_session::{Client, Identity},
    token::PlainToken,
};
use crate::{
    domain::session::ClientKind,
    error::AppError,
    server::{
        http::failure,
        services::revoke,
        state::AppState,
        store::sessions::{self, Found},
    },
};

/// Requests that the page or the desktop makes by itself carry this header; they are not activity.
const BACKGROUND: &str = "x-portal-background";

/// Paths that are never activity, whoever calls them.
const NOT_ACTIVITY: [&str; 5] = [
    "/api/session_state",
    "/api/v1/session_state",
    "/api/v1/sessions/refresh",
    "/api/v1/session/events",
    "/api/v1/devices/heartbeat",
];

/// Puts [`Client`] and [`Identity`] into the request. A database that does not answer is a 503 here, before anything
/// could take the person for signed out.
pub async fn identify(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip());
    let client = Client {
        ip_address: client_address(
            peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            request.headers(),
            &state.config.trusted_proxies,
        ),
        user_agent: user_agent_of(request.headers()),
    };
    request.extensions_mut().insert(client);

    let identity = match credential(&request) {
        Some((token, kind)) => match resolve(&state, &token, kind, is_activity(&request)).await {
            Ok(identity) => identity,
            Err(error) => return failure::respond(&request, &error),
        },
        None => Identity::Anonymous,
    };
    if let Identity::SignedIn(session) = &identity {
        tracing::Span::current()
            .record("user", tracing::field::display(session.user.id))
            .record("session", tracing::field::display(session.id));
    }
    request.extensions_mut().insert(identity);
    next.run(request).await
}

/// The credential of a request: a bearer token if it names one, else the cookie. Never from the query string.
fn credential(request: &Request) -> Option<(PlainToken, ClientKind)> {
    if request.headers().contains_key(AUTHORIZATION) {
        return bearer(request.headers()).map(|token| (token, ClientKind::Desktop));
    }
    let id = request.extensions().get::<tower_sessions::Session>()?.id()?;
    Some((PlainToken::from_bytes(id.0.to_le_bytes()), ClientKind::Browser))
}

fn bearer(headers: &HeaderMap) -> Option<PlainToken> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().parse().ok())?
}

fn is_activity(request: &Request) -> bool {
    let background =
        request.headers().contains_key(BACKGROUND) || NOT_ACTIVITY.contains(&request.uri().path());
    !background && request.method() != Method::HEAD
}

async fn resolve(
    state: &AppState,
    token: &PlainToken,
    kind: ClientKind,
    is_activity: bool,
) -> Result<Identity, AppError> {
    let (hash, now) = (token.hash(), state.clock.now());
    let found =
        sessions::find_by_credential(&mut *state.database.connection().await?, hash, kind, now).await?;
    Ok(match found {
        None => Identity::Anonymous,
        Some(Found::Ended(ended)) => {
            if !ended.written {
                revoke::write_down(&state.database, &state.clock, &ended).await?;
            }
            Identity::Ended(ended)
        }
        Some(Found::Live(mut session)) => {
            state.activity.note(session.id, now, is_activity);
            let near_its_end = session.idle_expires_at - now < crate::server::jobs::activity::WRITE_AT_ONCE;
            if is_activity && near_its_end {
                // The batch could come too late: another request, here or on another node, reads the row meanwhile.
                state.activity.flush(&state.database).await?;
            }
            if is_activity {
                session.act(now);
            }
            Identity::SignedIn(Arc::from(session))
        }
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_bearer_token_is_read_in_any_case_of_its_scheme_and_nothing_else_is() {
        let token = PlainToken::from_bytes([7; 16]);
        let read = |value: String| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().expect("a header"));
            bearer(&headers)
        };
        assert_eq!(read(format!("Bearer {}", token.reveal())), Some(token.clone()));
        assert_eq!(read(format!("bearer {}", token.reveal())), Some(token.clone()));
        for wrong in [
            "Bearer".to_owned(),
            format!("Basic {}", token.reveal()),
            "Bearer x y".to_owned(),
        ] {
            assert_eq!(read(wrong), None);
        }
    }

    #[test]
    fn what_a_page_does_by_itself_is_no_activity() {
        let request = |path: &str, background: bool| {
            let mut builder = Request::builder().uri(path);
            if background {
                builder = builder.header(BACKGROUND, "1");
            }
            builder.body(Body::empty()).expect("a request")
        };
        assert!(is_activity(&request("/dashboard", false)));
        assert!(!is_activity(&request("/dashboard", true)));
        assert!(!is_activity(&request("/api/v1/devices/heartbeat", false)));
    }
}
