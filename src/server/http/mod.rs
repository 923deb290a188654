//! What holds for every request, whatever it is for: where it may come from, what headers go back, how a failure
//! looks, what is logged.

pub mod catch_panic;
pub mod client_failure;
pub mod cookie;
pub mod credential;
pub mod failure;
pub mod flash;
pub mod form_error;
pub mod identify;
pub mod json_form;
pub mod one_thread;
pub mod origin;
pub mod request_log;
pub mod security_headers;
pub mod server_fn_answer;
pub mod session_store;
pub mod sign_in_first;
pub mod whole_body;
