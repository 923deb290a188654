//! An administrator looks after people: disables them, gives them another role, has them choose a new password.

use serde_json::json;

use super::{Reach, refused};
use domain::{
    admin::AdminUser,
    ids::{OrganizationId, UserId},
    organization::Membership,
    session::EndReason,
    user::Role,
};

use crate::{
    error::{AppError, Resource},
    server::{
        auth::current_session::{Client, CurrentSession},
        database::Connection,
        services::{
            accounts::{RoleChange, apply_role_change},
            denials::DenialReason,
            revoke,
        },
        state::AppState,
        store::{
            audit::{self, AuditEvent, AuditKind},
            caller_transaction::AdminTransaction,
            organizations, people, sessions, users,
        },
    },
};

/// Someone within reach, and what the caller may not do to them.
///
/// # Errors
/// [`AppError::ResourceNotFound`] for anyone else.
pub async fn find(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    user: UserId,
) -> Result<(AdminUser, Restrictions), AppError> {
    let conn = &mut *state.database.connection().await?;
    let found = people::find(conn, reach.organization, user).await?;
    let person = found.ok_or(AppError::ResourceNotFound(Resource::User))?;
    let restrictions = restrictions(conn, caller, reach, &person).await?;
    Ok((person, restrictions))
}

/// The memberships of someone that an administrator may change: the one in their own organization, or every one.
///
/// # Errors
/// The database does not answer.
pub async fn memberships(state: &AppState, reach: Reach, user: UserId) -> Result<Vec<Membership>, AppError> {
    let mut all = organizations::list_for_user(&mut *state.database.connection().await?, user).await?;
    all.retain(|membership| {
        reach
            .organization
            .is_none_or(|id| membership.organization.id == id)
    });
    Ok(all)
}

/// What an administrator may not do to someone, and why. The pages offer what is not in it, and the services reject what
/// is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// Disabling the account, enabling it, and asking for a new password: all of it concerns the whole account.
    pub account: Option<Hindrance>,
    /// Another role.
    pub role: Option<Hindrance>,
}

/// Why an administrator may not do something to someone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// Themselves.
    Own,
    /// A system administrator.
    SystemAdmin,
    /// Someone who belongs to other organizations, where they would be out as well.
    Elsewhere,
    /// Someone whom an operator or a system administrator has disabled.
    FromOutside,
}

async fn restrictions(
    conn: &mut Connection,
    caller: &CurrentSession,
    reach: Reach,
    person: &AdminUser,
) -> sqlx::Result<Restrictions> {
    let user = person.user.id;
    if user == caller.user.id {
        let own = Some(Hindrance::Own);
        return Ok(Restrictions {
            account: own,
            role: own,
        });
    }
    let system_admin = (person.user.role == Role::SystemAdmin).then_some(Hindrance::SystemAdmin);
    let account = if reach.organization.is_some() && system_admin.is_some() {
        system_admin
    } else if reach.organization.is_some() && person.has_other_access {
        Some(Hindrance::Elsewhere)
    } else if person.is_disabled && !people::was_disabled_by_member(conn, reach.organization, user).await? {
        Some(Hindrance::FromOutside)
    } else {
        None
    };
    Ok(Restrictions {
        account,
        role: system_admin,
    })
}

/// An administrator who does something to someone.
struct Action<'a> {
    state: &'a AppState,
    caller: &'a CurrentSession,
    reach: Reach,
    client: &'a Client,
    user: UserId,
    /// How the audit log names it.
    name: &'static str,
}

impl Action<'_> {
    /// Begins its transaction, with the user locked.
    async fn begin(&self) -> Result<(AdminTransaction, AdminUser, Restrictions), AppError> {
        let Self {
            state,
            caller,
            reach,
            client,
            user,
            ..
        } = *self;
        let mut tx = reach.begin(state, caller, client, &[user]).await?;
        let organization = tx.organization();
        let Some(person) = people::find(&mut tx, organization, user).await? else {
            drop(tx);
            refused(state, caller, client)
                .record_foreign("person_id", user.0)
                .await?;
            return Err(AppError::ResourceNotFound(Resource::User));
        };
        let restrictions = restrictions(&mut tx, caller, reach, &person).await?;
        Ok((tx, person, restrictions))
    }

    /// The same for an action on the account itself, which is refused where a restriction forbids it.
    async fn begin_on_account(&self) -> Result<(AdminTransaction, AdminUser), AppError> {
        let (tx, person, restrictions) = self.begin().await?;
        if restrictions.account.is_some() {
            return Err(self.reject(tx).await);
        }
        Ok((tx, person))
    }

    /// Gives up, and records what was refused.
    async fn reject(&self, tx: AdminTransaction) -> AppError {
        drop(tx);
        let detail = json!({ "action": self.name, "person_id": self.user });
        let refused = refused(self.state, self.caller, self.client);
        match refused.record(DenialReason::NotPermitted, detail).await {
            Ok(()) => AppError::Forbidden,
            Err(error) => error,
        }
    }
}

/// Lets someone sign in no more, and ends their sessions. Gives how many.
///
/// # Errors
/// [`AppError::ResourceNotFound`] for someone out of reach, [`AppError::Forbidden`] where there is a [`Hindrance`].
pub async fn disable(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    user: UserId,
    client: &Client,
) -> Result<usize, AppError> {
    let action = Action {
        state,
        caller,
        reach,
        client,
        user,
        name: "disable",
    };
    // An account that somebody else disabled is refused too: disabling it once more would give the right to enable it.
    let (mut tx, _) = action.begin_on_account().await?;
    let (now, actor) = (tx.now(), tx.actor());
    // The sessions first: those of a disabled person are not live any more, and would be passed over.
    let ended = revoke::revoke_all(&mut tx, user, EndReason::AccountDisabled, None, actor, now).await?;
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
    let action = Action {
        state,
        caller,
        reach,
        client,
        user,
        name: "enable",
    };
    let (mut tx, person) = action.begin_on_account().await?;
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
/// As [`disable`], whose right it takes.
pub async fn require_password_change(
    state: &AppState,
    caller: &CurrentSession,
    reach: Reach,
    user: UserId,
    client: &Client,
) -> Result<usize, AppError> {
    let action = Action {
        state,
        caller,
        reach,
        client,
        user,
        name: "require_password_change",
    };
    let (mut tx, _) = action.begin_on_account().await?;
    let (now, actor) = (tx.now(), tx.actor());
    users::require_password_change(&mut tx, user).await?;
    record(&mut tx, AuditKind::PasswordChangeRequired, user).await?;
    let ended = revoke::revoke_all(&mut tx, user, EndReason::RevokedByAdmin, None, actor, now).await?;
    tx.commit().await?;
    Ok(ended)
}

/// Gives someone another role, in an organization or, for whoever belongs to none, outside any. Nobody is made a system
/// administrator here, and none is changed: that is for operators at the command line.
///
/// # Errors
/// [`AppError::ResourceNotFound`] for someone out of reach or not a member there; [`AppError::Forbidden`] for the caller's own
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
    if let Some(organization) = organization
        && reach.organization.is_some_and(|own| own != organization)
    {
        let refused = refused(state, caller, client);
        refused
            .record_foreign("wanted_organization_id", organization.0)
            .await?;
    }
    if reach.organization.is_some() && organization != reach.organization {
        return Err(AppError::ResourceNotFound(Resource::Organization));
    }
    // Which sessions were used least recently is judged by all that this node knows.
    state.activity.flush(&state.database).await?;
    let action = Action {
        state,
        caller,
        reach,
        client,
        user,
        name: "change_role",
    };
    let (mut tx, _, restrictions) = action.begin().await?;
    let (now, actor) = (tx.now(), tx.actor());
    if restrictions.role.is_some() || role == Role::SystemAdmin {
        return Err(action.reject(tx).await);
    }
    sessions::lock_open_of(&mut tx, user).await?;
    let memberships = organizations::list_for_user(&mut tx, user).await?;
    let before = match organization {
        Some(there) => {
            let is_member = memberships
                .iter()
                .any(|membership| membership.organization.id == there);
            if !is_member {
                return Err(AppError::ResourceNotFound(Resource::Organization));
            }
            organizations::set_membership(&mut tx, user, there, role, now).await?
        }
        // Would change nothing that counts: what they are is said by their memberships.
        None if !memberships.is_empty() => return Err(AppError::ResourceNotFound(Resource::Organization)),
        None => users::set_role(&mut tx, user, role).await?,
    };
    let before = before.ok_or(AppError::ResourceNotFound(Resource::Organization))?;
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
