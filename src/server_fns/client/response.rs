//! Responses to server functions.

use futures_util::{Stream, future::ready, stream::once};
use leptos::server_fn::{Bytes, response::ClientRes};

use crate::error::AppError;

/// A successful response. Errors are handled before, and the server redirects plain forms only, so that the code of
/// each server function stays small.
pub struct ServerFnResponse(pub(super) Bytes);

impl ClientRes<AppError> for ServerFnResponse {
    fn try_into_string(self) -> impl Future<Output = Result<String, AppError>> + Send {
        ready(String::from_utf8(self.0.to_vec()).map_err(|_| AppError::Internal))
    }

    fn try_into_bytes(self) -> impl Future<Output = Result<Bytes, AppError>> + Send {
        ready(Ok(self.0))
    }

    fn try_into_stream(
        self,
    ) -> Result<impl Stream<Item = Result<Bytes, Bytes>> + Send + Sync + 'static, AppError> {
        Ok(once(ready(Ok(self.0))))
    }

    fn status(&self) -> u16 {
        200
    }

    fn status_text(&self) -> String {
        String::new()
    }

    fn location(&self) -> String {
        String::new()
    }

    fn has_redirect(&self) -> bool {
        false
    }
}
