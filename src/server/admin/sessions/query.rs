//! The state of the page: all of it is in the URL.

use domain::{
    ids::{SessionId, UserId},
    query::query_param,
    session_filter::{SessionFilter, StateFilter},
};

use crate::server::{
    admin::{
        confirm_dialog::{DialogContext, PendingAction},
        html::{explain_invalid_query, url},
    },
    services::admin::{query::QuerySource, sessions::SessionsQuery},
};

pub const PATH: &str = "/dashboard/admin/sessions";

/// What the URL asks for.
#[derive(Clone, Debug, Default)]
pub struct SessionsPageState {
    pub query: SessionsQuery,
    /// The session whose details are open.
    pub selected: Option<SessionId>,
    /// The action that the confirmation dialog asks about.
    pub pending: Option<PendingAction>,
}

impl SessionsPageState {
    /// Parses the query of a URL. If it is invalid, the second value says why; what can be parsed of
    /// the filter is kept for the form.
    pub fn parse(query: &str) -> (Self, Option<String>) {
        const SOURCE: QuerySource = QuerySource::Page(&["session", "ask", "begun_by", "__path", "__err"]);
        let (list, problem) = match SessionsQuery::parse(query, SOURCE) {
            Ok(list) => (list, None),
            Err(error) => {
                let filter = SessionFilter::parse(|name| query_param(query, name)).unwrap_or_default();
                let list = SessionsQuery {
                    filter,
                    ..SessionsQuery::default()
                };
                (list, Some(explain_invalid_query(error, &[])))
            }
        };
        let state = Self {
            query: list,
            selected: query_param(query, "session").and_then(|id| id.parse().ok()),
            pending: PendingAction::parse(query),
        };
        (state, problem)
    }

    /// The URL of this state.
    pub fn url(&self) -> String {
        let mut pairs = self.query.pairs();
        let after = self.query.after.as_ref();
        pairs.push(("after", after.map(|after| after.to_text()).unwrap_or_default()));
        let selected = self.selected.map(|id| id.to_string());
        pairs.push(("session", selected.unwrap_or_default()));
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

    /// The same list with the details of this session, without a dialog.
    pub fn with_selected(&self, selected: Option<SessionId>) -> Self {
        Self {
            selected,
            pending: None,
            ..self.clone()
        }
    }

    /// All sessions of a user, live and ended.
    pub fn of_user(user: UserId) -> Self {
        let filter = SessionFilter {
            user: Some(user),
            state: Some(StateFilter::All),
            ..SessionFilter::default()
        };
        Self {
            query: SessionsQuery {
                filter,
                ..SessionsQuery::default()
            },
            ..Self::default()
        }
    }

    /// The page behind the dialog.
    pub(super) fn dialog_context(&self) -> DialogContext {
        let cancel = self.with_pending(None);
        let next = match self.pending {
            Some(PendingAction::RevokeListed) => self.with_selected(None),
            _ => cancel.clone(),
        };
        DialogContext {
            cancel: cancel.url(),
            next: next.url(),
            listed: Some(self.query.filter.clone()),
            session: self.selected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_state_round_trips_through_the_url() {
        let query = "kind=browser&sort=person&session=6b1ad9b3-54f4-4bd0-9b3a-1c8ad6f3b9b1&ask=end_person";
        let (state, problem) = SessionsPageState::parse(query);
        assert_eq!((state.url(), problem), (format!("{PATH}?{query}"), None));
        let (state, problem) = SessionsPageState::parse("kind=phone&ask=nothing");
        assert_eq!(
            (state.pending, state.query.filter),
            (None, SessionFilter::default())
        );
        assert!(problem.is_some_and(|problem| problem.contains("kind")));
    }
}
