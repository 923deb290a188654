//! `/dashboard/admin/people`: the users in scope.

mod list;
mod view;

pub use list::{PeopleList, PeoplePage};
pub use view::render;
