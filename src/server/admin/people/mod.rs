//! `/dashboard/admin/people`: the users in scope.

mod load;
mod query;
mod view;

pub use load::load_people_page;
pub use query::PATH;
pub use view::render;
