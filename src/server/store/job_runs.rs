//! The last run of each job on any node.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::server::database::Connection;

/// Starts a run. `false`: another node started one less than `interval` ago. Keeps the end of the last completed run,
/// so that interrupted runs are noticed.
pub async fn start(
    conn: &mut Connection,
    job: &str,
    interval: TimeDelta,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "
        INSERT INTO job_runs AS r (job, started_at) VALUES ($1, $2)
        ON CONFLICT (job) DO UPDATE SET started_at = $2 WHERE r.started_at <= $3
        ",
        job,
        now,
        now - interval,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Records the end of a run and its report.
pub async fn finish(
    conn: &mut Connection,
    job: &str,
    report: &Value,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE job_runs SET finished_at = $2, succeeded_at = $2, report = $3 WHERE job = $1",
        job,
        now,
        report,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns when a run last finished; if none has, when the last one started. `None`: none has started.
pub async fn load_last_finished(conn: &mut Connection, job: &str) -> sqlx::Result<Option<DateTime<Utc>>> {
    let at = sqlx::query_scalar!(
        r#"SELECT COALESCE(finished_at, started_at) AS "at!" FROM job_runs WHERE job = $1"#,
        job,
    );
    at.fetch_optional(conn).await
}

/// Returns when a job last succeeded. `None`: never.
pub async fn load_last_success(conn: &mut Connection, job: &str) -> sqlx::Result<Option<DateTime<Utc>>> {
    let found = sqlx::query_scalar!("SELECT succeeded_at FROM job_runs WHERE job = $1", job)
        .fetch_optional(conn)
        .await?;
    Ok(found.flatten())
}

/// Stores a note for the next run, under its own name because [`start`] removes the last report.
pub async fn save_note(
    conn: &mut Connection,
    name: &str,
    note: &Value,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        INSERT INTO job_runs (job, started_at, finished_at, succeeded_at, report) VALUES ($1, $2, $2, $2, $3)
        ON CONFLICT (job) DO UPDATE SET started_at = $2, finished_at = $2, succeeded_at = $2, report = $3
        ",
        name,
        now,
        note,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns the stored note.
pub async fn load_note(conn: &mut Connection, name: &str) -> sqlx::Result<Option<Value>> {
    sqlx::query_scalar!("SELECT report FROM job_runs WHERE job = $1", name)
        .fetch_optional(conn)
        .await
}
