//! Password checks, counted before the password is looked at.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

/// What attempts are counted by, as SHA-256: neither emails nor addresses stand in this table.
pub type Bucket = [u8; 32];

/// What came of asking for one more attempt.
pub enum Taking {
    Taken,
    /// None is left until then. `first`: nobody was refused in this window before.
    Refused {
        until: DateTime<Utc>,
        first: bool,
    },
}

/// Takes one attempt of `most` in a window that begins with the first. A refused one is not counted.
pub async fn take(
    conn: &mut PgConnection,
    bucket: &Bucket,
    most: i32,
    window: TimeDelta,
    now: DateTime<Utc>,
) -> sqlx::Result<Taking> {
    let taken = sqlx::query_scalar!(
        "
        INSERT INTO password_attempts AS a (bucket, window_ends_at, taken) VALUES ($1, $2, 1)
        ON CONFLICT (bucket) DO UPDATE SET
            taken = CASE WHEN a.window_ends_at <= $3 THEN 1 ELSE a.taken + 1 END,
            refused = a.window_ends_at > $3 AND a.refused,
            window_ends_at = CASE WHEN a.window_ends_at <= $3 THEN $2 ELSE a.window_ends_at END
        WHERE a.window_ends_at <= $3 OR a.taken < $4
        RETURNING taken
        ",
        &bucket[..],
        now + window,
        now,
        most,
    )
    .fetch_optional(&mut *conn)
    .await?;
    if taken.is_some() {
        return Ok(Taking::Taken);
    }
    let row = sqlx::query!(
        "
        WITH before AS (SELECT bucket, refused FROM password_attempts WHERE bucket = $1 FOR UPDATE)
        UPDATE password_attempts a SET refused = true FROM before b WHERE a.bucket = b.bucket
        RETURNING a.window_ends_at, b.refused AS refused_before
        ",
        &bucket[..],
    )
    .fetch_optional(conn)
    .await?;
    Ok(match row {
        Some(row) => Taking::Refused {
            until: row.window_ends_at,
            first: !row.refused_before,
        },
        // Cleaned up in between: its window had ended.
        None => Taking::Refused {
            until: now,
            first: false,
        },
    })
}

/// Counts one more in a window that begins with the first, and gives how many there are.
pub async fn count(
    conn: &mut PgConnection,
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

/// Gives an attempt back: the password was right, or was not looked at.
pub async fn give_back(conn: &mut PgConnection, bucket: &Bucket) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE password_attempts SET taken = GREATEST(taken - 1, 0) WHERE bucket = $1",
        &bucket[..],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Begins a count anew.
pub async fn forget(conn: &mut PgConnection, bucket: &Bucket) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM password_attempts WHERE bucket = $1", &bucket[..])
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes counters whose window is over.
pub async fn delete_over(conn: &mut PgConnection, now: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
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
