//! A browser's cookie is replaced because what its session may do has changed, without a new password check.

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

/// Replaces the cookie of a session that waits for it. `None`: another request was first, so that this one shows an
/// old cookie, or the session is over.
///
/// # Errors
/// The database does not answer; the old cookie stays good then.
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
