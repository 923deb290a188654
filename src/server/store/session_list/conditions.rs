//! SQL conditions of a session filter.

use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::SessionSelection;
use domain::session_filter::{AgeRange, SessionFilter, StateFilter, SuspicionFilter};

use crate::server::store::{like_pattern, parse_network};

/// The parts of a list. Each is found by its own indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListPart {
    /// Would authenticate now.
    Live,
    /// Expired, not recorded yet.
    Expired,
    /// Either of these: not recorded as ended.
    Open,
    /// Recorded as ended.
    Recorded,
}

pub(super) fn list_parts(filter: &SessionFilter) -> &'static [ListPart] {
    match (filter.effective_state(), filter.reason) {
        // Only ended sessions have a reason.
        (StateFilter::Live, Some(_)) => &[],
        (StateFilter::Live, None) => &[ListPart::Live],
        (StateFilter::Ended, _) | (StateFilter::All, Some(_)) => &[ListPart::Expired, ListPart::Recorded],
        (StateFilter::All, None) => &[ListPart::Open, ListPart::Recorded],
    }
}

/// The user's role in the organization of the list, or in that of the session where the list is of everyone.
pub(super) fn role_expression(selection: SessionSelection<'_>) -> &'static str {
    if selection.organization.is_some() {
        "effective_role(st.role, scope.role)"
    } else {
        "st.role"
    }
}

pub(super) fn push_from(query: &mut QueryBuilder<Postgres>, selection: SessionSelection<'_>) {
    query.push(" FROM session_state st");
    if let Some(organization) = selection.organization {
        query
            .push(" JOIN memberships scope ON scope.user_id = st.user_id AND scope.organization_id = ")
            .push_bind(organization);
    }
}

pub(super) fn push_conditions(
    query: &mut QueryBuilder<Postgres>,
    selection: SessionSelection<'_>,
    part: ListPart,
) {
    let SessionSelection { filter, now, .. } = selection;
    match part {
        ListPart::Live => {
            query
                .push(" WHERE st.ended_at IS NULL AND st.live_until > ")
                .push_bind(now);
        }
        ListPart::Expired => {
            query
                .push(" WHERE st.ended_at IS NULL AND st.live_until <= ")
                .push_bind(now);
        }
        ListPart::Open => {
            query.push(" WHERE st.ended_at IS NULL");
        }
        ListPart::Recorded => {
            query.push(" WHERE st.ended_at IS NOT NULL");
        }
    }
    if let Some(user) = filter.user {
        query.push(" AND st.user_id = ").push_bind(user);
    }
    if let Some(kind) = filter.kind {
        query.push(" AND st.kind = ").push_bind(kind);
    }
    if let Some(wanted) = filter.role {
        query
            .push(format!(" AND {} = ", role_expression(selection)))
            .push_bind(wanted);
    }
    match (filter.reason, part) {
        (None, _) | (Some(_), ListPart::Live | ListPart::Open) => {}
        (Some(reason), ListPart::Recorded) => {
            query.push(" AND st.end_reason = ").push_bind(reason);
        }
        (Some(reason), ListPart::Expired) => {
            query
                .push(" AND session_end_reason(st, ")
                .push_bind(now)
                .push(") = ")
                .push_bind(reason);
        }
    }
    if let Some(age) = filter.age {
        let (condition, age) = match age.range() {
            AgeRange::Within(age) => (" AND st.created_at > ", age),
            AgeRange::Over(age) => (" AND st.created_at <= ", age),
        };
        query.push(condition).push_bind(now - age);
    }
    if let Some(suspicion) = filter.suspicion {
        query.push(match suspicion {
            SuspicionFilter::Raised => " AND EXISTS (SELECT 1 FROM security_notices n WHERE n.session_id = st.id)",
            SuspicionFilter::Unanswered => {
                " AND EXISTS (SELECT 1 FROM security_notices n WHERE n.session_id = st.id AND n.dismissed_at IS NULL)"
            }
            SuspicionFilter::None => " AND NOT EXISTS (SELECT 1 FROM security_notices n WHERE n.session_id = st.id)",
        });
    }
    if let Some(q) = &filter.q {
        push_search(query, q, part);
    }
}

/// Searches addresses, networks and ids as such, and anything else in names.
fn push_search(query: &mut QueryBuilder<Postgres>, q: &str, part: ListPart) {
    if let Ok(id) = q.parse::<Uuid>() {
        query
            .push(" AND (st.id = ")
            .push_bind(id)
            .push(" OR st.user_id = ")
            .push_bind(id)
            .push(")");
        return;
    }
    if let Some(network) = parse_network(q).filter(|_| q.contains(['.', ':'])) {
        query.push(" AND st.ip_address <<= ").push_bind(network);
        return;
    }
    let pattern = like_pattern(q);
    let open = if part == ListPart::Recorded {
        "IS NOT NULL"
    } else {
        "IS NULL"
    };
    query
        .push(format!(
            " AND st.id IN (SELECT s.id FROM users u JOIN sessions s ON s.user_id = u.id WHERE s.ended_at {open} AND \
             (lower(u.email) LIKE lower("
        ))
        .push_bind(pattern.clone())
        .push(") OR lower(u.display_name) LIKE lower(")
        .push_bind(pattern.clone())
        .push(format!(
            ")) UNION ALL SELECT s.id FROM devices d JOIN sessions s ON s.device = d.id WHERE s.ended_at {open} AND \
             lower(d.device_name) LIKE lower("
        ))
        .push_bind(pattern)
        .push("))");
}
