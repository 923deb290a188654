//! Middleware and responses that are independent of a feature: credentials, origin check, headers, errors, logging.

pub mod catch_panic;
pub mod client_failure;
pub mod cookie;
pub mod credential;
pub mod error_response;
pub mod flash;
pub mod form_error;
pub mod identify;
pub mod json_to_form;
pub mod origin;
pub mod page_threads;
pub mod request_body;
pub mod request_log;
pub mod require_sign_in;
pub mod security_headers;
pub mod server_fn_response;
pub mod session_store;
