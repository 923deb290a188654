//! `/dashboard/admin/sessions`: the sessions of users in scope, live or ended.

mod list;
mod panel;
mod view;

pub use list::{SessionsList, SessionsPage, SessionsPageState};
pub use view::render;
