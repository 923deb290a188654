//! Statistics over time. Each statement reads one range of one index, from `from` to `until`, and groups by the start
//! of the step. With an organization, only its current members count.

use chrono::{DateTime, TimeDelta, Utc};

use crate::server::database::Connection;
use domain::ids::OrganizationId;

/// A period divided into steps.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub length: TimeDelta,
}

impl Steps {
    /// Returns the step in seconds, for a Postgres interval.
    fn seconds(self) -> f64 {
        self.length.as_seconds_f64()
    }
}

/// Number of live sessions at the end of a step.
#[derive(Debug)]
pub struct LiveCount {
    pub step: DateTime<Utc>,
    pub role: String,
    pub kind: String,
    pub live: i64,
}

/// Returns the last sample of each step. Steps without a sample are missing.
pub async fn count_live_from_samples(conn: &mut Connection, steps: Steps) -> sqlx::Result<Vec<LiveCount>> {
    sqlx::query_as!(
        LiveCount,
        r#"
        WITH last AS (
            SELECT date_bin(make_interval(secs => $3), at, $1) AS step, max(at) AS at FROM session_samples
            WHERE at BETWEEN $1 AND $2 GROUP BY 1
        )
        SELECT l.step AS "step!", s.role, s.kind, s.live::bigint AS "live!"
        FROM last l JOIN session_samples s ON s.at = l.at ORDER BY 1, 2, 3
        "#,
        steps.from,
        steps.until,
        steps.seconds(),
    )
    .fetch_all(conn)
    .await
}

/// Number of sessions that were live from moment `first` to moment `last`, counted from 0.
#[derive(Debug)]
pub struct LiveRange {
    pub role: String,
    pub kind: String,
    pub first: i32,
    pub last: i32,
    pub sessions: i64,
}

/// Counts the sessions of an organization's members that were live at the given moments, which are in order. Uses start
/// and end times, so each session is read once for any number of moments.
pub async fn count_live_in_organization(
    conn: &mut Connection,
    organization: OrganizationId,
    moments: &[DateTime<Utc>],
) -> sqlx::Result<Vec<LiveRange>> {
    let Some(&from) = moments.first() else {
        return Ok(Vec::new());
    };
    sqlx::query_as!(
        LiveRange,
        r#"
        WITH members AS (
            SELECT m.user_id, effective_role(u.role, m.role) AS role
            FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.organization_id = $1
        ), lived AS (
            SELECT user_id, kind, created_at AS began, ended_at AS ended FROM sessions WHERE ended_at > $3
            UNION ALL
            SELECT user_id, kind, created_at, live_until FROM session_state
            WHERE ended_at IS NULL AND user_id IN (SELECT user_id FROM members)
        ), numbered AS (
            -- How many of the moments are before it began, and before it ended: in between it was live.
            SELECT role, kind, width_bucket(began - interval '1 microsecond', $2::timestamptz[]) AS first,
                width_bucket(ended - interval '1 microsecond', $2::timestamptz[]) - 1 AS last
            FROM lived JOIN members USING (user_id) WHERE ended > began
        )
        SELECT role AS "role!", kind AS "kind!", first AS "first!", last AS "last!", count(*) AS "sessions!" FROM numbered
        WHERE first <= last GROUP BY role, kind, first, last ORDER BY role, kind
        "#,
        organization as _,
        moments,
        from,
    )
    .fetch_all(conn)
    .await
}

/// Numbers of sign-ins in a step.
#[derive(Debug)]
pub struct SignInCounts {
    pub step: DateTime<Utc>,
    pub succeeded: i64,
    /// Refused or throttled.
    pub failed: i64,
}

pub async fn count_sign_ins(
    conn: &mut Connection,
    organization: Option<OrganizationId>,
    steps: Steps,
) -> sqlx::Result<Vec<SignInCounts>> {
    sqlx::query_as!(
        SignInCounts,
        r#"
        SELECT date_bin(make_interval(secs => $3), at, $1) AS "step!",
            count(*) FILTER (WHERE kind = 'signed_in') AS "succeeded!",
            count(*) FILTER (WHERE kind <> 'signed_in') AS "failed!"
        FROM audit_events
        WHERE kind IN ('signed_in', 'sign_in_failed', 'sign_in_throttled') AND at BETWEEN $1 AND $2
            AND ($4::uuid IS NULL OR user_id IN (SELECT m.user_id FROM memberships m WHERE m.organization_id = $4))
        GROUP BY 1
        "#,
        steps.from,
        steps.until,
        steps.seconds(),
        organization as _,
    )
    .fetch_all(conn)
    .await
}

/// The sessions that ended in a step, for one reason or all together.
#[derive(Debug)]
pub struct EndedSessions {
    pub step: DateTime<Utc>,
    /// `None`: all of the step. Text, because a newer server may record reasons that this one does not know.
    pub reason: Option<String>,
    pub sessions: i64,
    /// Durations in seconds.
    pub average: f64,
    pub median: f64,
}

pub async fn count_ended(
    conn: &mut Connection,
    organization: Option<OrganizationId>,
    steps: Steps,
) -> sqlx::Result<Vec<EndedSessions>> {
    sqlx::query_as!(
        EndedSessions,
        r#"
        SELECT step AS "step!", reason AS "reason: _", count(*) AS "sessions!", avg(seconds) AS "average!",
            percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS "median!"
        FROM (
            SELECT date_bin(make_interval(secs => $3), ended_at, $1) AS step, end_reason AS reason,
                extract(epoch FROM ended_at - created_at)::float8 AS seconds
            FROM sessions
            WHERE ended_at BETWEEN $1 AND $2
                AND ($4::uuid IS NULL OR user_id IN (SELECT m.user_id FROM memberships m WHERE m.organization_id = $4))
        ) AS ended GROUP BY GROUPING SETS ((step, reason), (step))
        "#,
        steps.from,
        steps.until,
        steps.seconds(),
        organization as _,
    )
    .fetch_all(conn)
    .await
}

/// Numbers of presented refresh tokens in a step, on all nodes.
#[derive(Debug)]
pub struct RefreshCounts {
    pub step: DateTime<Utc>,
    pub exchanged: i64,
    pub refused: i64,
}

pub async fn count_refreshes(conn: &mut Connection, steps: Steps) -> sqlx::Result<Vec<RefreshCounts>> {
    sqlx::query_as!(
        RefreshCounts,
        r#"
        SELECT date_bin(make_interval(secs => $3), minute, $1) AS "step!",
            sum(refreshes)::bigint AS "exchanged!", sum(refresh_failures)::bigint AS "refused!"
        FROM node_minutes WHERE minute BETWEEN $1 AND $2 GROUP BY 1
        "#,
        steps.from,
        steps.until,
        steps.seconds(),
    )
    .fetch_all(conn)
    .await
}

/// Milliseconds from the end of a session to the close of its last stream, on all nodes.
#[derive(Debug)]
pub struct RevocationLatency {
    pub step: DateTime<Utc>,
    pub median: f64,
    pub slowest: f64,
}

pub async fn load_revocation_latency(
    conn: &mut Connection,
    steps: Steps,
) -> sqlx::Result<Vec<RevocationLatency>> {
    sqlx::query_as!(
        RevocationLatency,
        r#"
        SELECT date_bin(make_interval(secs => $3), minute, $1) AS "step!",
            percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS "median!", max(ms)::float8 AS "slowest!"
        FROM node_minutes, unnest(closing_ms) AS ms WHERE minute BETWEEN $1 AND $2 GROUP BY 1
        "#,
        steps.from,
        steps.until,
        steps.seconds(),
    )
    .fetch_all(conn)
    .await
}
