//! A transaction that knows what it will have done once it is committed.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::{
    Connection, Database, changes,
    connection::{Lease, QUICK},
    failure::{Abandoned, is_broken_connection},
    outcome::{self, Outcome, TIMELINE, TransactionId},
};
use domain::session::EndReason;

use crate::server::telemetry::traces::Part;

/// For COMMIT: it waits for no lock, only for the disk.
const COMMIT: Duration = Duration::from_secs(5);

/// For a statement of a snapshot, which may read a large table.
const SNAPSHOT: Duration = Duration::from_secs(600);

/// Dropped without a commit, it has done nothing, and nothing is counted.
#[derive(Debug)]
pub struct Transaction {
    lease: Lease,
    database: Database,
    /// `None`: its commit is not verified.
    id: Option<TransactionId>,
    ended: Vec<EndReason>,
    part: Part,
}

impl Transaction {
    /// Begins it, and reads its number in the same round trip: it tells later whether it was committed.
    pub(super) async fn begin(mut lease: Lease, database: Database, part: Part) -> sqlx::Result<Self> {
        // Given up in the middle, the connection is closed: nobody else finds the transaction open.
        lease.set_in_transaction(true);
        let limit = lease.limit();
        lease.set_limit(QUICK);
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

    /// Begins one whose commit is not verified. It takes a transaction number only if it writes.
    pub(super) async fn begin_unverified(
        mut lease: Lease,
        database: Database,
        part: Part,
    ) -> sqlx::Result<Self> {
        lease.set_in_transaction(true);
        let limit = lease.limit();
        lease.set_limit(QUICK);
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

    /// Begins one that sees one moment only and writes nothing. Its statements may take ten minutes each, if the server's
    /// own limit is lifted.
    pub(super) async fn begin_snapshot(
        mut lease: Lease,
        database: Database,
        part: Part,
    ) -> sqlx::Result<Self> {
        lease.set_in_transaction(true);
        lease.set_limit(QUICK);
        (&mut *lease)
            .execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .await?;
        lease.set_limit(SNAPSHOT);
        Ok(Self {
            lease,
            database,
            id: None,
            ended: Vec::new(),
            part,
        })
    }

    /// Counts sessions as ended once this is committed.
    pub fn will_have_ended(&mut self, reasons: impl IntoIterator<Item = EndReason>) {
        self.ended.extend(reasons);
    }

    /// Commits, and counts what was done. When the answer is lost, the outcome is asked for.
    ///
    /// # Errors
    /// The database's: it was rolled back. Except for [`Abandoned::OutcomeUnknown`], which becomes
    /// [`crate::error::AppError::OutcomeUnknown`].
    pub async fn commit(self) -> sqlx::Result<()> {
        self.commit_side_record().await?;
        changes::record_commit();
        Ok(())
    }

    /// Commits what no user asked for, such as a count of attempts: when the request fails later, it may still say that
    /// nothing was changed.
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
            // Postgres would answer ROLLBACK, which the driver takes for a success.
            return Err(sqlx::Error::Protocol(
                "a statement of the transaction had failed".to_owned(),
            ));
        }
        lease.set_limit(COMMIT);
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
                Outcome::Unknown => return Err(Abandoned::OutcomeUnknown.into()),
            }
        }
        part.committed();
        for reason in ended {
            database.meters().sessions_ended.count(reason);
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
