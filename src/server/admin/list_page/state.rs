//! The state of a list page: all of it is in the URL.

use domain::{
    filter::{Filter as _, InvalidFilter},
    query::{QueryFields, displayable_fields, query_param},
};
use uuid::Uuid;

use super::{FilterForm, List};
use crate::server::{
    admin::{
        html::{explain_invalid_query, url},
        pending_action::PendingAction,
    },
    services::admin::query::{InvalidQuery, ListFilter, ListQuery, QuerySource},
};

/// What the URL asks for.
#[derive(Clone, Default)]
pub struct PageState<L: List> {
    pub query: ListQuery<L::Filter>,
    /// The row whose details are open.
    pub selected: Option<Uuid>,
    /// The action that the confirmation dialog asks about.
    pub pending: Option<PendingAction>,
}

impl<L: List> PageState<L> {
    /// Parses the query of a URL, with the form that shows it. If it is invalid, the last value says why, and the form
    /// keeps what can be read.
    pub fn parse(query: &str) -> (Self, FilterForm, Option<String>) {
        let source = QuerySource::Page {
            selected: L::SELECTED,
        };
        let (list, form, problem) = match ListQuery::parse(query, source) {
            Ok(list) => {
                let values = list
                    .to_pairs()
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                let form = FilterForm::new(values.collect(), None);
                (list, form, None)
            }
            Err(error) => {
                let fields = displayable_fields(query);
                let filter = parse_valid_fields(fields.clone());
                let is_in_form = |invalid: &InvalidFilter| {
                    L::Filter::FIELDS.contains(&invalid.field) && invalid.field != "user"
                };
                let is_in_form = matches!(&error, InvalidQuery::Value(invalid) if is_in_form(invalid));
                let problem = explain_invalid_query(&error, L::LABELS, is_in_form);
                let invalid = match error {
                    InvalidQuery::Parameter(_) => None,
                    InvalidQuery::Value(invalid) => Some(invalid),
                };
                (
                    ListQuery::new(filter),
                    FilterForm::new(fields, invalid),
                    Some(problem),
                )
            }
        };
        let selected = L::SELECTED.and_then(|name| query_param(query, name)?.parse().ok());
        let state = Self {
            query: list,
            selected,
            pending: PendingAction::parse(query).filter(|action| L::has_action(*action)),
        };
        (state, form, problem)
    }

    /// The URL of this state.
    pub fn url(&self) -> String {
        let mut pairs = self.query.to_pairs();
        let after = self.query.after.as_ref().map(ToString::to_string);
        let selected = self.selected.map(|id| id.to_string());
        let pending = self.pending.map(|pending| pending.as_str().to_owned());
        let position = [
            (Some("after"), after),
            (L::SELECTED, selected),
            (Some("ask"), pending),
        ];
        pairs.extend(position.into_iter().filter_map(|(name, value)| name.zip(value)));
        url(L::PATH, pairs)
    }

    /// The same page with this dialog.
    pub fn with_pending(&self, pending: Option<PendingAction>) -> Self {
        Self {
            pending,
            ..self.clone()
        }
    }

    /// The same list with the details of this row, without a dialog.
    pub fn with_selected(&self, selected: Option<Uuid>) -> Self {
        Self {
            selected,
            pending: None,
            ..self.clone()
        }
    }

    /// The page of the same list that starts there, without details.
    pub fn starting_after(&self, after: Option<<L::Filter as ListFilter>::Cursor>) -> Self {
        let mut page = self.with_selected(None);
        page.query.after = after;
        page
    }
}

/// The filter of the valid fields. It lists nothing; the page uses it to show and record what it names.
fn parse_valid_fields<F: ListFilter>(mut fields: QueryFields) -> F {
    loop {
        match F::parse(&fields) {
            Ok(filter) => return filter,
            Err(invalid) if fields.remove(invalid.field).is_some() => {}
            Err(_) => return F::default(),
        }
    }
}
