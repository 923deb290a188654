//! Changes the caller's own password. Requires the current password in any case, and by default revokes the user's other
//! sessions (ASVS 5.0, 6.2.3 and 7.4.3).

use super::{
    reauthentication::{self, RotatedCredential},
    revoke,
};
use domain::{ids::SessionId, password::PasswordProblem, session::EndReason};

use crate::{
    error::AppError,
    server::{
        auth::{
            current_session::{Client, CurrentSession},
            password::Password,
        },
        state::AppState,
        store::{
            audit::{self, AuditEvent},
            caller_transaction::CallerTransaction,
            sessions::EndFilter,
            users,
        },
    },
};

/// The form.
pub struct PasswordChange {
    pub current: String,
    pub new: String,
    /// Does not revoke the other sessions.
    pub keep_other_sessions: bool,
}

/// The new credential of the session, and the revoked sessions.
#[derive(Debug)]
pub struct ChangedPassword {
    pub rotated: RotatedCredential,
    pub ended: Vec<SessionId>,
}

/// Changes the password, rotates the caller's credential and revokes the other sessions, in one transaction.
///
/// # Errors
/// [`AppError::InvalidCredentials`] for a wrong current password; [`AppError::UnsuitablePassword`] for the new one; errors of
/// [`reauthentication::check_password`].
pub async fn change_password(
    state: &AppState,
    caller: &CurrentSession,
    change: PasswordChange,
    client: &Client,
) -> Result<ChangedPassword, AppError> {
    let mut turn = reauthentication::wait_for_turn(state, caller).await?;
    let account =
        reauthentication::check_password(state, &turn, caller, change.current.clone(), client).await?;
    if Password::is_same(&change.new, &change.current) {
        return Err(AppError::UnsuitablePassword(PasswordProblem::Unchanged));
    }
    let about = vec![account.email.clone(), account.display_name.clone()];
    let new = state.passwords.check_rules(&turn, change.new, about).await?;
    let new = new.map_err(AppError::UnsuitablePassword)?;
    let hash = state.passwords.hash(&turn, new).await?;
    turn.release_slot();

    let user = caller.user.id;
    let ip_address = Some(client.ip_address);
    let mut tx = CallerTransaction::begin(&state.database, &state.clock, caller, ip_address).await?;
    reauthentication::require_unchanged_password(&mut tx, &account).await?;
    let now = tx.now();
    let rotated = reauthentication::rotate_credential(state, &mut tx, caller).await?;
    users::set_password(&mut tx, user, &hash, now).await?;
    let actor = tx.actor();
    let event = AuditEvent::password_changed(actor, change.keep_other_sessions);
    audit::record(&mut tx, event, now).await?;
    let mut ended = Vec::new();
    if !change.keep_other_sessions {
        let others = EndFilter::AllExcept(user, caller.id);
        let reason = EndReason::PasswordChanged;
        ended = revoke::live_ids(&revoke::revoke_matching(&mut tx, others, reason, None, actor, now).await?);
    }
    tx.commit().await?;
    tracing::info!(%user, ended = ended.len(), "password changed");
    Ok(ChangedPassword { rotated, ended })
}
