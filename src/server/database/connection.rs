//! A connection whose statements all have a deadline.
//!
//! [`Connection`] is the only executor that `store` gets (`clippy.toml` disallows the driver's own), so that no
//! deadline is forgotten. [`LeasedConnection`] owns it. A connection with an unread response is closed, never reused.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    FutureExt as _, Stream, StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Either, Executor, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::{
    runtime::Handle,
    time::{Sleep, sleep, timeout},
};

use super::{
    connection_checks::ConnectionChecks,
    failure::{AbandonReason, is_broken_connection, is_read_only},
};

/// Deadline of a statement. Longer than the server-side limits in `pool.rs`, so that a working server reports the
/// cause.
const STATEMENT_DEADLINE: Duration = Duration::from_secs(11);

/// Deadline of a statement that reads a few rows by key and waits for no lock.
pub const QUICK_DEADLINE: Duration = Duration::from_secs(3);

/// Deadline for rollback and test of a connection that returns to the pool.
const RELEASE_DEADLINE: Duration = Duration::from_secs(3);

/// Executes statements, each with a deadline.
pub struct Connection {
    /// `None`: returned to the pool.
    raw: Option<PoolConnection<Postgres>>,
    limit: Duration,
    state: State,
}

#[derive(Debug)]
struct State {
    /// A statement was sent, and its response is not read completely.
    is_in_flight: bool,
    is_in_transaction: bool,
    /// A statement of the transaction failed, so it cannot be committed.
    is_aborted: bool,
    checks: ConnectionChecks,
}

impl State {
    fn record_failure(&mut self, error: &sqlx::Error) {
        self.is_aborted = self.is_in_transaction;
        if is_read_only(error) {
            // The database was demoted: replace all connections.
            self.checks.distrust_idle();
        } else if !is_broken_connection(error) {
            self.is_in_flight = false;
        }
    }

    fn record_missed_deadline(&mut self, limit: Duration) -> sqlx::Error {
        self.is_aborted = self.is_in_transaction;
        self.checks.distrust_idle();
        tracing::warn!(
            limit_ms = limit.as_millis(),
            "database deadline missed, closing the connection"
        );
        AbandonReason::DeadlineMissed(limit).into()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("limit", &self.limit)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Sets the deadline of the following statements.
    pub(super) fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    pub(super) fn set_in_transaction(&mut self, is_in_transaction: bool) {
        self.state.is_in_transaction = is_in_transaction;
        self.state.is_aborted &= is_in_transaction;
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.state.is_aborted
    }

    /// Waits for the response of a statement until the deadline.
    async fn run_within<T>(
        limit: Duration,
        state: &mut State,
        response: impl Future<Output = sqlx::Result<T>>,
    ) -> sqlx::Result<T> {
        state.is_in_flight = true;
        match timeout(limit, response).await {
            Ok(Ok(response)) => {
                state.is_in_flight = false;
                Ok(response)
            }
            Ok(Err(error)) => {
                state.record_failure(&error);
                Err(error)
            }
            Err(_) => Err(state.record_missed_deadline(limit)),
        }
    }
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn fetch_many<'e, 'q, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: sqlx::Execute<'q, Postgres>,
        'q: 'e,
        E: 'q,
    {
        let Connection { raw, limit, state } = self;
        let Some(raw) = raw else {
            return stream::once(async { Err(sqlx::Error::PoolClosed) }).boxed();
        };
        state.is_in_flight = true;
        Box::pin(StatementRows {
            rows: (&mut **raw).fetch_many(query),
            until: Box::pin(sleep(*limit)),
            limit: *limit,
            state,
            is_over: false,
        })
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: sqlx::Execute<'q, Postgres>,
        'q: 'e,
        E: 'q,
    {
        let Connection { raw, limit, state } = self;
        let Some(raw) = raw else {
            return async { Err(sqlx::Error::PoolClosed) }.boxed();
        };
        let response = (&mut **raw).fetch_optional(query);
        Connection::run_within(*limit, state, response).boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        let Connection { raw, limit, state } = self;
        let Some(raw) = raw else {
            return async { Err(sqlx::Error::PoolClosed) }.boxed();
        };
        let response = (&mut **raw).prepare_with(sql, parameters);
        Connection::run_within(*limit, state, response).boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<sqlx::Describe<Postgres>>>
    where
        'c: 'e,
    {
        let Connection { raw, limit, state } = self;
        let Some(raw) = raw else {
            return async { Err(sqlx::Error::PoolClosed) }.boxed();
        };
        let response = (&mut **raw).describe(sql);
        Connection::run_within(*limit, state, response).boxed()
    }
}

/// The rows of a statement, until its deadline.
struct StatementRows<'e> {
    rows: BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>,
    until: Pin<Box<Sleep>>,
    limit: Duration,
    state: &'e mut State,
    is_over: bool,
}

impl Stream for StatementRows<'_> {
    type Item = sqlx::Result<Either<PgQueryResult, PgRow>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        let next = match this.rows.poll_next_unpin(cx) {
            Poll::Ready(next) => next,
            Poll::Pending if this.until.as_mut().poll(cx).is_pending() => return Poll::Pending,
            Poll::Pending => Some(Err(this.state.record_missed_deadline(this.limit))),
        };
        match &next {
            None => this.state.is_in_flight = false,
            Some(Ok(_)) => return Poll::Ready(next),
            Some(Err(sqlx::Error::Io(error))) if error.get_ref().is_some_and(|e| e.is::<AbandonReason>()) => {
            }
            Some(Err(error)) => this.state.record_failure(error),
        }
        this.is_over = true;
        Poll::Ready(next)
    }
}

/// A connection of the pool. Dropping it returns or closes it.
#[derive(Debug)]
pub struct LeasedConnection(Connection);

impl LeasedConnection {
    pub(super) fn new(raw: PoolConnection<Postgres>, checks: ConnectionChecks) -> Self {
        Self(Connection {
            raw: Some(raw),
            limit: STATEMENT_DEADLINE,
            state: State {
                is_in_flight: false,
                is_in_transaction: false,
                is_aborted: false,
                checks,
            },
        })
    }

    /// Shortens the deadline to [`QUICK_DEADLINE`], for statements that read a few rows by key. A dead connection is noticed
    /// sooner.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.0.limit = QUICK_DEADLINE;
        self
    }
}

impl Deref for LeasedConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for LeasedConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl Drop for LeasedConnection {
    fn drop(&mut self) {
        let Some(raw) = self.0.raw.take() else {
            return;
        };
        match Handle::try_current() {
            Ok(runtime) if !self.0.state.is_in_flight => {
                let state = &self.0.state;
                runtime.spawn(give_back(raw, state.is_in_transaction, state.checks.clone()));
            }
            _ => close(raw),
        }
    }
}

/// Rolls back an open transaction and lets the pool test the connection. The pool's own rollback has no deadline.
async fn give_back(mut raw: PoolConnection<Postgres>, is_in_transaction: bool, checks: ConnectionChecks) {
    let giving_back = async {
        if is_in_transaction {
            sqlx::raw_sql("ROLLBACK").execute(&mut *raw).await?;
        }
        raw.return_to_pool().await;
        Ok::<_, sqlx::Error>(())
    };
    match timeout(RELEASE_DEADLINE, giving_back).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => tracing::debug!(%error, "rollback failed, closing the connection"),
        Err(_) => {
            tracing::warn!("connection did not respond, closing it");
            checks.distrust_idle();
        }
    }
    close(raw);
}

/// Closes at once, without a message to the server that could block.
fn close(mut raw: PoolConnection<Postgres>) {
    // The future owns the connection and is never polled.
    drop(raw.return_to_pool());
}
