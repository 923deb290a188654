//! What a page does with an error.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::{browser, live::monitor};
use crate::{error::AppError, wire::error_from_query};

/// Gives every error back for the page to show, but that the session is over: the monitor tells that, over the page.
pub fn filter_session_end(error: AppError) -> Option<AppError> {
    match error {
        AppError::SessionEnded { reason } => {
            if !monitor::is_running() {
                browser::go_to_sign_in(reason);
            }
            None
        }
        other => Some(other),
    }
}

/// The error of a form that was sent to one of `endpoints` without JavaScript. It travels in the address, which anyone
/// can write: only its code is believed, and the words are ours.
pub fn form_error_in_url(endpoints: &[&str]) -> Option<AppError> {
    use_query_map().with_untracked(|query| {
        let sent_to = query.get_str("__path")?;
        let err = query.get_str("__err").filter(|_| endpoints.contains(&sent_to))?;
        Some(error_from_query(err))
    })
}

/// It is told at the password's field: about the password, or about how often one was tried.
pub fn is_about_password(error: &AppError) -> bool {
    matches!(
        error,
        AppError::InvalidCredentials
            | AppError::UnsuitablePassword(_)
            | AppError::TooManyAttempts { .. }
            | AppError::RateLimited { .. }
            | AppError::Busy
    )
}
