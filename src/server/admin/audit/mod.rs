//! `/dashboard/admin/audit`: the audit log.

mod load;
mod query;
mod view;

pub use load::load_audit_page;
pub use query::PATH;
pub use view::render;
