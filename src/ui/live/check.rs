//! Asking the server how the session stands. Not activity.

use std::time::Duration;

use domain::{
    session_state::SessionState,
    state_machine::{ExpiryTimes, Millis},
};

use crate::{
    error::AppError,
    ui::browser::{self, fetch},
};

const PATH: &str = "/api/v1/session_state";

/// An answer that takes longer is none.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks.
///
/// # Errors
/// [`AppError::SessionEnded`] where there is no live session: a 401 with that code, and nothing else. Any other says nothing
/// about it.
pub async fn fetch_state() -> Result<SessionState, AppError> {
    let (status, text) = fetch::get(PATH, TIMEOUT)
        .await
        .map_err(|fetch::NoResponse| AppError::Offline)?;
    // A page of a proxy is no answer, whatever it says.
    match status {
        200 => serde_json::from_str(&text).map_err(|_| AppError::Internal),
        401 => Err(serde_json::from_str(&text).unwrap_or(AppError::Unavailable)),
        _ => Err(AppError::Unavailable),
    }
}

/// The times of a session on the tab's own clock, counted from the moment of the answer.
pub fn local_expiry(state: &SessionState) -> ExpiryTimes {
    let here = browser::monotonic_ms() - state.server_time.timestamp_millis();
    let local = |time: chrono::DateTime<chrono::Utc>| -> Millis { time.timestamp_millis() + here };
    let session = &state.session;
    ExpiryTimes {
        idle_expires_at: local(session.idle_expires_at),
        lifetime_expires_at: local(session.expires_at),
        idle_timeout: (session.idle_expires_at - session.last_active_at).num_milliseconds(),
        warning_period: Millis::from(session.warning_seconds) * 1000,
    }
}
