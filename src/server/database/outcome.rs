//! Verifies the outcome of a transaction whose response to COMMIT was lost.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio::time::{Instant, sleep, timeout_at};

use super::{connector::Connector, session_settings::SessionSettings};

/// How long to ask for the outcome.
const VERIFICATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Delay between attempts.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Identifies a transaction after its connection was lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct TransactionId {
    /// From `pg_current_xact_id()`.
    pub xid: u64,
    /// The backend process of its connection.
    pub pid: i32,
    /// Timeline of the write-ahead log. On another timeline, the same `xid` may belong to another transaction.
    pub timeline: i32,
}

/// SQL for the timeline of a primary. It changes with a failover, not with a restart.
pub(super) const TIMELINE: &str = "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    RolledBack,
    Unknown,
}

/// Asks for the outcome on another connection until it is known or time is up. Terminates a transaction that still
/// waits for its COMMIT, so that it cannot commit later.
pub(super) async fn verify(connector: &Connector, id: TransactionId) -> Outcome {
    let until = Instant::now() + VERIFICATION_TIMEOUT;
    let verifying = async {
        loop {
            match query_outcome(connector, id).await {
                Ok(Some(outcome)) => return outcome,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, xid = id.xid, "commit outcome not read, retrying"),
            }
            sleep(RETRY_DELAY).await;
        }
    };
    let outcome = timeout_at(until, verifying).await.unwrap_or(Outcome::Unknown);
    tracing::warn!(
        xid = id.xid,
        ?outcome,
        "response to commit lost, outcome verified"
    );
    outcome
}

/// `None`: not decided yet.
async fn query_outcome(
    connector: &Connector,
    TransactionId { xid, pid, timeline }: TransactionId,
) -> sqlx::Result<Option<Outcome>> {
    // As the owner: other roles may not terminate a connection of the owner.
    let mut conn = connector.connect(&SessionSettings::for_long_work()).await?;
    // One message, since each costs seconds on a slow link. A standby may lag behind the commit.
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
        // After a failover the commit may be lost and its number reused.
        Some("foreign") => Some(Outcome::Unknown),
        _ => None,
    })
}
