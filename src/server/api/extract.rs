//! Extractors with the errors of the API.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Request, rejection::JsonRejection},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::{
    error::AppError,
    server::{
        auth::current_session::{Client, CurrentSession, Identity},
        http::error_response::Problem,
    },
};

/// The caller's live session. Rejects with 401 and the end reason.
pub struct SignedIn(pub Arc<CurrentSession>);

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let identity = parts
            .extensions
            .get::<Identity>()
            .ok_or(Problem(AppError::Internal))?;
        Ok(Self(identity.signed_in()?))
    }
}

/// The client of the request.
pub struct RequestClient(pub Client);

impl<S: Sync> FromRequestParts<S> for RequestClient {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Client>()
            .cloned()
            .map(Self)
            .ok_or(Problem(AppError::Internal))
    }
}

/// A JSON body. The error names the invalid field.
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(AppError::invalid_input("content-type", "Send application/json.").into())
            }
            Err(JsonRejection::BytesRejection(_)) => {
                Err(AppError::invalid_input("body", "The body is too long.").into())
            }
            Err(rejection) => Err(AppError::invalid_input("body", rejection.body_text()).into()),
        }
    }
}
