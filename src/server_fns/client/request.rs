//! Requests of server functions.

use futures_util::Stream;
use http::Method;
use leptos::server_fn::{Bytes, request::ClientReq};

use crate::error::AppError;

/// A request, kept as text because it may be sent twice.
pub struct ServerFnRequest {
    pub(super) path: String,
    pub(super) content_type: String,
    pub(super) accepts: String,
    pub(super) body: String,
    pub(super) is_background: bool,
}

/// All server functions of the portal are forms. Anything else is an error in their definition.
impl ClientReq<AppError> for ServerFnRequest {
    type FormData = ();

    fn try_new_req_text(
        path: &str,
        content_type: &str,
        accepts: &str,
        body: String,
        _: Method,
    ) -> Result<Self, AppError> {
        Ok(Self {
            path: path.to_owned(),
            content_type: content_type.to_owned(),
            accepts: accepts.to_owned(),
            body,
            is_background: false,
        })
    }

    fn try_new_req_query(_: &str, _: &str, _: &str, _: &str, _: Method) -> Result<Self, AppError> {
        Err(AppError::Internal)
    }

    fn try_new_req_bytes(_: &str, _: &str, _: &str, _: Bytes, _: Method) -> Result<Self, AppError> {
        Err(AppError::Internal)
    }

    fn try_new_req_form_data(_: &str, _: &str, _: &str, (): (), _: Method) -> Result<Self, AppError> {
        Err(AppError::Internal)
    }

    fn try_new_req_multipart(_: &str, _: &str, (): (), _: Method) -> Result<Self, AppError> {
        Err(AppError::Internal)
    }

    fn try_new_req_streaming(
        _: &str,
        _: &str,
        _: &str,
        _: impl Stream<Item = Bytes> + Send + 'static,
        _: Method,
    ) -> Result<Self, AppError> {
        Err(AppError::Internal)
    }
}
