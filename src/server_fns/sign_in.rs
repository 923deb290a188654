//! Sign-in and sign-out of this browser.

use leptos::prelude::*;

use super::client::SessionClient;
use crate::error::AppError;
use crate::wire::TextJson;
#[cfg(feature = "ssr")]
use crate::{
    server::{
        auth::current_session::Identity,
        http::cookie::PortalCookie,
        http::session_store,
        services::{
            revoke,
            sign_in::{self as service, SignInAttempt},
        },
    },
    server_fns::request_context,
};
#[cfg(feature = "ssr")]
use domain::{
    return_path::safe_return_path,
    session::{EndReason, RevokeScope},
};

/// Signs in and returns the path to navigate to: `next` if it is valid, otherwise the dashboard. Takes a new password
/// if an administrator requires one.
///
/// Our pages set a cookie and send `expects_cookie`. A browser that does not return the cookie would lose its session
/// at once, so it is rejected. Programs omit the field.
#[server(SignIn, prefix = "/api", endpoint = "sign_in", output = TextJson, client = SessionClient)]
pub async fn sign_in(
    email: String,
    password: String,
    #[server(default)] new_password: Option<String>,
    #[server(default)] next: Option<String>,
    #[server(default)] expects_cookie: Option<bool>,
) -> Result<String, AppError> {
    let typed_email = email.clone();
    let signed_in = request_context::run(async {
        request_context::reject_bearer()?;
        if expects_cookie == Some(true) && !request_context::has_cookie_support()? {
            tracing::info!("sign-in without cookies rejected");
            return Err(AppError::CookiesRequired);
        }
        let (state, client) = (request_context::state()?, request_context::client()?);
        let attempt = SignInAttempt {
            email,
            password,
            new_password,
        };
        let signed_in =
            service::sign_in_browser(&state, attempt, &client, &request_context::identity()?).await?;
        session_store::set_cookie(
            &request_context::cookie_session()?,
            &signed_in.cookie,
            signed_in.valid_for,
        )
        .await?;
        request_context::set_cookie(PortalCookie::KnownBrowser, &signed_in.known_browser.reveal())?;
        let path = next
            .as_deref()
            .and_then(safe_return_path)
            .unwrap_or("/dashboard")
            .to_owned();
        request_context::redirect_plain_form(&path);
        Ok(path)
    })
    .await;
    if signed_in.is_err() {
        request_context::keep_typed_email(&typed_email)?;
    }
    signed_in
}

/// Signs out of this browser and returns the path to navigate to. Does nothing without a session.
#[server(SignOut, prefix = "/api", endpoint = "sign_out", output = TextJson, client = SessionClient)]
pub async fn sign_out() -> Result<String, AppError> {
    const AFTERWARDS: &str = "/login?reason=signed_out";
    request_context::run(async {
        let state = request_context::state()?;
        let identity = request_context::identity()?;
        if let Identity::SignedIn(caller) = &identity {
            let (scope, ip_address) = (RevokeScope::Current, Some(request_context::client()?.ip_address));
            match revoke::revoke_own(&state.database, &state.clock, caller, scope, ip_address).await {
                // Replaced meanwhile: the session goes on, and its new cookie must not be taken away.
                Err(error @ AppError::SessionEnded { reason }) if reason.can_be_stale() => {
                    return Err(error);
                }
                // Another request has ended it.
                Ok(_) | Err(AppError::SessionEnded { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // An unknown cookie may have just been rotated. Keep the new cookie, which belongs to a live session.
        if matches!(identity, Identity::SignedIn(_) | Identity::Ended(_)) {
            session_store::clear_cookie(&request_context::cookie_session()?).await?;
        }
        request_context::redirect_plain_form(AFTERWARDS);
        Ok(AFTERWARDS.to_owned())
    })
    .await
}

/// Why the session of this browser's cookie ended, with the limits of the role and the administrator's note. `None`:
/// the cookie belongs to no ended session. Sets a cookie if the browser sent none, so that sign-in can detect whether
/// it returns cookies.
#[server(SignInNotice, prefix = "/api", endpoint = "sign_in_notice", output = TextJson, client = SessionClient)]
pub async fn sign_in_notice() -> Result<Option<String>, AppError> {
    request_context::run(async {
        request_context::has_cookie_support()?;
        Ok(match request_context::identity()? {
            Identity::Ended(ended) => Some(ended.message()),
            Identity::Replaced(_) => Some(EndReason::RenewalLost.message().to_owned()),
            Identity::Anonymous | Identity::SignedIn(_) => None,
        })
    })
    .await
}

/// The email of a sign-in that has just failed without JavaScript, for its form. With JavaScript the form is still there.
pub fn typed_email() -> Option<String> {
    #[cfg(feature = "ssr")]
    return request_context::typed_email();
    #[cfg(not(feature = "ssr"))]
    None
}
