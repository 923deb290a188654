//! Selects another active organization in the caller's session. Other sessions of the user do not change.

use domain::{ids::OrganizationId, organization::Organization};

use crate::{
    error::{AppError, Resource},
    server::{
        auth::current_session::{Client, CurrentSession},
        services::{denials::DenialRecorder, revoke},
        state::AppState,
        store::{
            audit::{self, AuditEvent},
            caller_transaction::CallerTransaction,
            events, organizations, policies, sessions,
        },
    },
};

/// Selects an organization. If the user's role there is different, the credential is rotated (ASVS 5.0, 7.2.4).
///
/// # Errors
/// [`AppError::NotFound`] if the user is not a member; [`AppError::SignInTooOld`] if the limits of the new role would end this
/// session at once; [`AppError::SessionEnded`] if it has ended. Nothing is changed then.
pub async fn switch_organization(
    state: &AppState,
    caller: &CurrentSession,
    to: OrganizationId,
    client: &Client,
) -> Result<Organization, AppError> {
    // Write all known activity first: it decides about the idle timeout.
    state.activity.flush(&state.database).await?;
    let ip_address = Some(client.ip_address);
    let mut tx = CallerTransaction::begin(&state.database, &state.clock, caller, ip_address).await?;
    sessions::lock_open_of(&mut tx, caller.user.id).await?;
    let now = tx.now();
    // Clean-up does not take the user's lock.
    if let Some(reason) = sessions::find_end_reason(&mut tx, caller.id, now).await? {
        return Err(AppError::SessionEnded { reason });
    }
    let memberships = organizations::list_for_user(&mut tx, caller.user.id).await?;
    let there = memberships
        .into_iter()
        .find(|membership| membership.organization.id == to);
    let Some(there) = there else {
        drop(tx);
        let recorder = DenialRecorder {
            database: &state.database,
            clock: &state.clock,
            caller,
            ip_address: client.ip_address,
        };
        recorder.record_foreign("wanted_organization_id", to.0).await?;
        return Err(AppError::NotFound(Resource::Organization));
    };
    let other_role = there.role != caller.user.role;
    sessions::switch_organization(&mut tx, to, other_role).await?;
    if sessions::find_end_reason(&mut tx, caller.id, now)
        .await?
        .is_some()
    {
        return Err(AppError::SignInTooOld);
    }
    // Apply the session limit of the new role, as at a sign-in.
    let actor = tx.actor();
    if let Some(most) = policies::load_max_sessions(&mut tx, there.role).await? {
        revoke::revoke_over_limit(&mut tx, caller.user.id, Some(caller.id), None, most, actor, now).await?;
    }
    let event =
        AuditEvent::organization_switched(actor, caller.organization.as_ref().map(|from| from.id), to);
    audit::record(&mut tx, event, now).await?;
    events::publish_organization_switched(&mut tx, caller.user.id, caller.id, now).await?;
    tx.commit().await?;
    Ok(there.organization)
}
