//! Administrators revoke sessions: one, all of a user, or all that a filter selects.
//!
//! Many are revoked in batches of one transaction each, so that locks are short. After a failure, repeating the request
//! continues with the rest.

use std::time::{Duration, Instant};

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
        database::{TransactionError, retry_on_conflict},
        services::revoke,
        state::AppState,
        store::{
            audit::{self, AuditEvent},
            caller_transaction::AdminTransaction,
            session_list::{self, SessionSelection},
            sessions::{self, EndCause, EndFilter},
            users,
        },
    },
};

/// Most sessions of one transaction.
const BATCH: i64 = 250;

/// A request starts no batch after this time. It is well below the deadline of a response.
const TIME_LIMIT: Duration = Duration::from_secs(4);

/// The longest note, in characters.
pub const MAX_NOTE: usize = 200;

/// What an administrator asks to revoke.
#[derive(Clone, Debug)]
pub struct RevokeRequest {
    pub target: RevokeTarget,
    /// With a filter, sessions created later stay: users who sign in again are not signed out once more.
    pub until: Cutoff,
    /// The text that the users read.
    pub note: Option<String>,
    /// Also revoke the caller's own session if it is selected. It is the last.
    pub own_too: bool,
}

impl RevokeRequest {
    /// Only a filter has a cutoff.
    fn cutoff(&self) -> Option<Cutoff> {
        matches!(self.target, RevokeTarget::Filter(_)).then_some(self.until)
    }
}

/// Returns the cutoff of a request that starts now.
///
/// # Errors
/// [`AppError::Unavailable`].
pub async fn current_cutoff(state: &AppState) -> Result<Cutoff, AppError> {
    let conn = &mut *state.database.connection().await?;
    Ok(Cutoff::Number(sessions::load_last_number(conn).await?))
}

/// Parses the note for the users.
///
/// # Errors
/// [`AppError::InvalidInput`].
pub fn parse_note(text: &str) -> Result<Option<String>, AppError> {
    parse_line(text, MAX_NOTE).map_err(|problem| {
        AppError::invalid_input(
            "reason",
            format!(
                "The reason {problem}. Nothing was changed. Write one line of at most {MAX_NOTE} characters."
            ),
        )
    })
}

/// Counts the selected live sessions without the caller's own, and returns whether that is selected.
///
/// # Errors
/// [`AppError::NotFound`] for a user who is not in scope; [`AppError::InvalidInput`] for a filter that selects no live
/// sessions.
pub async fn count(admin: &AdminRequest, request: &RevokeRequest) -> Result<(usize, bool), AppError> {
    let filter = filter(&request.target)?;
    let selection = selection(admin, &filter);
    let caller = &admin.caller;
    let conn = &mut *admin.state.database.connection().await?;
    if let RevokeTarget::AllOfUser(user) = request.target {
        admin.find_user(conn, user).await?;
    }
    let own = [caller.id];
    let (count, with_own) = match &request.target {
        RevokeTarget::Sessions(ids) => {
            let mut listed = session_list::filter_listed(conn, selection, None, ids).await?;
            let all = listed.len();
            listed.retain(|id| *id != caller.id);
            (listed.len(), listed.len() < all)
        }
        RevokeTarget::Filter(_) | RevokeTarget::AllOfUser(_) => {
            let until = request.cutoff();
            let others = session_list::count_live(conn, selection, until, Some(caller.id)).await?;
            let own = session_list::filter_listed(conn, selection, until, &own).await?;
            (usize::try_from(others).unwrap_or(usize::MAX), !own.is_empty())
        }
    };
    Ok((count, with_own))
}

/// Revokes the selected sessions, as many as the time limit allows.
///
/// # Errors
/// As [`count`]. Sessions that were revoked before stay revoked.
pub async fn revoke_sessions(
    admin: &AdminRequest,
    request: &RevokeRequest,
) -> Result<RevokeProgress, AppError> {
    let caller = &admin.caller;
    record_foreign(admin, &request.target).await?;
    if let RevokeTarget::AllOfUser(user) = request.target {
        return retry_on_conflict(|| try_revoke_all_of_user(admin, request, user)).await;
    }
    let filter = filter(&request.target)?;
    let began = Instant::now();
    let batch = Batch {
        admin,
        filter: &filter,
        request,
    };
    let (mut left, mut with_own) = count(admin, request).await?;
    if let RevokeTarget::Filter(_) = request.target {
        batch.record_decision(left).await?;
    }
    let mut ended = 0;
    loop {
        let ids = batch.next().await?;
        if ids.is_empty() {
            break;
        }
        ended += batch.revoke(&ids).await?;
        if began.elapsed() > TIME_LIMIT {
            break;
        }
    }
    if ended > 0 {
        (left, with_own) = count(admin, request).await?;
    }
    // Last: without it, the caller has no permission to revoke others.
    if left == 0 && with_own && request.own_too {
        ended += batch.revoke(&[(caller.user.id, caller.id)]).await?;
    }
    tracing::info!(actor = %caller.user.id, ended, left, "sessions revoked by administrator");
    Ok(RevokeProgress { ended, left })
}

/// Records an attempt on ids that are not in scope: the first of a list.
async fn record_foreign(admin: &AdminRequest, target: &RevokeTarget) -> Result<(), AppError> {
    match target {
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

/// Revokes all sessions of a user in one transaction, and rejects sign-ins in progress.
async fn try_revoke_all_of_user(
    admin: &AdminRequest,
    request: &RevokeRequest,
    user: UserId,
) -> Result<RevokeProgress, TransactionError> {
    let caller = &admin.caller;
    let is_own = user == caller.user.id;
    let spared = (is_own && !request.own_too).then_some(caller.id);
    let mut tx = admin.begin(&[user]).await?;
    let (now, actor) = (tx.now(), tx.actor());
    let target = admin.find_user(&mut tx, user).await?;
    if admin
        .check_permission(&target, AdminAction::RevokeSessions)
        .denied()
        .is_some()
    {
        return Err(AppError::Forbidden.into());
    }
    if spared.is_some() {
        // In the order of ids, as the activity writer does.
        sessions::lock_open_of(&mut tx, user).await?;
    }
    let all = spared.map_or(EndFilter::All(user), |kept| EndFilter::AllExcept(user, kept));
    let note = request.note.as_deref();
    let ended = revoke::revoke_matching(&mut tx, all, EndReason::RevokedByAdmin, note, actor, now).await?;
    users::increment_epoch(&mut tx, user).await?;
    if spared.is_some() {
        sessions::update_epoch(&mut tx).await?;
    }
    tx.commit().await?;
    let ended = revoke::live_ids(&ended).len();
    tracing::info!(actor = %caller.user.id, %user, ended, "all sessions of user revoked by administrator");
    Ok(RevokeProgress { ended, left: 0 })
}

fn filter(target: &RevokeTarget) -> Result<SessionFilter, AppError> {
    match target {
        RevokeTarget::Filter(filter) if !filter.has_condition() => Err(AppError::invalid_input(
            "filter",
            "The filter is empty. No session was ended. Give a condition, or state=live to end every session.",
        )),
        RevokeTarget::Filter(filter) if filter.is_live_only() => Ok(filter.clone()),
        RevokeTarget::Filter(_) => Err(AppError::invalid_input(
            "filter",
            "Only live sessions can be ended: list live ones, without a reason.",
        )),
        RevokeTarget::Sessions(ids) if ids.is_empty() => Err(AppError::invalid_input(
            "ids",
            "The list is empty. No session was ended. Give the id of at least one session.",
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
    request: &'a RevokeRequest,
}

impl Batch<'_> {
    /// Selects the next sessions, without the caller's own.
    async fn next(&self) -> Result<Vec<(UserId, SessionId)>, AppError> {
        let but = self.admin.caller.id;
        let conn = &mut *self.admin.state.database.connection().await?;
        let selection = selection(self.admin, self.filter);
        if let RevokeTarget::Sessions(ids) = &self.request.target {
            let mut listed = Vec::new();
            for id in session_list::filter_listed(conn, selection, None, ids).await? {
                if let Some(user) = sessions::find_owner(conn, id).await?.filter(|_| id != but) {
                    listed.push((user, id));
                }
            }
            listed.truncate(usize::try_from(BATCH).unwrap_or(usize::MAX));
            return Ok(listed);
        }
        Ok(session_list::list_live_ids(conn, selection, self.request.until, Some(but), BATCH).await?)
    }

    async fn revoke(&self, ids: &[(UserId, SessionId)]) -> Result<usize, AppError> {
        retry_on_conflict(|| self.try_revoke(ids)).await
    }

    /// Revokes those of `ids` that are still selected once they are locked.
    async fn try_revoke(&self, ids: &[(UserId, SessionId)]) -> Result<usize, TransactionError> {
        let mut people: Vec<UserId> = ids.iter().map(|(user, _)| *user).collect();
        people.sort_unstable();
        people.dedup();
        let sessions: Vec<SessionId> = ids.iter().map(|(_, session)| *session).collect();
        let mut tx = self.admin.begin(&people).await?;
        let ended = self.revoke_locked(&mut tx, &sessions).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Records the decision, in addition to one row per session. It is first, because the rest may fail.
    async fn record_decision(&self, listed: usize) -> Result<(), AppError> {
        let mut tx = self.admin.begin(&[]).await?;
        let now = tx.now();
        let event = AuditEvent::sessions_ended_by_filter(
            tx.actor(),
            &self.filter.explicit_query(),
            &self.request.until.to_string(),
            listed,
            self.request.note.as_deref(),
        );
        audit::record(&mut tx, event, now).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn revoke_locked(&self, tx: &mut AdminTransaction, ids: &[SessionId]) -> sqlx::Result<usize> {
        let (actor, now) = (tx.actor(), tx.now());
        let selection = selection(self.admin, self.filter);
        let listed = session_list::filter_listed(tx, selection, self.request.cutoff(), ids).await?;
        let note = self.request.note.as_deref();
        let end = EndCause {
            reason: EndReason::RevokedByAdmin,
            by: actor.user(),
            by_session: actor.session(),
            note,
        };
        let ended = sessions::end_by_ids(tx, &listed, end, now).await?;
        revoke::record_ended(tx, &ended, note, actor, now).await?;
        Ok(revoke::live_ids(&ended).len())
    }
}
