//! Session checks. Not activity.

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

/// How long a check waits for its response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches the session state.
///
/// # Errors
/// [`AppError::SessionEnded`] if there is no live session: status 401 with that code. Every other error leaves the
/// state unknown.
pub async fn fetch_state() -> Result<SessionState, AppError> {
    let (status, text) = fetch::get(PATH, TIMEOUT)
        .await
        .map_err(|fetch::NoResponse| AppError::Offline)?;
    // The page of a proxy is not a response, whatever its status.
    match status {
        200 => serde_json::from_str(&text).map_err(|_| AppError::Internal),
        401 => Err(serde_json::from_str(&text).unwrap_or(AppError::Unavailable)),
        _ => Err(AppError::Unavailable),
    }
}

/// Converts the expiry to the tab's monotonic clock.
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
