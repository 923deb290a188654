//! `/dashboard/admin/audit`: the audit log.

mod list;
mod view;

pub use list::AuditList;
pub use view::render;
