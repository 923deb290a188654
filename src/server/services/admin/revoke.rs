//! An administrator ends sessions: one, all of a person, or everything that a filter lists.
//!
//! Many are ended in batches of one transaction each, so that nobody waits long for a lock, and a failure in the middle
//! leaves whole batches behind: the same request goes on where it was.

use std::time::{Duration, Instant};

use serde_json::json;

use super::AdminRequest;
use domain::{
    admin::{Cutoff, RevokeProgress, RevokeTarget},
    admin_permission::AdminAction,
    ids::{SessionId, UserId},
    plain_text::parse_line,
    session::EndReason,
    session_filter::SessionFilter,
};

use crate::{
    error::AppError,
    server::{
        database::{committed_changes, is_conflict},
        services::revoke,
        state::AppState,
        store::{
            audit::{self, AuditEvent, AuditKind},
            caller_transaction::{AdminTransaction, CallerError},
            session_list::{self, SessionSelection},
            sessions::{self, EndCause, EndFilter},
            users,
        },
    },
};

/// Most sessions of one transaction.
const BATCH: i64 = 250;

/// How long one request goes on with batches: well under the time that an answer may take.
const LONG_ENOUGH: Duration = Duration::from_secs(4);

/// How often a batch is tried that gets into a deadlock with another transaction.
const RETRIES: u32 = 5;

/// Longest words for the people, in characters.
pub const MAX_NOTE: usize = 200;

/// What an administrator wants to end.
#[derive(Clone, Debug)]
pub struct Wish {
    pub which: RevokeTarget,
    /// Where a filter says which: sessions after it stay, so that users who sign in again meanwhile are not signed out
    /// once more.
    pub until: Cutoff,
    /// What the people read.
    pub note: Option<String>,
    /// The caller's own session too, where it is among them; it is the last to go.
    pub own_too: bool,
}

impl Wish {
    /// Sessions that are named, and all of a user, end whenever they were created.
    fn cutoff(&self) -> Option<Cutoff> {
        matches!(self.which, RevokeTarget::Filter(_)).then_some(self.until)
    }
}

/// The cutoff of a request that begins now.
///
/// # Errors
/// The database does not answer.
pub async fn current_cutoff(state: &AppState) -> Result<Cutoff, AppError> {
    let conn = &mut *state.database.connection().await?;
    Ok(Cutoff::Number(sessions::load_last_number(conn).await?))
}

/// Reads the words for the people.
///
/// # Errors
/// [`AppError::InvalidInput`] when they do not fit.
pub fn note(text: &str) -> Result<Option<String>, AppError> {
    parse_line(text, MAX_NOTE).map_err(|problem| {
        AppError::invalid_input(
            "reason",
            format!(
                "The reason {problem}. Nothing was changed. Write one line of at most {MAX_NOTE} characters."
            ),
        )
    })
}

/// How many live sessions the wish names, the caller's own aside, and whether that is among them.
///
/// # Errors
/// [`AppError::SessionNotFound`] for a person out of reach; [`AppError::InvalidInput`] for a filter that lists nothing live.
pub async fn count(admin: &AdminRequest, wish: &Wish) -> Result<(usize, bool), AppError> {
    let filter = filter(&wish.which)?;
    let selection = selection(admin, &filter);
    let caller = &admin.caller;
    let conn = &mut *admin.state.database.connection().await?;
    if let RevokeTarget::AllOfUser(user) = wish.which {
        admin.find_user(conn, user).await?;
    }
    let own = [caller.id];
    let (count, with_own) = match &wish.which {
        RevokeTarget::Sessions(ids) => {
            let mut listed = session_list::filter_listed(conn, selection, None, ids).await?;
            let all = listed.len();
            listed.retain(|id| *id != caller.id);
            (listed.len(), listed.len() < all)
        }
        RevokeTarget::Filter(_) | RevokeTarget::AllOfUser(_) => {
            let until = wish.cutoff();
            let others = session_list::count_live(conn, selection, until, Some(caller.id)).await?;
            let own = session_list::filter_listed(conn, selection, until, &own).await?;
            (usize::try_from(others).unwrap_or(usize::MAX), !own.is_empty())
        }
    };
    Ok((count, with_own))
}

/// Ends what the wish names, as much as fits in one request.
///
/// # Errors
/// As [`count`]. What was ended before stays ended.
pub async fn end(admin: &AdminRequest, wish: &Wish) -> Result<RevokeProgress, AppError> {
    let caller = &admin.caller;
    record_foreign(admin, &wish.which).await?;
    if let RevokeTarget::AllOfUser(user) = wish.which {
        return end_of_person(admin, wish, user).await;
    }
    let filter = filter(&wish.which)?;
    let began = Instant::now();
    let batch = Batch {
        admin,
        filter: &filter,
        wish,
    };
    let (mut left, mut with_own) = count(admin, wish).await?;
    if let RevokeTarget::Filter(_) = wish.which {
        batch.record_decision(left).await?;
    }
    let mut ended = 0;
    loop {
        let ids = batch.next().await?;
        if ids.is_empty() {
            break;
        }
        ended += batch.end(&ids).await?;
        if began.elapsed() > LONG_ENOUGH {
            break;
        }
    }
    if ended > 0 {
        (left, with_own) = count(admin, wish).await?;
    }
    // Last of all: with it the caller's right to end any other is gone.
    if left == 0 && with_own && wish.own_too {
        ended += batch.end(&[(caller.user.id, caller.id)]).await?;
    }
    tracing::info!(actor = %caller.user.id, ended, left, "an administrator ended sessions");
    Ok(RevokeProgress { ended, left })
}

/// Records ids that are not within reach. Those of a list stop at the first: one row tells of the attempt.
async fn record_foreign(admin: &AdminRequest, which: &RevokeTarget) -> Result<(), AppError> {
    match which {
        RevokeTarget::AllOfUser(user) => admin.record_user_out_of_scope(*user).await,
        RevokeTarget::Filter(filter) => match filter.user {
            Some(user) => admin.record_user_out_of_scope(user).await,
            None => Ok(()),
        },
        RevokeTarget::Sessions(ids) => {
            let foreign = {
                let conn = &mut *admin.state.database.connection().await?;
                session_list::find_first_outside(conn, admin.scope.organization, ids).await?
            };
            match foreign {
                Some(id) => admin.record_foreign_id("session_id", id.0).await,
                None => Ok(()),
            }
        }
    }
}

/// Ends every session of someone, whenever it began, in one transaction; and whoever is signing in as that person at this
/// moment, with the password that was good a moment ago, comes too late.
async fn end_of_person(admin: &AdminRequest, wish: &Wish, user: UserId) -> Result<RevokeProgress, AppError> {
    let caller = &admin.caller;
    let is_own = user == caller.user.id;
    let spared = (is_own && !wish.own_too).then_some(caller.id);
    let mut tx = admin.begin(&[user]).await?;
    let (now, actor) = (tx.now(), tx.actor());
    let target = admin.find_user(&mut tx, user).await?;
    if admin
        .permission(&target, AdminAction::RevokeSessions)
        .denied()
        .is_some()
    {
        return Err(AppError::Forbidden);
    }
    if spared.is_some() {
        // In the order of their ids, as whoever writes activity does.
        sessions::lock_open_of(&mut tx, user).await?;
    }
    let all = EndFilter {
        user,
        only: None,
        except: spared,
    };
    let note = wish.note.as_deref();
    let ended = revoke::revoke_matching(&mut tx, all, EndReason::RevokedByAdmin, note, actor, now).await?;
    users::increment_epoch(&mut tx, user).await?;
    if spared.is_some() {
        sessions::update_epoch(&mut tx).await?;
    }
    tx.commit().await?;
    let ended = revoke::live_ids(&ended).len();
    tracing::info!(actor = %caller.user.id, %user, ended, "an administrator signed someone out everywhere");
    Ok(RevokeProgress { ended, left: 0 })
}

fn filter(which: &RevokeTarget) -> Result<SessionFilter, AppError> {
    match which {
        RevokeTarget::Filter(filter) if !filter.has_condition() => Err(AppError::invalid_input(
            "filter",
            "The filter is empty. Nothing was ended. Give a condition, or state=live to end every session.",
        )),
        RevokeTarget::Filter(filter) if filter.lists_only_live() => Ok(filter.clone()),
        RevokeTarget::Filter(_) => Err(AppError::invalid_input(
            "filter",
            "Only live sessions can be ended: list live ones, without a reason.",
        )),
        RevokeTarget::Sessions(ids) if ids.is_empty() => Err(AppError::invalid_input(
            "ids",
            "The list is empty. Nothing was ended. Give the id of at least one session.",
        )),
        RevokeTarget::Sessions(_) => Ok(SessionFilter::default()),
        RevokeTarget::AllOfUser(user) => Ok(SessionFilter {
            user: Some(*user),
            ..SessionFilter::default()
        }),
    }
}

fn selection<'a>(admin: &AdminRequest, filter: &'a SessionFilter) -> SessionSelection<'a> {
    SessionSelection {
        filter,
        organization: admin.scope.organization,
        now: admin.state.clock.now(),
    }
}

struct Batch<'a> {
    admin: &'a AdminRequest,
    filter: &'a SessionFilter,
    wish: &'a Wish,
}

enum Failed {
    InConflict,
    ForGood(AppError),
}

impl From<AppError> for Failed {
    fn from(error: AppError) -> Self {
        Failed::ForGood(error)
    }
}

impl From<CallerError> for Failed {
    fn from(error: CallerError) -> Self {
        match error {
            CallerError::Database(error) => error.into(),
            error => Failed::ForGood(error.into()),
        }
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        if is_conflict(&error) {
            Failed::InConflict
        } else {
            Failed::ForGood(error.into())
        }
    }
}

impl Batch<'_> {
    /// The caller's own session is never among them.
    async fn next(&self) -> Result<Vec<(UserId, SessionId)>, AppError> {
        let but = self.admin.caller.id;
        let conn = &mut *self.admin.state.database.connection().await?;
        let selection = selection(self.admin, self.filter);
        if let RevokeTarget::Sessions(ids) = &self.wish.which {
            let mut listed = Vec::new();
            for id in session_list::filter_listed(conn, selection, None, ids).await? {
                if let Some(user) = sessions::find_owner(conn, id).await?.filter(|_| id != but) {
                    listed.push((user, id));
                }
            }
            listed.truncate(usize::try_from(BATCH).unwrap_or(usize::MAX));
            return Ok(listed);
        }
        Ok(session_list::list_live_ids(conn, selection, self.wish.until, Some(but), BATCH).await?)
    }

    async fn end(&self, ids: &[(UserId, SessionId)]) -> Result<usize, AppError> {
        for _ in 0..RETRIES {
            match self.try_end(ids).await {
                Err(Failed::InConflict) => {
                    tracing::warn!("two transactions waited for each other; once more");
                }
                Err(Failed::ForGood(error)) => return Err(error),
                Ok(ended) => return Ok(ended),
            }
        }
        Err(committed_changes::unavailable_error())
    }

    /// Ends those of `ids` that are listed still, now that nobody can change them any more.
    async fn try_end(&self, ids: &[(UserId, SessionId)]) -> Result<usize, Failed> {
        let mut people: Vec<UserId> = ids.iter().map(|(user, _)| *user).collect();
        people.sort_unstable();
        people.dedup();
        let sessions: Vec<SessionId> = ids.iter().map(|(_, session)| *session).collect();
        let mut tx = self.admin.begin(&people).await?;
        let ended = self.end_locked(&mut tx, &sessions).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// One row for the decision, beside one for each session: written first, since what follows may break off.
    async fn record_decision(&self, listed: usize) -> Result<(), AppError> {
        let mut tx = self.admin.begin(&[]).await?;
        let now = tx.now();
        let event = AuditEvent {
            kind: AuditKind::SessionsEndedByFilter,
            actor: tx.actor(),
            user: None,
            session: None,
            reason: None,
            detail: json!({
                "filter": self.filter.explicit_query(),
                "begun_by": self.wish.until.to_string(),
                "listed": listed,
                "note": self.wish.note,
            }),
        };
        audit::record(&mut tx, event, now).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn end_locked(&self, tx: &mut AdminTransaction, ids: &[SessionId]) -> sqlx::Result<usize> {
        let (actor, now) = (tx.actor(), tx.now());
        let selection = selection(self.admin, self.filter);
        let listed = session_list::filter_listed(tx, selection, self.wish.cutoff(), ids).await?;
        let note = self.wish.note.as_deref();
        let end = EndCause {
            reason: EndReason::RevokedByAdmin,
            by: actor.user(),
            by_session: actor.session(),
            note,
        };
        let ended = sessions::end_by_ids(tx, &listed, end, now).await?;
        revoke::record_all_ended(tx, &ended, note, actor, now).await?;
        Ok(ended.iter().filter(|(_, ended)| ended.was_live).count())
    }
}
