//! An administrator looks after people: disables them, gives them another role, has them choose a new password.

use serde_json::json;
use sqlx::PgConnection;

use super::Reach;
use crate::{
    domain::{
        ids::{OrganizationId, UserId},
        organization::Membership,
        review::Person,
        session::EndReason,
        user::Role,
    },
    error::AppError,
    server::{
        auth::current_session::{Client, CurrentSession},
        services::{
            accounts::{RoleChange, role_changed},
            revoke,
        },
        state::AppState,
        store::{
            acting::AdminTransaction,
            audit::{self, AuditEvent, AuditKind},
            organizations, people, sessions, users,
        },
    },
};

/// Someone within reach, and what keeps the caller from disabling or enabling them, if anything does.
///
/// # Errors
/// [`AppError::NotFound`] for anyone else.
pub async fn find(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    user: UserId,
) -> Result<(Person, Option<Hindrance>), AppError> {
    let conn = &mut *state.database.connection().await?;
    let found = people::find(conn, reach.organization, user).await?;
    let person = found.ok_or(AppError::NotFound)?;
    let hindrance = hindrance(conn, caller, reach, &person).await?;
    Ok((person, hindrance))
}

/// The memberships of someone that an administrator may change: the one in their own organization, or every one.
///
/// # Errors
/// The database does not answer.
pub async fn memberships(state: &AppState, reach: Reach, user: UserId) -> Result<Vec<Membership>, AppError> {
    let mut all = organizations::of_user(&mut *state.database.connection().await?, user).await?;
    all.retain(|membership| {
        reach
            .organization
            .is_none_or(|id| membership.organization.id == id)
    });
    Ok(all)
}

/// Why an administrator may not disable someone, or enable them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// Themselves.
    Own,
    /// Someone who belongs to other organizations, where they would be out as well.
    Elsewhere,
    /// Someone whom an operator or a system administrator has disabled.
    FromOutside,
}

async fn hindrance(
    conn: &mut PgConnection,
    caller: &CurrentSession,
    reach: Reach,
    person: &Person,
) -> sqlx::Result<Option<Hindrance>> {
    let user = person.user.id;
    Ok(if user == caller.user.id {
        Some(Hindrance::Own)
    } else if reach.organization.is_some() && person.is_elsewhere {
        Some(Hindrance::Elsewhere)
    } else if person.is_disabled && !people::was_disabled_within(conn, reach.organization, user).await? {
        Some(Hindrance::FromOutside)
    } else {
        None
    })
}

/// Lets someone sign in no more, and ends their sessions. Gives how many.
///
/// # Errors
/// [`AppError::NotFound`] for someone out of reach, [`AppError::Forbidden`] where there is a [`Hindrance`].
pub async fn disable(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    user: UserId,
    client: &Client,
) -> Result<usize, AppError> {
    let mut tx = reach.begin(state, caller, client, &[user]).await?;
    let (now, actor) = (tx.now(), tx.actor());
    let person = find_locked(&mut tx, user).await?;
    // Whoever disabled someone once more would be the last to have done so, and could enable them.
    if hindrance(&mut tx, caller, reach, &person).await?.is_some() {
        return Err(AppError::Forbidden);
    }
    // The sessions first: those of a disabled person are not live any more, and would be passed over.
    let ended = revoke::end_all(&mut tx, user, EndReason::AccountDisabled, None, actor, now).await?;
    users::disable(&mut tx, user, now).await?;
    record(&mut tx, AuditKind::UserDisabled, user).await?;
    tx.commit().await?;
    tracing::info!(%user, by = %caller.user.id, ended, "an account was disabled");
    Ok(ended)
}

/// Lets someone sign in again. What an operator or a system administrator has disabled, an organization's administrator
/// does not undo.
///
/// # Errors
/// As [`disable`].
pub async fn enable(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    user: UserId,
    client: &Client,
) -> Result<(), AppError> {
    let mut tx = reach.begin(state, caller, client, &[user]).await?;
    let person = find_locked(&mut tx, user).await?;
    if hindrance(&mut tx, caller, reach, &person).await?.is_some() {
        return Err(AppError::Forbidden);
    }
    if !person.is_disabled {
        return Ok(());
    }
    users::enable(&mut tx, user).await?;
    record(&mut tx, AuditKind::UserEnabled, user).await?;
    tx.commit().await?;
    Ok(())
}

/// Has someone choose a new password at their next sign-in, and signs them out everywhere. No help against a thief who
/// knows the present one: whoever signs in first chooses. Gives how many sessions ended.
///
/// # Errors
/// [`AppError::NotFound`] for someone out of reach; [`AppError::Forbidden`] for the caller, who can change their own, and
/// for system administrators, of whom only others decide.
pub async fn require_password_change(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    user: UserId,
    client: &Client,
) -> Result<usize, AppError> {
    let mut tx = reach.begin(state, caller, client, &[user]).await?;
    let (now, actor) = (tx.now(), tx.actor());
    let person = find_locked(&mut tx, user).await?;
    let is_above = reach.organization.is_some() && person.user.role == Role::SystemAdmin;
    if user == caller.user.id || is_above {
        return Err(AppError::Forbidden);
    }
    users::require_password_change(&mut tx, user).await?;
    record(&mut tx, AuditKind::PasswordChangeRequired, user).await?;
    let ended = revoke::end_all(&mut tx, user, EndReason::RevokedByAdmin, None, actor, now).await?;
    tx.commit().await?;
    Ok(ended)
}

/// Gives someone another role, in an organization or, for whoever belongs to none, outside any. Nobody is made a system
/// administrator here, and none is changed: that is for operators at the command line.
///
/// # Errors
/// [`AppError::NotFound`] for someone out of reach or not a member there; [`AppError::Forbidden`] for the caller's own
/// role, which would let the last administrator go by mistake, and for system administrators.
pub async fn set_role(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    user: UserId,
    organization: Option<OrganizationId>,
    role: Role,
    client: &Client,
) -> Result<(), AppError> {
    if reach.organization.is_some() && organization != reach.organization {
        return Err(AppError::NotFound);
    }
    // Which sessions were used least recently is judged by all that this node knows.
    state.activity.flush(&state.database).await?;
    let mut tx = reach.begin(state, caller, client, &[user]).await?;
    let (now, actor) = (tx.now(), tx.actor());
    let person = find_locked(&mut tx, user).await?;
    if user == caller.user.id || role == Role::SystemAdmin || person.user.role == Role::SystemAdmin {
        return Err(AppError::Forbidden);
    }
    sessions::lock_open_of(&mut tx, user).await?;
    let memberships = organizations::of_user(&mut tx, user).await?;
    let before = match organization {
        Some(there) => {
            let is_member = memberships
                .iter()
                .any(|membership| membership.organization.id == there);
            if !is_member {
                return Err(AppError::NotFound);
            }
            organizations::set_membership(&mut tx, user, there, role, now).await?
        }
        // Would change nothing that counts: what they are is said by their memberships.
        None if !memberships.is_empty() => return Err(AppError::NotFound),
        None => users::set_role(&mut tx, user, role).await?,
    };
    let before = before.ok_or(AppError::NotFound)?;
    if before != role {
        let change = RoleChange {
            user,
            organization,
            before,
            after: role,
        };
        role_changed(&mut tx, change, actor, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The user, who is within the administrator's reach and locked.
async fn find_locked(tx: &mut AdminTransaction, user: UserId) -> Result<Person, AppError> {
    let organization = tx.organization();
    let person = people::find(tx, organization, user).await?;
    person.ok_or(AppError::NotFound)
}

async fn record(tx: &mut AdminTransaction, kind: AuditKind, user: UserId) -> sqlx::Result<()> {
    let event = AuditEvent {
        kind,
        actor: tx.actor(),
        user: Some(user),
        session: None,
        reason: None,
        detail: json!({}),
    };
    let now = tx.now();
    audit::record(tx, event, now).await
}
