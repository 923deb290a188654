//! How pages handle errors.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::{browser, live::monitor};
use crate::{error::AppError, wire::error_from_query};

/// Returns the error to show. `None` if the session ended: the session monitor shows that over the page.
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

/// The error of a form that was sent to one of `endpoints` without JavaScript. It comes from the URL, which anyone can
/// write, so only its code is used.
pub fn form_error_in_url(endpoints: &[&str]) -> Option<AppError> {
    use_query_map().with_untracked(|query| {
        let sent_to = query.get_str("__path")?;
        let err = query.get_str("__err").filter(|_| endpoints.contains(&sent_to))?;
        Some(error_from_query(err))
    })
}

/// Whether the password field shows the error.
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
