//! The state of the page: all of it is in the URL.

use domain::{ids::UserId, people_filter::PeopleFilter, query::query_param};

use crate::server::{
    admin::{
        confirm_dialog::{DialogContext, PendingAction},
        html::{explain_invalid_query, url},
    },
    services::admin::{people_list::PeopleQuery, query::QuerySource},
};

pub const PATH: &str = "/dashboard/admin/people";

/// What the URL asks for.
#[derive(Clone, Debug, Default)]
pub struct PeoplePageState {
    pub query: PeopleQuery,
    /// The user whose details are open.
    pub selected: Option<UserId>,
    /// The action that the confirmation dialog asks about.
    pub pending: Option<PendingAction>,
}

impl PeoplePageState {
    /// Parses the query of a URL. If it is invalid, the second value says why; what can be parsed of
    /// the filter is kept for the form.
    pub fn parse(query: &str) -> (Self, Option<String>) {
        const SOURCE: QuerySource = QuerySource::Page(&["person", "ask", "begun_by", "__path", "__err"]);
        let (list, problem) = match PeopleQuery::parse(query, SOURCE) {
            Ok(list) => (list, None),
            Err(error) => {
                let filter = PeopleFilter::parse(|name| query_param(query, name)).unwrap_or_default();
                let list = PeopleQuery {
                    filter,
                    ..PeopleQuery::default()
                };
                (list, Some(explain_invalid_query(error, &[])))
            }
        };
        let state = Self {
            query: list,
            selected: query_param(query, "person").and_then(|id| id.parse().ok()),
            pending: PendingAction::parse(query).filter(|pending| pending.concerns_user()),
        };
        (state, problem)
    }

    /// The URL of this state.
    pub fn url(&self) -> String {
        let mut pairs = self.query.filter.pairs();
        let after = self.query.after.as_ref();
        pairs.push(("after", after.map(|after| after.to_text()).unwrap_or_default()));
        let selected = self.selected.map(|id| id.to_string());
        pairs.push(("person", selected.unwrap_or_default()));
        let pending = self.pending.map(PendingAction::as_str);
        pairs.push(("ask", pending.unwrap_or_default().to_owned()));
        url(PATH, pairs)
    }

    /// The same page with this dialog.
    pub fn with_pending(&self, pending: Option<PendingAction>) -> Self {
        Self {
            pending,
            ..self.clone()
        }
    }

    /// The same list with the details of this user, without a dialog.
    pub fn with_selected(&self, selected: Option<UserId>) -> Self {
        Self {
            selected,
            pending: None,
            ..self.clone()
        }
    }

    /// The page behind the dialog.
    pub(super) fn dialog_context(&self) -> DialogContext {
        let page = self.with_pending(None).url();
        DialogContext {
            cancel: page.clone(),
            next: page,
            listed: None,
            session: None,
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
        let (state, problem) = PeoplePageState::parse(query);
        assert_eq!((state.url(), problem), (format!("{PATH}?{query}"), None));
        // The page of sessions asks about sessions.
        for query in ["ask=end_one", "ask=end_listed", "ask=nothing"] {
            assert_eq!(PeoplePageState::parse(query).0.pending, None, "{query}");
        }
        for query in ["state=gone", "rolle=broker", "session=1"] {
            let (state, problem) = PeoplePageState::parse(query);
            assert_eq!(state.query.filter, PeopleFilter::default());
            assert!(
                problem.is_some_and(|problem| problem.contains("in the address is")),
                "{query}"
            );
        }
    }
}
