//! What a page does with an error.

use leptos::{prelude::*, server_fn::error::ServerFnUrlError};
use leptos_router::hooks::use_query_map;

use super::browser;
use crate::error::AppError;

/// Leaves for sign-in where the session is over. Gives back every other error, for the page to show.
pub fn leave_if_ended(error: AppError) -> Option<AppError> {
    match error {
        AppError::SessionEnded { reason } => {
            browser::go_to_sign_in(reason);
            None
        }
        other => Some(other),
    }
}

/// The error of a form that was sent without JavaScript. It travels in the address, which anyone can write: only its
/// code is believed, and the words are ours.
pub fn error_in_address() -> Signal<Option<AppError>> {
    let query = use_query_map();
    Signal::derive(move || {
        query.with(|query| query.get("__err").map(|err| ServerFnUrlError::decode_err(&err)))
    })
}
