//! The paths of the admin pages.

pub const SESSIONS: &str = "/dashboard/admin/sessions";
pub const PEOPLE: &str = "/dashboard/admin/people";
pub const AUDIT: &str = "/dashboard/admin/audit";
pub const HEALTH: &str = "/dashboard/admin/health";
