//! `/dashboard/admin/health`: statistics, checks and alerts.

mod chart;
mod load;
mod query;
mod view;

pub use load::load_health_page;
pub use view::render;
