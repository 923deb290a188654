//! The administrator's people: listed and counted, with when they were there.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::AdminRequest;
use crate::server::database::Connection;
use domain::{
    admin::{LastActive, ListedUser},
    ids::{SessionId, UserId},
    organization::Membership,
    people_filter::PeopleFilter,
};

use crate::{
    error::AppError,
    server::store::{
        cursor::Cursor,
        organizations,
        people_list::{self as store, Presence},
    },
};

pub use crate::server::store::people_list::PeopleSelection;

/// A page of the list.
#[derive(Debug, Default)]
pub struct Page {
    pub people: Vec<ListedUser>,
    /// Rows of all pages together.
    pub total: i64,
    /// Where the next page begins.
    pub next: Option<Cursor>,
}

/// A page of what the filter lists, with the count of all of it.
///
/// # Errors
/// The database does not answer.
pub async fn list(
    admin: &AdminRequest,
    filter: &PeopleFilter,
    after: Option<&Cursor>,
    limit: u16,
) -> Result<Page, AppError> {
    let selection = PeopleSelection {
        filter,
        organization: admin.scope.organization,
    };
    let state = &admin.state;
    let conn = &mut *state.database.connection().await?;
    // What is noted on this node and not yet written is true already.
    let noted = |session| state.activity.last_active(session);
    Ok(load_page(conn, selection, after, limit, state.clock.now(), noted).await?)
}

/// The same for an operator, who has no session. `noted` is what a node knows and has not yet written.
///
/// # Errors
/// The database does not answer.
pub async fn load_page(
    conn: &mut Connection,
    selection: PeopleSelection<'_>,
    after: Option<&Cursor>,
    limit: u16,
    now: DateTime<Utc>,
    noted: impl Fn(SessionId) -> Option<DateTime<Utc>>,
) -> sqlx::Result<Page> {
    let (people, next) = store::load_page(conn, selection, after, limit).await?;
    let total = store::count(conn, selection).await?;
    let ids: Vec<UserId> = people.iter().map(|(user, _)| user.id).collect();
    let mut presence: HashMap<UserId, Presence> = store::load_presence(conn, &ids, now)
        .await?
        .into_iter()
        .map(|presence| (presence.user, presence))
        .collect();
    let mut memberships: HashMap<UserId, Vec<Membership>> = HashMap::new();
    // What someone is elsewhere is not for an organization's administrators to know.
    if selection.organization.is_none() {
        for (user, membership) in organizations::list_for_users(conn, &ids).await? {
            memberships.entry(user).or_default().push(membership);
        }
    }
    let people = people
        .into_iter()
        .map(|(user, status)| {
            let presence = presence.remove(&user.id);
            ListedUser {
                memberships: memberships.remove(&user.id).unwrap_or_default(),
                live: presence.as_ref().map_or(0, |presence| presence.live.len()),
                last_active: presence.map_or(LastActive::Never, |presence| last_active(&noted, &presence)),
                user,
                status,
            }
        })
        .collect();
    Ok(Page { people, total, next })
}

fn last_active(noted: impl Fn(SessionId) -> Option<DateTime<Utc>>, presence: &Presence) -> LastActive {
    let noted = presence.live.iter().filter_map(|session| noted(*session));
    match noted.chain(presence.last_active_at).max() {
        Some(at) => LastActive::At(at),
        None if presence.has_signed_in => LastActive::BeforeRetention,
        None => LastActive::Never,
    }
}
