//! Loads the page.

use chrono::{DateTime, Utc};
use domain::admin_permission::Denied;

use super::query::PeoplePageState;
use crate::{
    error::AppError,
    server::{
        admin::{
            PageRequest,
            confirm_dialog::ConfirmDialog,
            load_dialog::{DialogSubject, load_dialog},
            user_details::{MAX_SESSIONS, UserDetails, load_user_details},
        },
        services::admin::people_list::{self, Page},
    },
};

/// The loaded page.
pub struct PeoplePage {
    pub state: PeoplePageState,
    /// Why the query is invalid, or the selected user is not shown.
    pub problem: Option<String>,
    /// The result of the form that was sent before, without JavaScript.
    pub outcome: Option<String>,
    /// The name of the organization in scope. `None`: everyone.
    pub organization: Option<String>,
    /// `None`: the query is invalid.
    pub page: Option<Page>,
    pub details: Option<UserDetails>,
    pub dialog: Option<ConfirmDialog>,
    pub now: DateTime<Utc>,
}

pub async fn load_people_page(request: &PageRequest<'_>) -> Result<PeoplePage, AppError> {
    let admin = request.admin;
    let (mut state, mut problem) = PeoplePageState::parse(request.query);
    let page = match problem {
        None => Some(people_list::list(admin, &state.query).await?),
        Some(_) => None,
    };
    let details = match state.selected {
        None => None,
        Some(id) => match load_user_details(admin, id, MAX_SESSIONS).await {
            Ok(details) => Some(details),
            Err(AppError::NotFound(_)) => {
                admin.record_foreign_id("person_id", id.0).await?;
                problem.get_or_insert(Denied::OutOfScope.message().to_owned());
                state = state.with_selected(None);
                None
            }
            Err(error) => return Err(error),
        },
    };
    let subject = DialogSubject {
        user: details.as_ref(),
        session: None,
        listed: None,
    };
    let dialog = load_dialog(request, state.pending, subject).await?;
    Ok(PeoplePage {
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
