//! Password attempts, counted before the password is verified.

use chrono::{DateTime, TimeDelta, Utc};

use crate::server::database::Connection;

/// The SHA-256 of what attempts are counted by, so that the table contains no emails or addresses.
pub type Bucket = [u8; 32];

/// Why no attempt is left.
pub struct ExhaustedBucket {
    /// The end of the window.
    pub until: DateTime<Utc>,
    /// Attempts are still in progress; not all have failed.
    pub in_progress: bool,
    /// This is the first refusal for failures in this window.
    pub first: bool,
}

/// Attempts in progress for longer are lost: their server was killed or could not reach the database.
const LOST_AFTER: TimeDelta = TimeDelta::seconds(60);

/// Takes one of `most` attempts in a window that starts with the first attempt. `false`: none is left.
pub async fn take(
    conn: &mut Connection,
    bucket: &Bucket,
    most: i32,
    window: TimeDelta,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let taken = sqlx::query_scalar!(
        "
        INSERT INTO password_attempts AS a (bucket, window_ends_at, taken, last_taken_at) VALUES ($1, $2, 1, $3)
        ON CONFLICT (bucket) DO UPDATE SET
            taken = CASE
                WHEN a.window_ends_at <= $3 THEN 1
                WHEN a.last_taken_at <= $5 THEN a.failed + 1
                ELSE a.taken + 1
            END,
            failed = CASE WHEN a.window_ends_at <= $3 THEN 0 ELSE a.failed END,
            refused = a.window_ends_at > $3 AND a.refused,
            window_ends_at = CASE WHEN a.window_ends_at <= $3 THEN $2 ELSE a.window_ends_at END,
            last_taken_at = $3
        WHERE a.window_ends_at <= $3 OR a.taken < $4 OR (a.last_taken_at <= $5 AND a.failed < $4)
        RETURNING taken
        ",
        &bucket[..],
        now + window,
        now,
        most,
        now - LOST_AFTER,
    )
    .fetch_optional(&mut *conn)
    .await?;
    Ok(taken.is_some())
}

/// Returns why [`take`] failed. Only refusals for failures are remembered.
pub async fn load_exhausted(
    conn: &mut Connection,
    bucket: &Bucket,
    most: i32,
    now: DateTime<Utc>,
) -> sqlx::Result<ExhaustedBucket> {
    let row = sqlx::query!(
        "
        WITH before AS (SELECT bucket, refused, failed FROM password_attempts WHERE bucket = $1 FOR UPDATE)
        UPDATE password_attempts a SET refused = a.refused OR a.failed >= $2 FROM before b WHERE a.bucket = b.bucket
        RETURNING a.window_ends_at, b.refused AS refused_before, b.failed
        ",
        &bucket[..],
        most,
    )
    .fetch_optional(conn)
    .await?;
    Ok(match row {
        Some(row) => ExhaustedBucket {
            until: row.window_ends_at,
            in_progress: row.failed < most,
            first: !row.refused_before,
        },
        // The window has ended and the row was cleaned up meanwhile.
        None => ExhaustedBucket {
            until: now,
            in_progress: true,
            first: false,
        },
    })
}

/// Adds one to a count whose window starts with the first, and returns the count.
pub async fn count(
    conn: &mut Connection,
    bucket: &Bucket,
    window: TimeDelta,
    now: DateTime<Utc>,
) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        "
        INSERT INTO password_attempts AS a (bucket, window_ends_at, taken) VALUES ($1, $2, 1)
        ON CONFLICT (bucket) DO UPDATE SET
            taken = CASE WHEN a.window_ends_at <= $3 THEN 1 ELSE LEAST(a.taken, 1000000000) + 1 END,
            window_ends_at = CASE WHEN a.window_ends_at <= $3 THEN $2 ELSE a.window_ends_at END
        RETURNING taken
        ",
        &bucket[..],
        now + window,
        now,
    )
    .fetch_one(conn)
    .await
}

/// Returns an attempt: the password was correct or was not verified.
pub async fn give_back(conn: &mut Connection, bucket: &Bucket) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE password_attempts SET taken = GREATEST(taken - 1, failed) WHERE bucket = $1",
        &bucket[..],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records that an attempt failed.
pub async fn record_failure(conn: &mut Connection, bucket: &Bucket) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE password_attempts SET failed = failed + 1, taken = GREATEST(taken, failed + 1) WHERE bucket = $1",
        &bucket[..],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Resets a count.
pub async fn reset(conn: &mut Connection, bucket: &Bucket) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM password_attempts WHERE bucket = $1", &bucket[..])
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes counts whose window has ended.
pub async fn delete_expired(conn: &mut Connection, now: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "
        DELETE FROM password_attempts WHERE bucket IN (
            SELECT bucket FROM password_attempts WHERE window_ends_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        ",
        now,
        most,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
