//! Applies a change of a role.

use chrono::{DateTime, Utc};
use domain::{
    ids::{OrganizationId, UserId},
    user::Role,
};

use crate::server::{
    database::Transaction,
    services::revoke,
    store::{
        audit::{self, Actor, AuditEvent},
        events, policies, sessions,
    },
};

/// A change of a user's role, in an organization or without one.
#[derive(Clone, Copy, Debug)]
pub struct RoleChange {
    pub user: UserId,
    pub organization: Option<OrganizationId>,
    pub before: Role,
    pub after: Role,
}

/// Applies a role change: rotates all credentials of the user (ASVS 5.0, 7.2.4) and revokes sessions beyond the new limit. The
/// new timeouts apply from the next request. The caller must hold the user's row lock.
///
/// # Errors
/// Database errors.
pub async fn apply_role_change(
    tx: &mut Transaction,
    change: RoleChange,
    actor: Actor,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let RoleChange {
        user,
        organization,
        before,
        after,
    } = change;
    let event = AuditEvent::role_changed(actor, user, organization, before, after);
    audit::record(tx, event, now).await?;
    sessions::mark_for_rotation(tx, user, now).await?;
    if let Some(most) = policies::load_max_sessions(tx, after).await? {
        revoke::revoke_over_limit(tx, user, None, organization, most, actor, now).await?;
    }
    events::publish_sessions_changed(tx, user, now).await
}
