//! Statistics over time. The caller must check the permission.
//!
//! Live sessions of the whole portal come from samples, since an exact count would read every session. Live sessions of an
//! organization come from the start and end of its sessions. Both are the count at the end of each step. An expired session
//! counts as ended from its expiry on, once clean-up has recorded it: after an hour at most by default.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use crate::server::database::Connection;
use domain::{
    ids::OrganizationId,
    session::EndReason,
    statistics::{Chart, Period, Point, Series, Statistics, Unit},
    user::Role,
};

use crate::server::{
    database::Database,
    store::{
        alerts,
        statistics::{self, EndedSessions, Steps},
    },
};

/// Loads the statistics of a period up to now, of the whole portal or of an organization.
///
/// # Errors
/// Database errors.
pub async fn load_statistics(
    database: &Database,
    period: Period,
    organization: Option<OrganizationId>,
    now: DateTime<Utc>,
) -> sqlx::Result<Statistics> {
    let conn = &mut *database.connection().await?;
    let axis = TimeAxis(period.step_starts(now));
    let from = axis.0.first().copied().unwrap_or(now);
    let steps = Steps {
        from,
        until: now,
        length: period.step(),
    };
    let whole = organization.is_none();
    let ended = statistics::count_ended(conn, organization, steps).await?;
    Ok(Statistics {
        period,
        from,
        until: now,
        live_sessions: match organization {
            None => load_live_by_samples(conn, &axis, steps).await?,
            Some(organization) => load_live_of_organization(conn, &axis, organization, steps).await?,
        },
        sign_ins: load_sign_ins(conn, &axis, organization, steps).await?,
        ended_sessions: build_ended_chart(&axis, &ended),
        session_length: build_length_chart(&axis, &ended),
        refreshes: if whole {
            Some(load_refreshes(conn, &axis, steps).await?)
        } else {
            None
        },
        revocation: if whole {
            Some(load_revocation(conn, &axis, steps).await?)
        } else {
            None
        },
        open_alerts: if whole {
            alerts::list_open(conn).await?
        } else {
            Vec::new()
        },
    })
}

/// The start of each step.
struct TimeAxis(Vec<DateTime<Utc>>);

impl TimeAxis {
    /// A series with one point per step. Unknown values are `missing`.
    fn series(
        &self,
        name: &str,
        label: &str,
        known: &HashMap<DateTime<Utc>, f64>,
        missing: Option<f64>,
    ) -> Series {
        let point = |at: &DateTime<Utc>| Point {
            at: *at,
            value: known.get(at).copied().or(missing),
        };
        Series {
            name: name.to_owned(),
            label: label.to_owned(),
            points: self.0.iter().map(point).collect(),
        }
    }
}

/// Converts a count. All counts are exact as `f64`.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn to_f64(count: i64) -> f64 {
    count as f64
}

type ByRoleAndKind = BTreeMap<(usize, String), HashMap<DateTime<Utc>, f64>>;

/// The position of a role among all roles. Unknown roles, from a newer server, come last.
fn role_order(role: &str) -> usize {
    let known = Role::ALL.iter().position(|known| known.as_str() == role);
    known.unwrap_or(Role::ALL.len())
}

/// A series for each role and kind with sessions.
fn build_live_chart(axis: &TimeAxis, counted: ByRoleAndKind, missing: Option<f64>) -> Chart {
    let has_any = |known: &HashMap<_, f64>| known.values().any(|live| *live > 0.0);
    let series = counted
        .iter()
        .filter(|(_, known)| has_any(known))
        .map(|((role, kind), known)| {
            let (name, label) = Role::ALL
                .get(*role)
                .map_or(("other", "Other"), |role| (role.as_str(), role.label()));
            axis.series(
                &format!("{name}_{kind}"),
                &format!("{label}, {kind}"),
                known,
                missing,
            )
        });
    Chart {
        unit: Unit::Sessions,
        series: series.collect(),
    }
}

async fn load_live_by_samples(conn: &mut Connection, axis: &TimeAxis, steps: Steps) -> sqlx::Result<Chart> {
    let mut counted = ByRoleAndKind::new();
    for row in statistics::count_live_from_samples(conn, steps).await? {
        let known = counted.entry((role_order(&row.role), row.kind)).or_default();
        *known.entry(row.step).or_default() += to_f64(row.live);
    }
    Ok(build_live_chart(axis, counted, None))
}

async fn load_live_of_organization(
    conn: &mut Connection,
    axis: &TimeAxis,
    organization: OrganizationId,
    steps: Steps,
) -> sqlx::Result<Chart> {
    let ends: Vec<_> = axis
        .0
        .iter()
        .map(|begins| (*begins + steps.length).min(steps.until))
        .collect();
    let mut counted = ByRoleAndKind::new();
    for row in statistics::count_live_in_organization(conn, organization, &ends).await? {
        let known = counted.entry((role_order(&row.role), row.kind)).or_default();
        let index = |number: i32| usize::try_from(number).unwrap_or_default();
        for step in axis.0.iter().take(index(row.last) + 1).skip(index(row.first)) {
            *known.entry(*step).or_default() += to_f64(row.sessions);
        }
    }
    Ok(build_live_chart(axis, counted, Some(0.0)))
}

async fn load_sign_ins(
    conn: &mut Connection,
    axis: &TimeAxis,
    organization: Option<OrganizationId>,
    steps: Steps,
) -> sqlx::Result<Chart> {
    let rows = statistics::count_sign_ins(conn, organization, steps).await?;
    let succeeded = rows.iter().map(|row| (row.step, to_f64(row.succeeded))).collect();
    let failed = rows.iter().map(|row| (row.step, to_f64(row.failed))).collect();
    Ok(Chart {
        unit: Unit::SignIns,
        series: vec![
            axis.series("succeeded", "Signed in", &succeeded, Some(0.0)),
            axis.series("failed", "Failed", &failed, Some(0.0)),
        ],
    })
}

/// A series for each reason.
fn build_ended_chart(axis: &TimeAxis, ended: &[EndedSessions]) -> Chart {
    let mut counted: HashMap<EndReason, HashMap<DateTime<Utc>, f64>> = HashMap::new();
    for row in ended {
        if let Some(Ok(reason)) = row.reason.as_deref().map(str::parse) {
            let known = counted.entry(reason).or_default();
            known.insert(row.step, to_f64(row.sessions));
        }
    }
    let series = EndReason::ALL.into_iter().filter_map(|reason| {
        let known = counted.get(&reason)?;
        Some(axis.series(reason.as_str(), reason_label(reason), known, Some(0.0)))
    });
    Chart {
        unit: Unit::Sessions,
        series: series.collect(),
    }
}

/// A short label for the legend.
fn reason_label(reason: EndReason) -> &'static str {
    match reason {
        EndReason::SignedOut => "Signed out",
        EndReason::SignedOutEverywhere => "Signed out everywhere",
        EndReason::Revoked => "Ended from another device",
        EndReason::RevokedByAdmin => "Ended by an administrator",
        EndReason::PasswordChanged => "Password changed",
        EndReason::SessionLimit => "Too many sessions",
        EndReason::IdleTimeout => "Not used",
        EndReason::LifetimeExceeded => "Lifetime over",
        EndReason::AccountDisabled => "Account disabled",
        EndReason::TokenReuse => "Token used twice",
        EndReason::ClientChanged => "Another client",
        EndReason::RenewalLost => "New cookie not received",
        EndReason::Unknown => "Unknown",
    }
}

fn build_length_chart(axis: &TimeAxis, ended: &[EndedSessions]) -> Chart {
    let steps = || ended.iter().filter(|row| row.reason.is_none());
    let average = steps().map(|row| (row.step, row.average)).collect();
    let median = steps().map(|row| (row.step, row.median)).collect();
    Chart {
        unit: Unit::Seconds,
        series: vec![
            axis.series("average", "Average", &average, None),
            axis.series("median", "Median", &median, None),
        ],
    }
}

async fn load_refreshes(conn: &mut Connection, axis: &TimeAxis, steps: Steps) -> sqlx::Result<Chart> {
    let rows = statistics::count_refreshes(conn, steps).await?;
    let exchanged = rows.iter().map(|row| (row.step, to_f64(row.exchanged))).collect();
    let refused = rows.iter().map(|row| (row.step, to_f64(row.refused))).collect();
    Ok(Chart {
        unit: Unit::Exchanges,
        series: vec![
            axis.series("exchanged", "Exchanged", &exchanged, Some(0.0)),
            axis.series("refused", "Refused", &refused, Some(0.0)),
        ],
    })
}

async fn load_revocation(conn: &mut Connection, axis: &TimeAxis, steps: Steps) -> sqlx::Result<Chart> {
    let rows = statistics::load_revocation_latency(conn, steps).await?;
    let median = rows.iter().map(|row| (row.step, row.median)).collect();
    let slowest = rows.iter().map(|row| (row.step, row.slowest)).collect();
    Ok(Chart {
        unit: Unit::Milliseconds,
        series: vec![
            axis.series("median", "Median", &median, None),
            axis.series("slowest", "Slowest", &slowest, None),
        ],
    })
}
