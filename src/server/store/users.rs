//! Users: found by email, locked while their sessions change.

use chrono::{DateTime, Utc};

use crate::server::database::Connection;
use domain::{ids::UserId, plain_text::to_nfc, user::Role};

/// What sign-in needs to know about a user.
#[derive(Clone)]
pub struct Account {
    pub id: UserId,
    pub email: String,
    pub display_name: String,
    pub password_hash: String,
    /// See `users.session_epoch`.
    pub epoch: i64,
    pub disabled: bool,
    /// A new password must be chosen at the next sign-in.
    pub password_change_required: bool,
}

/// Finds a user by email, ignoring case and Unicode form.
pub async fn find_by_email(conn: &mut Connection, email: &str) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        r#"SELECT id AS "id: _", email, display_name, password_hash, session_epoch AS epoch, disabled_at IS NOT NULL AS "disabled!",
            password_change_required
        FROM users WHERE lower(email) = lower($1)"#,
        to_nfc(email),
    )
    .fetch_optional(conn)
    .await
}

/// Finds a user.
pub async fn find(conn: &mut Connection, user: UserId) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        r#"SELECT id AS "id: _", email, display_name, password_hash, session_epoch AS epoch, disabled_at IS NOT NULL AS "disabled!",
            password_change_required
        FROM users WHERE id = $1"#,
        user as _,
    )
    .fetch_optional(conn)
    .await
}

/// Locks a user's row until the transaction ends. Everything that creates or ends sessions of a user does so under this
/// lock. `None`: the user does not exist.
pub async fn lock(conn: &mut Connection, user: UserId) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        r#"SELECT id AS "id: _", email, display_name, password_hash, session_epoch AS epoch, disabled_at IS NOT NULL AS "disabled!",
            password_change_required
        FROM users WHERE id = $1 FOR UPDATE"#,
        user as _,
    )
    .fetch_optional(conn)
    .await
}

/// Locks several users in the order of their ids, which prevents deadlocks.
pub async fn lock_all(conn: &mut Connection, users: &[UserId]) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT id FROM users WHERE id = ANY ($1) ORDER BY id FOR UPDATE",
        users as _
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Increments the session epoch, which rejects sign-ins in progress.
pub async fn increment_epoch(conn: &mut Connection, user: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE users SET session_epoch = session_epoch + 1 WHERE id = $1",
        user as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Replaces the hash of the same password. `false`: the password has changed.
pub async fn replace_password_hash(
    conn: &mut Connection,
    user: UserId,
    old: &str,
    new: &str,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2",
        user as _,
        old,
        new,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A user to insert.
pub struct NewUser<'a> {
    pub id: UserId,
    pub email: &'a str,
    pub display_name: &'a str,
    pub role: Role,
    pub password_hash: &'a str,
}

/// Inserts a user. `false`: the email is taken.
pub async fn insert(conn: &mut Connection, new: NewUser<'_>, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "
        INSERT INTO users (id, email, display_name, role, password_hash, password_changed_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6)
        ON CONFLICT (lower(email)) DO NOTHING
        ",
        new.id as _,
        new.email,
        new.display_name,
        new.role as _,
        new.password_hash,
        now,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Sets a new password.
pub async fn set_password(
    conn: &mut Connection,
    user: UserId,
    password_hash: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE users SET password_hash = $2, password_changed_at = $3, password_change_required = false WHERE id = $1",
        user as _,
        password_hash,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Requires a new password at the next sign-in.
pub async fn require_password_change(conn: &mut Connection, user: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE users SET password_change_required = true WHERE id = $1",
        user as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets a user's role outside organizations and returns the previous one. `None`: the user does not exist.
pub async fn set_role(conn: &mut Connection, user: UserId, role: Role) -> sqlx::Result<Option<Role>> {
    sqlx::query_scalar!(
        r#"
        WITH before AS (SELECT role FROM users WHERE id = $1)
        UPDATE users SET role = $2 WHERE id = $1 RETURNING (SELECT role FROM before) AS "before!: Role"
        "#,
        user as _,
        role as _,
    )
    .fetch_optional(conn)
    .await
}

/// Disables an account. Repeating this keeps the first time.
pub async fn disable(conn: &mut Connection, user: UserId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE users SET disabled_at = COALESCE(disabled_at, $2) WHERE id = $1",
        user as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Enables an account.
pub async fn enable(conn: &mut Connection, user: UserId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE users SET disabled_at = NULL WHERE id = $1", user as _)
        .execute(conn)
        .await?;
    Ok(())
}

/// [`increment_epoch`] for all users except `done`.
pub async fn increment_epoch_except(conn: &mut Connection, done: &[UserId]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE users SET session_epoch = session_epoch + 1 WHERE id <> ALL ($1)",
        done as _
    )
    .execute(conn)
    .await?;
    Ok(())
}
