//! What the page lists.

use domain::{
    admin::{AdminSession, SessionStatus, TimelineEntry},
    ids::{SessionId, UserId},
    session_filter::{SessionFilter, StateFilter},
};
use uuid::Uuid;

use crate::{
    error::AppError,
    server::{
        admin::{
            list_page::{List, ListPage, PageState},
            load_dialog::DialogSubject,
            paths,
            user_details::{MAX_SESSIONS, UserDetails, load_user_details},
        },
        services::admin::{
            AdminRequest,
            sessions::{self, Page, SessionsQuery},
            timeline,
        },
        store::cursor::Cursor,
    },
};

#[derive(Clone, Default)]
pub struct SessionsList;

pub type SessionsPageState = PageState<SessionsList>;
pub type SessionsPage = ListPage<SessionsList>;

/// The selected session.
pub struct SessionDetails {
    pub session: AdminSession,
    pub timeline: Vec<TimelineEntry>,
    /// Its user, with their other live sessions.
    pub user: UserDetails,
}

impl List for SessionsList {
    type Filter = SessionFilter;
    type Rows = Page;
    type Details = SessionDetails;

    const PATH: &'static str = paths::SESSIONS;
    const SELECTED: Option<&'static str> = Some("session");
    const NOT_SHOWN: &'static str = "That session is not there, or not yours to see.";

    async fn record_filter(admin: &AdminRequest, filter: &SessionFilter) -> Result<(), AppError> {
        match filter.user {
            Some(user) => admin.record_user_out_of_scope(user).await,
            None => Ok(()),
        }
    }

    async fn load_rows(admin: &AdminRequest, query: &SessionsQuery) -> Result<Page, AppError> {
        sessions::list(admin, query).await
    }

    fn next(rows: &Page) -> Option<&Cursor> {
        rows.next.as_ref()
    }

    async fn load_details(admin: &AdminRequest, id: Uuid) -> Result<SessionDetails, AppError> {
        let details = load_session_details(admin, SessionId(id)).await;
        if let Err(AppError::NotFound(_)) = details {
            admin.record_foreign_id("session_id", id).await?;
        }
        details
    }

    fn dialog_subject<'a>(
        query: &'a SessionsQuery,
        details: Option<&'a SessionDetails>,
    ) -> DialogSubject<'a> {
        DialogSubject {
            user: details.map(|details| &details.user),
            session: details.map(|details| &details.session),
            listed: Some(&query.filter),
        }
    }
}

async fn load_session_details(admin: &AdminRequest, id: SessionId) -> Result<SessionDetails, AppError> {
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

impl SessionsPageState {
    /// All sessions of a user, live and ended.
    pub fn of_user(user: UserId) -> Self {
        let filter = SessionFilter {
            user: Some(user),
            state: Some(StateFilter::All),
            ..SessionFilter::default()
        };
        Self {
            query: SessionsQuery::new(filter),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_state_round_trips_through_the_url() {
        let query = "kind=browser&sort=person&session=6b1ad9b3-54f4-4bd0-9b3a-1c8ad6f3b9b1&ask=end_person";
        let (state, _, problem) = SessionsPageState::parse(query);
        assert_eq!(
            (state.url(), problem),
            (format!("{}?{query}", SessionsList::PATH), None)
        );
        let (state, form, problem) = SessionsPageState::parse("kind=phone&ask=nothing");
        assert_eq!(
            (state.pending, state.query.filter),
            (None, SessionFilter::default())
        );
        assert_eq!(form.value("kind"), "phone");
        assert!(problem.is_some_and(|problem| problem.contains("kind")));
    }
}
