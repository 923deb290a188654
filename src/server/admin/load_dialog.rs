//! Loads the confirmation dialog of a page.

use domain::{
    admin::{AdminSession, RevokeTarget, SessionStatus},
    flash::FlashCode,
    query::query_param,
    session_filter::SessionFilter,
};

use super::{
    PageRequest, confirm_dialog::ConfirmDialog, pending_action::PendingAction, user_details::UserDetails,
};
use crate::{
    error::AppError,
    server::services::{
        admin::revoke::{self, RevokeRequest},
        reauthentication,
    },
    wire::error_from_query,
};

/// What the page shows, which the action may concern.
#[derive(Default)]
pub struct DialogSubject<'a> {
    /// The user whose details are open.
    pub user: Option<&'a UserDetails>,
    /// The session whose details are open.
    pub session: Option<&'a AdminSession>,
    /// The filter of the listed sessions.
    pub listed: Option<&'a SessionFilter>,
}

/// `None`: no action is pending, the page does not offer it, or it concerns nothing on the page.
pub async fn load_dialog(
    request: &PageRequest<'_>,
    pending: Option<PendingAction>,
    subject: DialogSubject<'_>,
) -> Result<Option<ConfirmDialog>, AppError> {
    let Some(action) = pending else { return Ok(None) };
    let DialogSubject {
        user,
        session,
        listed,
    } = subject;
    let (admin, query) = (request.admin, request.query);
    // The details say why an action is not permitted.
    if user.is_some_and(|user| !user.permissions.offers(action)) {
        return Ok(None);
    }
    let until = match query_param(query, "begun_by").and_then(|text| text.parse().ok()) {
        Some(until) => until,
        None => revoke::current_cutoff(&admin.state).await?,
    };
    let target = match action {
        PendingAction::RevokeListed => {
            listed.map(|filter| RevokeTarget::Filter(filter.with_explicit_state()))
        }
        PendingAction::RevokeOne => session.map(|open| RevokeTarget::Sessions(vec![open.session.id])),
        PendingAction::RevokeAllOfUser => user.map(|user| RevokeTarget::AllOfUser(user.person.user.id)),
        PendingAction::Disable
        | PendingAction::Enable
        | PendingAction::RequirePasswordChange
        | PendingAction::ChangeRole => None,
    };
    if target.is_none() && (action.is_revocation() || user.is_none()) {
        return Ok(None);
    }
    let (count, with_own) = match target {
        None => (0, false),
        Some(target) => {
            let request = RevokeRequest {
                target,
                until,
                note: None,
                own_too: false,
            };
            match revoke::count(admin, &request).await {
                Ok(counted) => counted,
                // A list of ended sessions has none to revoke.
                Err(AppError::InvalidInput { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    };
    let problem = query_param(query, "__err").map(|error| error_from_query(&error));
    let needs_password = reauthentication::is_required(&admin.state, &admin.caller)
        || matches!(problem, Some(AppError::ReauthRequired));
    Ok(Some(ConfirmDialog {
        action,
        count,
        with_own,
        listed: listed.cloned(),
        session: session.map(|open| open.session.id),
        device: session
            .filter(|open| open.state == SessionStatus::Live)
            .map(|open| open.session.device_name.clone()),
        user: user.map(|user| user.person.clone()),
        memberships: user.map(|user| user.memberships.clone()).unwrap_or_default(),
        until,
        needs_password,
        problem: problem.filter(|error| *error != AppError::ReauthRequired),
        revoked_before: request
            .flash
            .filter(|flash| flash.code == FlashCode::SessionsLeft)
            .map_or(0, |flash| flash.count),
    }))
}
