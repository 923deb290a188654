//! Hashes from before passwords were normalised are replaced when their user is there with the password.

use crate::{
    error::AppError,
    server::{
        auth::{password::Password, password_queue::Turn},
        state::AppState,
        store::users::{self, Account},
    },
};

/// Hashes the normalised form of a password that was right as it was typed. A password that was changed meanwhile
/// stays.
///
/// # Errors
/// The database does not answer, or hashing failed.
pub async fn normalise(
    state: &AppState,
    turn: &Turn,
    account: &mut Account,
    password: Password,
) -> Result<(), AppError> {
    let hash = state.passwords.hash(turn, password).await?;
    let conn = &mut *state.database.connection().await?;
    if users::replace_hash(conn, account.id, &account.password_hash, &hash).await? {
        account.password_hash = hash;
        tracing::info!(user = %account.id, "password hash normalised");
    }
    Ok(())
}
