//! What became of a transaction whose answer to COMMIT was lost.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio::time::{Instant, sleep, timeout_at};

use super::{connector::Connector, session_settings::SessionSettings};

/// How long the outcome is asked for.
const VERIFICATION: Duration = Duration::from_secs(5);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// How a transaction is found again.
#[derive(Clone, Copy, Debug)]
pub(super) struct TransactionId {
    /// As `pg_current_xact_id()` gives it.
    pub xid: u64,
    /// The process that serves its connection.
    pub pid: i32,
    /// The one that it is written to: another may have given the same `xid` to another transaction.
    pub timeline: i32,
}

/// The timeline of a primary, which begins a new one when it takes over from another. A restart does not.
pub(super) const TIMELINE: &str = "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    RolledBack,
    Unknown,
}

/// Asks on a connection of its own, again and again, until it is known or the time is over. A transaction that still
/// waits for its COMMIT is ended, so that it cannot be committed after the answer.
pub(super) async fn verify(connector: &Connector, id: TransactionId) -> Outcome {
    let until = Instant::now() + VERIFICATION;
    let verifying = async {
        loop {
            match ask(connector, id).await {
                Ok(Some(outcome)) => return outcome,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, xid = id.xid, "commit outcome not read, retrying"),
            }
            sleep(PAUSE).await;
        }
    };
    let outcome = timeout_at(until, verifying).await.unwrap_or(Outcome::Unknown);
    tracing::warn!(xid = id.xid, ?outcome, "answer to commit lost, outcome verified");
    outcome
}

/// `None`: not decided yet.
async fn ask(
    connector: &Connector,
    TransactionId { xid, pid, timeline }: TransactionId,
) -> sqlx::Result<Option<Outcome>> {
    // As the owner: another role may not end a connection of the owner's.
    let mut conn = connector.connect(&SessionSettings::for_long_work()).await?;
    // As one message: on a slow link each costs seconds. A standby may not have heard of the commit.
    let status = format!(
        "SELECT CASE WHEN pg_is_in_recovery() THEN NULL WHEN {TIMELINE} <> {timeline} THEN 'foreign'
                ELSE pg_xact_status('{xid}'::xid8) END AS status,
            (SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a
                WHERE a.pid = {pid} AND a.backend_xid = '{xid}'::xid8::xid) AS ended"
    );
    let row = sqlx::raw_sql(AssertSqlSafe(status)).fetch_one(&mut conn).await?;
    let status: Option<String> = row.try_get("status")?;
    drop(conn.close().await);
    Ok(match status.as_deref() {
        Some("committed") => Some(Outcome::Committed),
        Some("aborted") => Some(Outcome::RolledBack),
        // After a failover: the commit may be lost, and the number given anew.
        Some("foreign") => Some(Outcome::Unknown),
        _ => None,
    })
}
