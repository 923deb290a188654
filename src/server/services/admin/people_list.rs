//! The users in scope: list and count, with their live sessions and last activity.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{
    AdminRequest,
    query::{ListFilter, ListQuery},
};
use crate::server::database::Connection;
use domain::{
    admin::{LastActive, ListedUser},
    ids::{SessionId, UserId},
    organization::Membership,
    people_filter::PeopleFilter,
    session_filter::SessionSort,
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

/// Which users to list. The list is ordered by email.
pub type PeopleQuery = ListQuery<PeopleFilter>;

impl ListFilter for PeopleFilter {
    type Sort = ();
    type Cursor = Cursor;

    fn parse_cursor(text: &str, (): ()) -> Option<Cursor> {
        Cursor::read(text, SessionSort::User)
    }
}

/// A page of the list.
#[derive(Debug, Default)]
pub struct Page {
    pub people: Vec<ListedUser>,
    /// Rows on all pages.
    pub total: i64,
    /// Where the next page starts.
    pub next: Option<Cursor>,
}

/// Lists a page, with the count of all rows.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn list(admin: &AdminRequest, query: &PeopleQuery) -> Result<Page, AppError> {
    let selection = PeopleSelection {
        filter: &query.filter,
        organization: admin.scope.organization,
    };
    let state = &admin.state;
    let conn = &mut *state.database.connection().await?;
    // Activity that this node has not written yet.
    let recent = |session| state.activity.last_active(session);
    Ok(load_page(
        conn,
        selection,
        query.after.as_ref(),
        query.limit,
        state.clock.now(),
        recent,
    )
    .await?)
}

/// [`list`] for an operator, who has no session. `recent` returns activity that is not written yet.
///
/// # Errors
/// The database's.
pub async fn load_page(
    conn: &mut Connection,
    selection: PeopleSelection<'_>,
    after: Option<&Cursor>,
    limit: u16,
    now: DateTime<Utc>,
    recent: impl Fn(SessionId) -> Option<DateTime<Utc>>,
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
    // Administrators of an organization must not see memberships elsewhere.
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
                last_active: presence.map_or(LastActive::Never, |presence| last_active(&recent, &presence)),
                user,
                status,
            }
        })
        .collect();
    Ok(Page { people, total, next })
}

fn last_active(recent: impl Fn(SessionId) -> Option<DateTime<Utc>>, presence: &Presence) -> LastActive {
    let recent = presence.live.iter().filter_map(|session| recent(*session));
    match recent.chain(presence.last_active_at).max() {
        Some(at) => LastActive::At(at),
        None if presence.has_signed_in => LastActive::BeforeRetention,
        None => LastActive::Never,
    }
}
