//! The page of a list: its state in the URL, its data, and its HTML. A feature implements [`List`] and renders its rows.

mod filter_form;
mod state;
mod view;

use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use filter_form::FilterForm;
pub use state::PageState;
pub use view::{ListView, PAGING, count_heading};

use super::{
    PageRequest,
    confirm_dialog::ConfirmDialog,
    load_dialog::{DialogSubject, load_dialog},
    pending_action::PendingAction,
};
use crate::{
    error::{AppError, Resource},
    server::services::admin::{
        AdminRequest,
        query::{ListFilter, ListQuery},
    },
};

/// A list with its page.
pub trait List: Clone + Default {
    type Filter: ListFilter;
    /// The rows of one page of the list.
    type Rows: Default;
    /// The details of a row.
    type Details;

    const PATH: &'static str;

    /// The parameter with the id of the selected row. `None`: rows have no details and no actions.
    const SELECTED: Option<&'static str> = None;

    /// What the page says instead of details that the administrator may not see.
    const NOT_SHOWN: &'static str = "";

    /// The labels of filter fields that differ from their names.
    const LABELS: &'static [(&'static str, &'static str)] = &[];

    /// Whether the page can ask about this action.
    fn has_action(_action: PendingAction) -> bool {
        true
    }

    /// Records a user in the filter whom the administrator may not see.
    fn record_filter(
        _admin: &AdminRequest,
        _filter: &Self::Filter,
    ) -> impl Future<Output = Result<(), AppError>> + Send {
        async { Ok(()) }
    }

    fn load_rows(
        admin: &AdminRequest,
        query: &ListQuery<Self::Filter>,
    ) -> impl Future<Output = Result<Self::Rows, AppError>> + Send;

    /// Where the next page starts.
    fn next(rows: &Self::Rows) -> Option<&<Self::Filter as ListFilter>::Cursor>;

    /// Records an id that the administrator may not see.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    fn load_details(
        _admin: &AdminRequest,
        _id: Uuid,
    ) -> impl Future<Output = Result<Self::Details, AppError>> + Send {
        async { Err(AppError::NotFound(Resource::Address)) }
    }

    /// What an action may concern.
    fn dialog_subject<'a>(
        _query: &'a ListQuery<Self::Filter>,
        _details: Option<&'a Self::Details>,
    ) -> DialogSubject<'a> {
        DialogSubject::default()
    }
}

/// The loaded page of a list.
pub struct ListPage<L: List> {
    pub state: PageState<L>,
    pub form: FilterForm,
    /// Why the query is invalid, or the selected row is not shown.
    problem: Option<String>,
    /// The result of the form that was sent before, without JavaScript.
    outcome: Option<String>,
    /// The name of the organization in scope. `None`: everyone.
    pub organization: Option<String>,
    /// None, if the query is invalid.
    pub rows: L::Rows,
    /// Nothing is listed, because the query is invalid.
    pub is_invalid: bool,
    pub details: Option<L::Details>,
    dialog: Option<ConfirmDialog>,
    pub now: DateTime<Utc>,
}

/// Loads the page. An invalid query lists nothing, and nothing of it can be revoked.
pub async fn load_page<L: List>(request: &PageRequest<'_>) -> Result<ListPage<L>, AppError> {
    let admin = request.admin;
    let (mut state, form, mut problem) = PageState::<L>::parse(request.query);
    L::record_filter(admin, &state.query.filter).await?;
    let is_invalid = problem.is_some();
    let rows = if is_invalid {
        state.pending = None;
        L::Rows::default()
    } else {
        L::load_rows(admin, &state.query).await?
    };
    let details = match state.selected {
        None => None,
        Some(id) => match L::load_details(admin, id).await {
            Ok(details) => Some(details),
            Err(AppError::NotFound(_)) => {
                problem.get_or_insert(L::NOT_SHOWN.to_owned());
                state = state.with_selected(None);
                None
            }
            Err(error) => return Err(error),
        },
    };
    let subject = L::dialog_subject(&state.query, details.as_ref());
    let dialog = load_dialog(request, state.pending, subject).await?;
    Ok(ListPage {
        form,
        problem,
        outcome: request.outcome(dialog.is_some()),
        organization: admin.organization_name().map(str::to_owned),
        rows,
        is_invalid,
        details,
        dialog,
        now: admin.state.clock.now(),
        state,
    })
}
