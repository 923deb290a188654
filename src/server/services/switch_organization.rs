//! A person who belongs to several brokerages looks at another one in this session. Their other sessions stay where they
//! are.

use domain::{ids::OrganizationId, organization::Organization};
use serde_json::json;

use crate::{
    error::{AppError, Resource},
    server::{
        auth::current_session::{Client, CurrentSession},
        services::{denials::DenialRecorder, revoke},
        state::AppState,
        store::{
            audit::{self, AuditEvent, AuditKind},
            caller_transaction::CallerTransaction,
            events, organizations, policies, sessions,
        },
    },
};

/// Has the caller's session look at another organization, with the role that the person has there. Where that is
/// another role, the credential changes (ASVS 5.0, 7.2.4).
///
/// # Errors
/// [`AppError::ResourceNotFound`] for one that they do not belong to, [`AppError::SignInTooOld`] when the role there would end
/// this session at once, [`AppError::SessionEnded`] when it has ended meanwhile. Nothing is changed then.
pub async fn switch_organization(
    state: &AppState,
    caller: &CurrentSession,
    to: OrganizationId,
    client: &Client,
) -> Result<Organization, AppError> {
    // Idle for how long, by all that this node knows.
    state.activity.flush(&state.database).await?;
    let ip_address = Some(client.ip_address);
    let mut tx = CallerTransaction::begin(&state.database, &state.clock, caller, ip_address).await?;
    sessions::lock_open_of(&mut tx, caller.user.id).await?;
    let now = tx.now();
    // Cleanup does not wait for the user's lock.
    if let Some(reason) = sessions::find_end_reason(&mut tx, caller.id, now).await? {
        return Err(AppError::SessionEnded { reason });
    }
    let memberships = organizations::list_for_user(&mut tx, caller.user.id).await?;
    let there = memberships
        .into_iter()
        .find(|membership| membership.organization.id == to);
    let Some(there) = there else {
        drop(tx);
        let refused = DenialRecorder {
            database: &state.database,
            clock: &state.clock,
            caller,
            ip_address: client.ip_address,
        };
        refused.record_foreign("wanted_organization_id", to.0).await?;
        return Err(AppError::ResourceNotFound(Resource::Organization));
    };
    let other_role = there.role != caller.user.role;
    sessions::switch_organization(&mut tx, to, other_role).await?;
    if sessions::find_end_reason(&mut tx, caller.id, now)
        .await?
        .is_some()
    {
        return Err(AppError::SignInTooOld);
    }
    // The role there may allow fewer sessions: as at a sign-in, the least recently used ones go.
    let actor = tx.actor();
    if let Some(most) = policies::load_max_sessions(&mut tx, there.role).await? {
        revoke::revoke_over_limit(&mut tx, caller.user.id, Some(caller.id), None, most, actor, now).await?;
    }
    let event = AuditEvent {
        kind: AuditKind::OrganizationSwitched,
        actor,
        user: Some(caller.user.id),
        session: Some(caller.id),
        reason: None,
        detail: json!({ "from": caller.organization.as_ref().map(|from| from.id), "to": to }),
    };
    audit::record(&mut tx, event, now).await?;
    events::publish_organization_switched(&mut tx, caller.user.id, caller.id, now).await?;
    tx.commit().await?;
    Ok(there.organization)
}
