//! Replaces password hashes from before normalisation, when their user enters the password.

use crate::{
    error::AppError,
    server::{
        auth::{
            password::{Password, PasswordMatch},
            password_queue::Turn,
        },
        state::AppState,
        store::users::{self, Account},
    },
};

/// Hashes the normalised form of a verified password. Does nothing if the password was changed meanwhile. Updates the hash in
/// `account` if the stored hash matches the password: a parallel sign-in may have replaced it first.
///
/// # Errors
/// The database does not respond, or hashing failed.
pub async fn rehash_normalised(
    state: &AppState,
    turn: &Turn,
    account: &mut Account,
    password: Password,
) -> Result<(), AppError> {
    let hash = state.passwords.hash(turn, password.clone()).await?;
    let conn = &mut *state.database.connection().await?;
    if users::replace_password_hash(conn, account.id, &account.password_hash, &hash).await? {
        account.password_hash = hash;
        tracing::info!(user = %account.id, "password hash normalised");
        return Ok(());
    }
    let Some(stored) = users::find(conn, account.id).await? else {
        return Ok(());
    };
    let found = state
        .passwords
        .verify(turn, password, Some(stored.password_hash.clone()))
        .await?;
    if found == PasswordMatch::Right {
        account.password_hash = stored.password_hash;
    }
    Ok(())
}
