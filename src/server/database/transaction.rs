//! Transactions that count their effects after the commit.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::{
    Connection, Database, committed_changes,
    connection::{LeasedConnection, QUICK_DEADLINE},
    failure::{AbandonReason, is_broken_connection},
    outcome::{self, Outcome, TIMELINE, TransactionId},
};
use domain::session::EndReason;

use crate::server::telemetry::traces::ChildSpan;

/// Deadline of COMMIT, which waits for the disk but for no lock.
const COMMIT_DEADLINE: Duration = Duration::from_secs(5);

/// Deadline of a statement in a snapshot, which may read a large table.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(600);

/// A transaction. Rolls back and counts nothing when dropped without a commit.
#[derive(Debug)]
pub struct Transaction {
    lease: LeasedConnection,
    database: Database,
    /// `None`: its commit is not verified.
    id: Option<TransactionId>,
    ended: Vec<EndReason>,
    part: ChildSpan,
}

impl Transaction {
    /// Begins a transaction and reads its id in the same round trip, to verify the outcome of COMMIT later.
    pub(super) async fn begin(
        mut lease: LeasedConnection,
        database: Database,
        part: ChildSpan,
    ) -> sqlx::Result<Self> {
        // If this is cancelled, the connection is closed, so that nobody else gets the open transaction.
        lease.set_in_transaction(true);
        let limit = lease.limit();
        lease.set_limit(QUICK_DEADLINE);
        let sql = format!(
            "BEGIN; SELECT pg_current_xact_id()::text AS xid, pg_backend_pid() AS pid, {TIMELINE} AS timeline"
        );
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut *lease).await?;
        lease.set_limit(limit);
        let xid: String = row.try_get("xid")?;
        let xid = xid
            .parse()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(Self {
            id: Some(TransactionId {
                xid,
                pid: row.try_get("pid")?,
                timeline: row.try_get("timeline")?,
            }),
            lease,
            database,
            ended: Vec::new(),
            part,
        })
    }

    /// Begins a transaction whose commit is not verified. It uses a transaction id only if it writes.
    pub(super) async fn begin_unverified(
        mut lease: LeasedConnection,
        database: Database,
        part: ChildSpan,
    ) -> sqlx::Result<Self> {
        lease.set_in_transaction(true);
        let limit = lease.limit();
        lease.set_limit(QUICK_DEADLINE);
        (&mut *lease).execute("BEGIN").await?;
        lease.set_limit(limit);
        Ok(Self {
            lease,
            database,
            id: None,
            ended: Vec::new(),
            part,
        })
    }

    /// Begins a read-only transaction with one snapshot. Each statement may take ten minutes, if the server-side limit
    /// is lifted.
    pub(super) async fn begin_snapshot(
        mut lease: LeasedConnection,
        database: Database,
        part: ChildSpan,
    ) -> sqlx::Result<Self> {
        lease.set_in_transaction(true);
        lease.set_limit(QUICK_DEADLINE);
        (&mut *lease)
            .execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .await?;
        lease.set_limit(SNAPSHOT_DEADLINE);
        Ok(Self {
            lease,
            database,
            id: None,
            ended: Vec::new(),
            part,
        })
    }

    /// Counts these sessions as ended after the commit.
    pub fn count_ended_on_commit(&mut self, reasons: impl IntoIterator<Item = EndReason>) {
        self.ended.extend(reasons);
    }

    /// Commits, and counts the sessions that ended. Verifies the outcome if the response is lost.
    ///
    /// # Errors
    /// A database error after a rollback. Exception: [`AbandonReason::OutcomeUnknown`], which becomes
    /// [`crate::error::AppError::OutcomeUnknown`].
    pub async fn commit(self) -> sqlx::Result<()> {
        self.commit_side_record().await?;
        committed_changes::record_commit();
        Ok(())
    }

    /// Commits a change that the user did not request, such as an attempt count. If the request fails later, it may
    /// still claim that nothing was changed.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub async fn commit_side_record(self) -> sqlx::Result<()> {
        let Self {
            mut lease,
            database,
            id,
            ended,
            mut part,
        } = self;
        if lease.is_aborted() {
            // Postgres would respond with ROLLBACK, which the driver treats as success.
            return Err(sqlx::Error::Protocol(
                "a statement of the transaction had failed".to_owned(),
            ));
        }
        lease.set_limit(COMMIT_DEADLINE);
        let committed = (&mut *lease).execute("COMMIT").await;
        // Committed or refused, the transaction is over.
        lease.set_in_transaction(false);
        if let Err(error) = committed {
            if !is_broken_connection(&error) {
                return Err(error);
            }
            drop(lease);
            let Some(id) = id else {
                return Err(error);
            };
            match outcome::verify(&database.connector, id).await {
                Outcome::Committed => {}
                Outcome::RolledBack => return Err(error),
                Outcome::Unknown => return Err(AbandonReason::OutcomeUnknown.into()),
            }
        }
        part.mark_committed();
        for reason in ended {
            database.metrics().sessions_ended.count(reason);
        }
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.lease
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.lease
    }
}
