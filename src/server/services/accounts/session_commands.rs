//! Operators list and revoke sessions.

use domain::{
    ids::{SessionId, UserId},
    session::{EndReason, Session},
    session_filter::SessionFilter,
    user::User,
};

use super::{AccountError, Accounts, find_user, lock_user};
use crate::server::{
    database::Transaction,
    services::{revoke, session_view},
    store::{
        audit::Actor,
        session_list::{self, SessionSelection},
        sessions::{self, EndFilter, UserSession},
        users,
    },
};

/// The sessions to revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeTarget<'a> {
    /// All sessions of the user with this email.
    User(&'a str),
    Session(SessionId),
    Everyone,
}

impl Accounts {
    /// Revokes live sessions and returns their number.
    ///
    /// # Errors
    /// [`AccountError::NoSuchUser`], [`AccountError::NoSuchSession`].
    pub async fn revoke(&self, target: RevokeTarget<'_>, note: Option<&str>) -> Result<usize, AccountError> {
        match target {
            RevokeTarget::User(email) => self.revoke_user(email, note).await,
            RevokeTarget::Session(id) => self.revoke_session(id, note).await.map(|()| 1),
            RevokeTarget::Everyone => self.revoke_everyone(note).await,
        }
    }

    /// Counts the sessions that [`Self::revoke`] would revoke.
    ///
    /// # Errors
    /// As [`Self::revoke`].
    pub async fn count_live(&self, target: RevokeTarget<'_>) -> Result<i64, AccountError> {
        let conn = &mut *self.database.connection().await?;
        let mut filter = SessionFilter::default();
        let mut only = None;
        match target {
            RevokeTarget::User(email) => {
                filter.user = Some(find_user(conn, email).await?);
            }
            RevokeTarget::Session(id) => only = Some(id),
            RevokeTarget::Everyone => {}
        }
        let now = self.clock.now();
        let selection = SessionSelection {
            filter: &filter,
            organization: None,
            now,
        };
        match only {
            None => Ok(session_list::count_live(conn, selection, None, None).await?),
            Some(id)
                if session_list::filter_listed(conn, selection, None, &[id])
                    .await?
                    .is_empty() =>
            {
                Err(AccountError::NoSuchSession(id))
            }
            Some(_) => Ok(1),
        }
    }

    /// Revokes all live sessions of a user.
    ///
    /// # Errors
    /// [`AccountError::NoSuchUser`].
    pub async fn revoke_user(&self, email: &str, note: Option<&str>) -> Result<usize, AccountError> {
        let mut tx = self.database.begin().await?;
        let user = lock_user(&mut tx, email).await?;
        let ended = self.revoke_all(&mut tx, user, note).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// Revokes one live session.
    ///
    /// # Errors
    /// [`AccountError::NoSuchSession`] if it is not live or does not exist.
    pub async fn revoke_session(&self, session: SessionId, note: Option<&str>) -> Result<(), AccountError> {
        let mut tx = self.database.begin().await?;
        let user = sessions::find_owner(&mut tx, session)
            .await?
            .ok_or(AccountError::NoSuchSession(session))?;
        users::lock(&mut tx, user).await?;
        let filter = EndFilter::One(user, session);
        let reason = EndReason::RevokedByAdmin;
        let ended =
            revoke::revoke_matching(&mut tx, filter, reason, note, Actor::default(), self.clock.now())
                .await?;
        if revoke::live_ids(&ended).is_empty() {
            return Err(AccountError::NoSuchSession(session));
        }
        tx.commit().await?;
        Ok(())
    }

    /// Revokes all live sessions, user by user. After a failure, run it again to continue.
    ///
    /// # Errors
    /// Database errors.
    pub async fn revoke_everyone(&self, note: Option<&str>) -> Result<usize, AccountError> {
        let people = sessions::list_users_with_open(&mut *self.database.connection().await?).await?;
        let mut ended = 0;
        for &user in &people {
            let mut tx = self.database.begin().await?;
            users::lock(&mut tx, user).await?;
            ended += self.revoke_all(&mut tx, user, note).await?;
            tx.commit().await?;
        }
        // Rejects sign-ins in progress, which have no session yet.
        let mut tx = self.database.begin().await?;
        users::increment_epoch_except(&mut tx, &people).await?;
        // Records the end of sessions that were created meanwhile: the new epoch has ended them.
        let locked = sessions::lock_outdated_epoch(&mut tx).await?;
        let now = self.clock.now();
        let late = sessions::record_expiry(&mut tx, &locked, now).await?;
        revoke::record_ended(&mut tx, &late, None, Actor::default(), now).await?;
        ended += late.len();
        tx.commit().await?;
        Ok(ended)
    }

    /// Revokes all sessions of a user whose row is locked, for an operator.
    async fn revoke_all(
        &self,
        tx: &mut Transaction,
        user: UserId,
        note: Option<&str>,
    ) -> sqlx::Result<usize> {
        let (reason, actor) = (EndReason::RevokedByAdmin, Actor::default());
        revoke::revoke_all(tx, user, reason, note, actor, self.clock.now()).await
    }

    /// The live sessions of a user, or of all users.
    ///
    /// # Errors
    /// [`AccountError::NoSuchUser`].
    pub async fn list_sessions(&self, email: Option<&str>) -> Result<Vec<(User, Session)>, AccountError> {
        let now = self.clock.now();
        let conn = &mut *self.database.connection().await?;
        let user = match email {
            None => None,
            Some(email) => Some(find_user(conn, email).await?),
        };
        let listed = sessions::list_live(conn, user, now).await?;
        let view = |listed: UserSession| (listed.user, session_view::build(listed.session, None, None));
        Ok(listed.into_iter().map(view).collect())
    }
}
