//! When each job last ran, on whichever node.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::PgConnection;

/// Begins a run, unless another node began one less than `interval` ago. False: it is not this node's turn.
pub async fn begin(
    conn: &mut PgConnection,
    job: &str,
    interval: TimeDelta,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "
        INSERT INTO job_runs AS r (job, started_at) VALUES ($1, $2)
        ON CONFLICT (job) DO UPDATE SET started_at = $2, finished_at = NULL, report = '{}' WHERE r.started_at <= $3
        ",
        job,
        now,
        now - interval,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends a run with what it did.
pub async fn finish(
    conn: &mut PgConnection,
    job: &str,
    report: &Value,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE job_runs SET finished_at = $2, report = $3 WHERE job = $1",
        job,
        now,
        report,
    )
    .execute(conn)
    .await?;
    Ok(())
}
