//! Rotates a session cookie after a change of permissions, without a password check.

use super::reauthentication::RotatedCredential;
use crate::{
    error::AppError,
    server::{
        auth::{current_session::CurrentSession, token::PlainToken},
        state::AppState,
        store::{
            caller_transaction::{CallerError, CallerTransaction},
            events, sessions,
        },
    },
};

/// Rotates the cookie of a session that is due. `None`: another request has rotated it, or the session has ended.
///
/// # Errors
/// Database errors. The old cookie stays valid then.
pub async fn rotate_cookie(
    state: &AppState,
    session: &CurrentSession,
) -> Result<Option<RotatedCredential>, AppError> {
    let mut tx = match CallerTransaction::begin(&state.database, &state.clock, session, None).await {
        Err(CallerError::Ended(_)) => return Ok(None),
        begun => begun?,
    };
    sessions::lock(&mut tx, session.id).await?;
    let now = tx.now();
    if !sessions::is_due_for_rotation(&mut tx, session.id, session.credential, now).await? {
        return Ok(None);
    }
    let credential = PlainToken::generate()?;
    sessions::set_credential(&mut tx, session.id, credential.hash(), None, now).await?;
    events::publish_credential_replaced(&mut tx, session.user.id, session.id, now).await?;
    tx.commit().await?;
    Ok(Some(RotatedCredential {
        credential,
        valid_for: session.lifetime_expires_at - now,
    }))
}
