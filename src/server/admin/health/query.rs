//! The state of the page: all of it is in the URL.

use domain::{query::query_param, statistics::Period};

/// The period of the charts. An unknown one is the last day.
pub(super) fn parse_period(query: &str) -> Period {
    match query_param(query, "period").as_deref() {
        Some("month") => Period::Month,
        _ => Period::Day,
    }
}
