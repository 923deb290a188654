//! Extends a session: moves the idle timeout, never past the lifetime.

use domain::session::EndReason;

use crate::{
    error::AppError,
    server::{
        auth::current_session::CurrentSession,
        rate_counts::Action,
        services::rate_limit,
        state::AppState,
        store::{caller_transaction::CallerTransaction, events, sessions},
    },
};

/// Extends the caller's session and notifies the user's other tabs.
///
/// # Errors
/// [`AppError::SessionEnded`] if it has ended; [`AppError::RateLimited`].
pub async fn extend_session(state: &AppState, caller: &CurrentSession) -> Result<CurrentSession, AppError> {
    rate_limit::check_session(state, Action::Extend, caller.id)?;
    let mut tx = CallerTransaction::begin(&state.database, &state.clock, caller, None).await?;
    let now = tx.now();
    if !sessions::extend(&mut tx).await? {
        let reason = sessions::find_end_reason(&mut tx, caller.id, now).await?;
        return Err(AppError::SessionEnded {
            reason: reason.unwrap_or(EndReason::Unknown),
        });
    }
    events::publish_session_updated(&mut tx, caller.user.id, caller.id, now).await?;
    tx.commit().await?;
    let mut session = caller.clone();
    session.record_activity(now);
    Ok(session)
}
