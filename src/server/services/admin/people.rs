//! Administrators manage users: disable and enable accounts, change roles, require new passwords.

use serde_json::json;

use super::AdminRequest;
use domain::{
    admin::AdminUser,
    admin_permission::{AdminAction, Permission, assignable_roles},
    ids::{OrganizationId, UserId},
    organization::Membership,
    session::EndReason,
    user::Role,
};

use crate::{
    error::{AppError, Resource},
    server::{
        services::{
            accounts::{RoleChange, apply_role_change},
            denials::DenialReason,
            revoke,
        },
        store::{
            audit::{self, AuditEvent},
            caller_transaction::AdminTransaction,
            organizations, sessions, users,
        },
    },
};

/// A user in scope.
///
/// # Errors
/// [`AppError::NotFound`] for any other.
pub async fn find(admin: &AdminRequest, user: UserId) -> Result<AdminUser, AppError> {
    admin
        .find_user(&mut *admin.state.database.connection().await?, user)
        .await
}

/// The memberships of a user that the administrator may see and change.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn memberships(admin: &AdminRequest, user: UserId) -> Result<Vec<Membership>, AppError> {
    let conn = &mut *admin.state.database.connection().await?;
    let mut all = organizations::list_for_user(conn, user).await?;
    all.retain(|membership| admin.scope.has_organization(membership.organization.id));
    Ok(all)
}

/// Begins a transaction with the user locked, if the administrator may do this to the user.
async fn begin(
    admin: &AdminRequest,
    user: UserId,
    action: AdminAction,
) -> Result<(AdminTransaction, AdminUser), AppError> {
    let mut tx = admin.begin(&[user]).await?;
    let target = match admin.find_user(&mut tx, user).await {
        Ok(target) => target,
        Err(AppError::NotFound(thing)) => {
            drop(tx);
            admin.record_foreign_id("person_id", user.0).await?;
            return Err(AppError::NotFound(thing));
        }
        Err(error) => return Err(error),
    };
    if admin.check_permission(&target, action).denied().is_some() {
        drop(tx);
        return Err(reject(admin, user, action).await);
    }
    Ok((tx, target))
}

/// Records a denied action.
async fn reject(admin: &AdminRequest, user: UserId, action: AdminAction) -> AppError {
    let detail = json!({ "action": action.as_str(), "person_id": user });
    match admin.refused().record(DenialReason::NotPermitted, detail).await {
        Ok(()) => AppError::Forbidden,
        Err(error) => error,
    }
}

/// Disables an account and revokes its sessions. Returns how many.
///
/// # Errors
/// [`AppError::NotFound`] for a user who is not in scope, [`AppError::Forbidden`] without permission.
pub async fn disable(admin: &AdminRequest, user: UserId) -> Result<usize, AppError> {
    let (mut tx, _) = begin(admin, user, AdminAction::Disable).await?;
    let (now, actor) = (tx.now(), tx.actor());
    // The sessions first: those of a disabled account are not live any more, and would be passed over.
    let ended = revoke::revoke_all(&mut tx, user, EndReason::AccountDisabled, None, actor, now).await?;
    users::disable(&mut tx, user, now).await?;
    audit::record(&mut tx, AuditEvent::user_disabled(actor, user), now).await?;
    tx.commit().await?;
    tracing::info!(%user, actor = %admin.caller.user.id, ended, "account disabled");
    Ok(ended)
}

/// Enables a disabled account.
///
/// # Errors
/// As [`disable`].
pub async fn enable(admin: &AdminRequest, user: UserId) -> Result<(), AppError> {
    let (mut tx, target) = begin(admin, user, AdminAction::Enable).await?;
    if admin.check_permission(&target, AdminAction::Enable) == Permission::NoEffect {
        return Ok(());
    }
    users::enable(&mut tx, user).await?;
    let (now, actor) = (tx.now(), tx.actor());
    audit::record(&mut tx, AuditEvent::user_enabled(actor, user), now).await?;
    tx.commit().await?;
    Ok(())
}

/// Requires a new password at the next sign-in, and revokes all sessions. Returns how many. This does not keep out a thief
/// who knows the present password: the first to sign in chooses the new one.
///
/// # Errors
/// As [`disable`].
pub async fn require_password_change(admin: &AdminRequest, user: UserId) -> Result<usize, AppError> {
    let (mut tx, _) = begin(admin, user, AdminAction::RequirePasswordChange).await?;
    let (now, actor) = (tx.now(), tx.actor());
    users::require_password_change(&mut tx, user).await?;
    audit::record(&mut tx, AuditEvent::password_change_required(actor, user), now).await?;
    let ended = revoke::revoke_all(&mut tx, user, EndReason::RevokedByAdmin, None, actor, now).await?;
    tx.commit().await?;
    Ok(ended)
}

/// Changes the role of a user in an organization; without one, of a user who belongs to none.
///
/// # Errors
/// [`AppError::NotFound`] for a user who is not in scope or not a member there; [`AppError::Forbidden`] without permission.
pub async fn set_role(
    admin: &AdminRequest,
    user: UserId,
    organization: Option<OrganizationId>,
    role: Role,
) -> Result<(), AppError> {
    let is_in_scope = match organization {
        Some(organization) => admin.scope.has_organization(organization),
        None => admin.scope.is_everyone(),
    };
    if !is_in_scope {
        if let Some(organization) = organization {
            admin
                .record_foreign_id("wanted_organization_id", organization.0)
                .await?;
        }
        return Err(AppError::NotFound(Resource::Organization));
    }
    // The session limit ends the least recently active sessions, so the database needs the latest activity.
    admin.state.activity.flush(&admin.state.database).await?;
    let (mut tx, _) = begin(admin, user, AdminAction::ChangeRole).await?;
    let (now, actor) = (tx.now(), tx.actor());
    if !assignable_roles().any(|assignable| assignable == role) {
        drop(tx);
        return Err(reject(admin, user, AdminAction::ChangeRole).await);
    }
    sessions::lock_open_of(&mut tx, user).await?;
    let memberships = organizations::list_for_user(&mut tx, user).await?;
    let before = match organization {
        Some(there) => {
            let is_member = memberships
                .iter()
                .any(|membership| membership.organization.id == there);
            if !is_member {
                return Err(AppError::NotFound(Resource::Organization));
            }
            organizations::set_membership(&mut tx, user, there, role, now).await?
        }
        // It would have no effect: the roles of a member are those of the memberships.
        None if !memberships.is_empty() => return Err(AppError::NotFound(Resource::Organization)),
        None => users::set_role(&mut tx, user, role).await?,
    };
    let before = before.ok_or(AppError::NotFound(Resource::Organization))?;
    if before != role {
        let change = RoleChange {
            user,
            organization,
            before,
            after: role,
        };
        apply_role_change(&mut tx, change, actor, now).await?;
    }
    tx.commit().await?;
    Ok(())
}
