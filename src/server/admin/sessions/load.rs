//! Loads the page.

use chrono::{DateTime, Utc};
use domain::{
    admin::{AdminSession, SessionStatus, TimelineEntry},
    ids::SessionId,
};

use super::query::SessionsPageState;
use crate::{
    error::{AppError, Resource},
    server::{
        admin::{
            PageRequest,
            confirm_dialog::ConfirmDialog,
            load_dialog::{DialogSubject, load_dialog},
            user_details::{MAX_SESSIONS, UserDetails, load_user_details},
        },
        services::admin::{
            AdminRequest,
            sessions::{self, Page},
            timeline,
        },
    },
};

/// The loaded page.
pub struct SessionsPage {
    pub state: SessionsPageState,
    /// Why the query is invalid, or the selected session is not shown.
    pub problem: Option<String>,
    /// The result of the form that was sent before, without JavaScript.
    pub outcome: Option<String>,
    /// The name of the organization in scope. `None`: everyone.
    pub organization: Option<String>,
    /// `None`: the query is invalid.
    pub page: Option<Page>,
    pub details: Option<SessionDetails>,
    pub dialog: Option<ConfirmDialog>,
    pub now: DateTime<Utc>,
}

/// The selected session.
pub struct SessionDetails {
    pub session: AdminSession,
    pub timeline: Vec<TimelineEntry>,
    /// Its user, with their other live sessions.
    pub user: UserDetails,
}

pub async fn load_sessions_page(request: &PageRequest<'_>) -> Result<SessionsPage, AppError> {
    let admin = request.admin;
    let (mut state, mut problem) = SessionsPageState::parse(request.query);
    if let Some(user) = state.query.filter.user {
        admin.record_user_out_of_scope(user).await?;
    }
    let page = if problem.is_none() {
        Some(sessions::list(admin, &state.query).await?)
    } else {
        // An invalid query lists nothing, and nothing of it can be revoked.
        state.pending = None;
        None
    };
    let details = match state.selected {
        None => None,
        Some(id) => match load_details(admin, id).await {
            Ok(details) => Some(details),
            Err(AppError::NotFound(Resource::Session)) => {
                admin.record_foreign_id("session_id", id.0).await?;
                problem.get_or_insert("That session is not there, or not yours to see.".to_owned());
                state = state.with_selected(None);
                None
            }
            Err(error) => return Err(error),
        },
    };
    let subject = DialogSubject {
        user: details.as_ref().map(|details| &details.user),
        session: details.as_ref().map(|details| &details.session),
        listed: Some(&state.query.filter),
    };
    let dialog = load_dialog(request, state.pending, subject).await?;
    Ok(SessionsPage {
        state,
        problem,
        outcome: request.outcome(dialog.is_some()),
        organization: admin.organization_name().map(str::to_owned),
        page,
        details,
        dialog,
        now: admin.state.clock.now(),
    })
}

async fn load_details(admin: &AdminRequest, id: SessionId) -> Result<SessionDetails, AppError> {
    let session = sessions::find(admin, id).await?;
    // One more, because the session itself is not repeated.
    let mut user = load_user_details(admin, session.user.id, MAX_SESSIONS + 1).await?;
    user.live -= i64::from(session.state == SessionStatus::Live);
    user.sessions.retain(|other| other.session.id != id);
    user.sessions.truncate(usize::from(MAX_SESSIONS));
    Ok(SessionDetails {
        timeline: timeline::load_timeline(admin, &session).await?,
        session,
        user,
    })
}
