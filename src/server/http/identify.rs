//! Authenticates each request with one SQL statement.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode},
    middleware::Next,
    response::Response,
};
use chrono::{DateTime, Utc};

use super::{
    cookie::PortalCookie, credential::PresentedCredential, error_response::ErrorFormat, session_store,
};
use domain::session::ClientKind;

use crate::{
    error::AppError,
    server::{
        auth::{
            client::{client_address, has_chromium_hints, user_agent_of},
            current_session::{Client, CurrentSession, Identity},
            token::PlainToken,
        },
        buffers::activity::WRITE_AT_ONCE,
        database::committed_changes,
        services::{revoke, rotation, suspicion},
        state::AppState,
        store::sessions::{self, FoundSession},
        telemetry::labels::SessionCheck,
    },
};

/// Header of requests that a page or desktop app sends without a user action. They are not activity.
pub const BACKGROUND: &str = "x-portal-background";

/// Marks a 401 to a request that changed nothing: it had no live session, or its credential was replaced before it could
/// act. A client with a newer credential may repeat it.
static NOT_EXECUTED_HEADER: HeaderName = HeaderName::from_static("x-portal-not-executed");

/// Paths that are never activity, from any client.
const PASSIVE_PATHS: [&str; 6] = [
    "/api/client_failure",
    "/api/session_state",
    "/api/v1/session_state",
    "/api/v1/sessions/refresh",
    "/api/v1/session/events",
    "/api/v1/devices/heartbeat",
];

/// Puts [`Client`] and [`Identity`] into the request. Responds with 503 if the database does not respond, so that nobody appears
/// signed out.
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
        has_chromium_hints: has_chromium_hints(request.headers()),
        known_browser: PortalCookie::KnownBrowser.parse(request.headers(), &state.config),
    };

    let identity = match presented_credential(&request).token() {
        Some((token, kind)) => {
            let lookup = CredentialLookup {
                token: token.clone(),
                kind,
                is_activity: is_activity(&request),
            };
            let resolved = resolve_identity(&state, &lookup, &client).await;
            state
                .metrics
                .session_checks
                .count(SessionCheck::from_result(&resolved));
            match resolved {
                Ok(identity) => identity,
                Err(error) => return ErrorFormat::of(&request).respond(&error),
            }
        }
        None => {
            state.metrics.session_checks.count(SessionCheck::Anonymous);
            Identity::Anonymous
        }
    };
    if let Identity::SignedIn(session) = &identity {
        tracing::Span::current()
            .record("user", tracing::field::display(session.user.id))
            .record("session", tracing::field::display(session.id));
    }
    let is_signed_in = matches!(identity, Identity::SignedIn(_));
    let due = match &identity {
        Identity::SignedIn(session) if session.rotation_due => Some(session.clone()),
        _ => None,
    };
    let cookie_session = request.extensions().get::<tower_sessions::Session>().cloned();
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(identity);
    let mut response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED && !(is_signed_in && committed_changes::has_committed())
    {
        response
            .headers_mut()
            .insert(NOT_EXECUTED_HEADER.clone(), HeaderValue::from_static("1"));
    }
    // An error response carries no cookie: the browser would keep the old one, which is refused.
    if let (Some(session), Some(cookie_session)) = (due, cookie_session)
        && !response.status().is_server_error()
    {
        replace_cookie(&state, &session, &cookie_session).await;
    }
    response
}

/// Sends the browser a new cookie with this response. If this fails, the old one stays valid until the next request.
async fn replace_cookie(
    state: &AppState,
    session: &CurrentSession,
    cookie_session: &tower_sessions::Session,
) {
    // Signed out, or renewed by the request itself.
    if cookie_session.id().is_none() {
        return;
    }
    match rotation::rotate_cookie(state, session).await {
        Ok(Some(rotated)) => {
            let result =
                session_store::set_cookie(cookie_session, &rotated.credential, rotated.valid_for).await;
            if let Err(error) = result {
                tracing::error!(%error, "replaced session cookie not sent");
            }
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "session cookie not replaced, retrying with the next request"),
    }
}

impl SessionCheck {
    /// The metric for the result of a credential check.
    fn from_result(resolved: &Result<Identity, AppError>) -> Self {
        match resolved {
            Ok(Identity::SignedIn(_)) => SessionCheck::Live,
            Ok(Identity::Ended(_)) => SessionCheck::Ended,
            Ok(Identity::Anonymous | Identity::Replaced(_)) => SessionCheck::Unknown,
            Err(AppError::Unavailable | AppError::OutcomeUnknown) => SessionCheck::Unavailable,
            Err(_) => SessionCheck::Failed,
        }
    }
}

/// A credential to look up.
struct CredentialLookup {
    token: PlainToken,
    kind: ClientKind,
    is_activity: bool,
}

/// The selected credential of this request.
fn presented_credential(request: &Request) -> PresentedCredential {
    let chosen = request.extensions().get::<PresentedCredential>();
    chosen.cloned().unwrap_or(PresentedCredential::None)
}

fn is_activity(request: &Request) -> bool {
    let background =
        request.headers().contains_key(BACKGROUND) || PASSIVE_PATHS.contains(&request.uri().path());
    !background && request.method() != Method::HEAD
}

async fn resolve_identity(
    state: &AppState,
    lookup: &CredentialLookup,
    client: &Client,
) -> Result<Identity, AppError> {
    let (hash, now, is_activity) = (lookup.token.hash(), state.clock.now(), lookup.is_activity);
    let found = sessions::find_by_credential(
        &mut state.database.connection().await?.quick(),
        hash,
        lookup.kind,
        client.network(),
        now,
    )
    .await?;
    Ok(match found {
        None => identify_without_session(state, lookup, now).await?,
        Some(FoundSession::Ended(ended)) => {
            if !ended.written {
                revoke::record_expiry(&state.database, &state.clock, &ended).await?;
            }
            Identity::Ended(ended)
        }
        Some(FoundSession::Live(mut session)) => {
            if let Some(reason) = suspicion::check_request(state, &session, client).await? {
                if !reason.is_recorded() {
                    // The credential was replaced meanwhile.
                    return identify_without_session(state, lookup, now).await;
                }
                return Ok(Identity::Ended(session.ended(reason)));
            }
            if session.cookie_unconfirmed {
                sessions::confirm_cookie(&mut *state.database.connection().await?, hash).await?;
            }
            state.activity.note(session.id, now, is_activity);
            let near_its_end = session.idle_expires_at - now < WRITE_AT_ONCE;
            if is_activity && near_its_end {
                // The next batch may be too late, since other requests and nodes read the row.
                state.activity.flush(&state.database).await?;
            }
            if is_activity {
                session.record_activity(now);
            }
            Identity::SignedIn(Arc::from(session))
        }
    })
}

/// The identity for a credential without a session.
async fn identify_without_session(
    state: &AppState,
    lookup: &CredentialLookup,
    now: DateTime<Utc>,
) -> Result<Identity, AppError> {
    if lookup.kind != ClientKind::Browser {
        return Ok(Identity::Anonymous);
    }
    let conn = &mut *state.database.connection().await?;
    let replaced = sessions::find_replaced(conn, lookup.token.hash(), now).await?;
    Ok(replaced.map_or(Identity::Anonymous, Identity::Replaced))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn background_requests_are_no_activity() {
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
