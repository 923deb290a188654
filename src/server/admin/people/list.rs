//! What the page lists.

use domain::{admin_permission::Denied, ids::UserId, people_filter::PeopleFilter};
use uuid::Uuid;

use crate::{
    error::AppError,
    server::{
        admin::{
            list_page::{List, ListPage, PageState},
            load_dialog::DialogSubject,
            paths,
            pending_action::PendingAction,
            user_details::{MAX_SESSIONS, UserDetails, load_user_details},
        },
        services::admin::{
            AdminRequest,
            people_list::{self, Page, PeopleQuery},
        },
        store::cursor::Cursor,
    },
};

#[derive(Clone, Default)]
pub struct PeopleList;

pub type PeoplePageState = PageState<PeopleList>;
pub type PeoplePage = ListPage<PeopleList>;

impl List for PeopleList {
    type Filter = PeopleFilter;
    type Rows = Page;
    type Details = UserDetails;

    const PATH: &'static str = paths::PEOPLE;
    const SELECTED: Option<&'static str> = Some("person");
    const NOT_SHOWN: &'static str = Denied::OutOfScope.message();

    fn has_action(action: PendingAction) -> bool {
        action.concerns_user()
    }

    async fn load_rows(admin: &AdminRequest, query: &PeopleQuery) -> Result<Page, AppError> {
        people_list::list(admin, query).await
    }

    fn next(rows: &Page) -> Option<&Cursor> {
        rows.next.as_ref()
    }

    async fn load_details(admin: &AdminRequest, id: Uuid) -> Result<UserDetails, AppError> {
        let found = load_user_details(admin, UserId(id), MAX_SESSIONS).await;
        if let Err(AppError::NotFound(_)) = found {
            admin.record_foreign_id("person_id", id).await?;
        }
        found
    }

    fn dialog_subject<'a>(_query: &'a PeopleQuery, details: Option<&'a UserDetails>) -> DialogSubject<'a> {
        DialogSubject {
            user: details,
            ..DialogSubject::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_state_round_trips_through_the_url() {
        let query =
            "q=kim&role=broker&state=new_password&person=6b1ad9b3-54f4-4bd0-9b3a-1c8ad6f3b9b1&ask=disable";
        let (state, _, problem) = PeoplePageState::parse(query);
        assert_eq!(
            (state.url(), problem),
            (format!("{}?{query}", PeopleList::PATH), None)
        );
        // The page of sessions asks about sessions.
        for query in ["ask=end_one", "ask=end_listed", "ask=nothing"] {
            assert_eq!(PeoplePageState::parse(query).0.pending, None, "{query}");
        }
        for query in ["state=gone", "rolle=broker", "session=1"] {
            let (state, _, problem) = PeoplePageState::parse(query);
            assert_eq!(state.query.filter, PeopleFilter::default());
            assert!(
                problem.is_some_and(|problem| problem.contains("in the address is")),
                "{query}"
            );
        }
    }
}
