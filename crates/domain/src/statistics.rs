//! Statistics over time, ready for charts.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{alert::Alert, time};

/// The period and the resolution of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// The last 24 hours, by hour.
    Day,
    /// The last 30 days, by day (UTC).
    Month,
}

impl Period {
    /// The time between two points.
    pub fn step(self) -> TimeDelta {
        match self {
            Period::Day => TimeDelta::hours(1),
            Period::Month => TimeDelta::days(1),
        }
    }

    /// The number of points.
    pub fn steps(self) -> i32 {
        match self {
            Period::Day => 24,
            Period::Month => 30,
        }
    }

    /// The start of each step, earliest first. `now` is in the last step.
    pub fn step_starts(self, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let length = self.step().num_seconds();
        let last = now.timestamp().div_euclid(length) * length;
        let last = DateTime::from_timestamp(last, 0).unwrap_or(now);
        (0..self.steps())
            .rev()
            .map(|steps| last - self.step() * steps)
            .collect()
    }
}

/// The unit of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Sessions,
    SignIns,
    Exchanges,
    Seconds,
    Milliseconds,
}

/// The value of a step. `None`: no data, which differs from 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    #[serde(with = "time::wire")]
    pub at: DateTime<Utc>,
    pub value: Option<f64>,
}

/// One line of a chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The public name: `broker_desktop`, `failed`.
    pub name: String,
    /// The label that users read: "Broker, desktop", "Failed".
    pub label: String,
    pub points: Vec<Point>,
}

/// Lines that share a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    pub unit: Unit,
    pub series: Vec<Series>,
}

/// All statistics of one period, for the portal or for one organization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    pub period: Period,
    /// Start of the first step.
    #[serde(with = "time::wire")]
    pub from: DateTime<Utc>,
    /// When the statistics were calculated; end of the last step.
    #[serde(with = "time::wire")]
    pub until: DateTime<Utc>,
    /// Live sessions at the end of each step, by role and kind. Without empty lines.
    pub live_sessions: Chart,
    /// Successful and failed sign-ins.
    pub sign_ins: Chart,
    /// Ended sessions by reason. Without empty lines.
    pub ended_sessions: Chart,
    /// Average and median length of the sessions that ended in the step.
    pub session_length: Chart,
    /// Exchanged and refused refresh tokens. For the whole portal only.
    pub refreshes: Option<Chart>,
    /// Revocation latency: median and slowest time from the end of a session to the close of its last stream. For the
    /// whole portal only.
    pub revocation: Option<Chart>,
    /// For the whole portal only.
    pub open_alerts: Vec<Alert>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn period_ends_with_the_current_step() {
        let now = time::parse_rfc3339("2026-11-20T17:42:03.120Z").expect("a time");
        let of = |period: Period| {
            let step_starts = period.step_starts(now);
            let ends = [step_starts.first(), step_starts.last()];
            (
                step_starts.len(),
                ends.map(|at| at.map_or(String::new(), |at| time::format_rfc3339(*at))),
            )
        };
        let between = |from: &str, to: &str| [from.to_owned(), to.to_owned()];
        assert_eq!(
            of(Period::Day),
            (
                24,
                between("2026-11-19T18:00:00.000Z", "2026-11-20T17:00:00.000Z")
            )
        );
        assert_eq!(
            of(Period::Month),
            (
                30,
                between("2026-10-22T00:00:00.000Z", "2026-11-20T00:00:00.000Z")
            )
        );
    }
}
