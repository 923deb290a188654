//! `/dashboard/admin/sessions`: the sessions of users in scope, live or ended.

mod load;
mod panel;
mod query;
mod view;

pub use load::load_sessions_page;
pub use query::PATH;
pub use query::SessionsPageState;
pub use view::render;
