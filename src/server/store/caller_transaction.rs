//! Transactions that act for a signed-in caller.
//!
//! Every change on behalf of a session uses one. It locks the user, then rechecks the session and the request's credential.
//! An action that waited behind the revocation of its session, or the replacement of its credential, fails and writes
//! nothing. Writes that only callers make take this type, and only this type provides the [`Actor`] that their audit rows
//! need.

use std::{
    net::IpAddr,
    ops::{Deref, DerefMut},
};

use chrono::{DateTime, Utc};

use super::{audit::Actor, session_list, sessions, users};
use domain::{
    admin_permission::AdminScope,
    ids::{SessionId, UserId},
    session::EndReason,
};

use crate::{
    error::AppError,
    server::{
        auth::current_session::CurrentSession,
        clock::Clock,
        database::{Database, Transaction, TransactionError},
    },
};

/// A transaction of a caller whose session was live, with the request's credential, after the user was locked. Rolls back
/// when dropped without a commit.
#[derive(Debug)]
pub struct CallerTransaction {
    inner: Transaction,
    user: UserId,
    session: SessionId,
    actor: Actor,
    now: DateTime<Utc>,
}

/// Why a caller may not act, or may not act any more.
#[derive(Debug)]
pub enum CallerError {
    /// The caller's session has ended, or its credential was replaced ([`EndReason::can_be_stale`]).
    Ended(EndReason),
    /// The caller is not an administrator, or not any more.
    Forbidden,
    Database(sqlx::Error),
}

impl From<sqlx::Error> for CallerError {
    fn from(error: sqlx::Error) -> Self {
        CallerError::Database(error)
    }
}

impl From<CallerError> for AppError {
    fn from(error: CallerError) -> Self {
        match error {
            CallerError::Ended(reason) => AppError::SessionEnded { reason },
            CallerError::Forbidden => AppError::Forbidden,
            CallerError::Database(error) => error.into(),
        }
    }
}

impl From<CallerError> for TransactionError {
    fn from(error: CallerError) -> Self {
        match error {
            CallerError::Database(error) => error.into(),
            error => TransactionError::Permanent(error.into()),
        }
    }
}

impl CallerTransaction {
    /// Locks the caller's user and rechecks the caller's session and credential. Whatever replaces a credential holds that
    /// lock.
    ///
    /// # Errors
    /// [`CallerError::Ended`], [`CallerError::Database`].
    pub async fn begin(
        database: &Database,
        clock: &Clock,
        caller: &CurrentSession,
        ip_address: Option<IpAddr>,
    ) -> Result<Self, CallerError> {
        Self::begin_locking(database, clock, caller, ip_address, &[]).await
    }

    /// Locks `others` as well. Users are locked in the order of their ids.
    async fn begin_locking(
        database: &Database,
        clock: &Clock,
        caller: &CurrentSession,
        ip_address: Option<IpAddr>,
        others: &[UserId],
    ) -> Result<Self, CallerError> {
        let (user, session) = (caller.user.id, caller.id);
        let mut inner = database.begin().await?;
        let mut locked = others.to_vec();
        locked.push(user);
        users::lock_all(&mut inner, &locked).await?;
        let now = clock.now();
        if let Some(reason) = sessions::refusal_reason(&mut inner, session, caller.credential, now).await? {
            return Err(CallerError::Ended(reason));
        }
        Ok(Self {
            inner,
            user,
            session,
            actor: Actor::signed_in(user, session, ip_address),
            now,
        })
    }

    /// Returns the caller's user, whose row is locked.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Returns the caller's session, which is live.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Returns the caller as the actor of audit rows.
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// Returns the time of the recheck. Everything in this transaction happens at this time.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Commits, and counts the sessions that ended.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub async fn commit(self) -> sqlx::Result<()> {
        self.inner.commit().await
    }
}

impl Deref for CallerTransaction {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        &self.inner
    }
}

impl DerefMut for CallerTransaction {
    fn deref_mut(&mut self) -> &mut Transaction {
        &mut self.inner
    }
}

/// An [`CallerTransaction`] of an administrator, whose permission was rechecked too.
#[derive(Debug)]
pub struct AdminTransaction {
    inner: CallerTransaction,
    scope: AdminScope,
}

impl AdminTransaction {
    /// Locks the caller and the users `other_users`; rechecks the caller's session and credential, and that it still
    /// administers everyone in `scope`.
    ///
    /// # Errors
    /// [`CallerError`].
    pub async fn begin(
        database: &Database,
        clock: &Clock,
        caller: &CurrentSession,
        ip_address: IpAddr,
        scope: AdminScope,
        other_users: &[UserId],
    ) -> Result<Self, CallerError> {
        let mut inner =
            CallerTransaction::begin_locking(database, clock, caller, Some(ip_address), other_users).await?;
        let now = session_list::admin_scope(&mut inner, caller.id).await?;
        if !now.is_some_and(|now| now.is_superset_of(scope)) {
            return Err(CallerError::Forbidden);
        }
        Ok(Self { inner, scope })
    }

    /// The users whom the caller administers.
    pub fn scope(&self) -> AdminScope {
        self.scope
    }

    /// Commits, and counts the sessions that ended.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub async fn commit(self) -> sqlx::Result<()> {
        self.inner.commit().await
    }
}

impl Deref for AdminTransaction {
    type Target = CallerTransaction;

    fn deref(&self) -> &CallerTransaction {
        &self.inner
    }
}

impl DerefMut for AdminTransaction {
    fn deref_mut(&mut self) -> &mut CallerTransaction {
        &mut self.inner
    }
}
