//! How the portal has been doing: figures over time, ready to be drawn.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{alert::Alert, time};

/// How far back figures reach, and how fine they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// The last 24 hours, by hour.
    Day,
    /// The last 30 days, by day (UTC).
    Month,
}

impl Period {
    /// How much time a point stands for.
    pub fn step(self) -> TimeDelta {
        match self {
            Period::Day => TimeDelta::hours(1),
            Period::Month => TimeDelta::days(1),
        }
    }

    /// How many points there are.
    pub fn steps(self) -> i32 {
        match self {
            Period::Day => 24,
            Period::Month => 30,
        }
    }

    /// When the steps begin, the earliest first; `now` is in the last one.
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

/// What the points of a chart count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Sessions,
    SignIns,
    Exchanges,
    Seconds,
    Milliseconds,
}

/// A value at the step that begins then. `None`: there is nothing to tell, which is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    #[serde(with = "time::wire")]
    pub at: DateTime<Utc>,
    pub value: Option<f64>,
}

/// One line of a chart: a point for each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// For programs and colours: `broker_desktop`, `failed`.
    pub name: String,
    /// For people: "Broker, desktop", "Failed".
    pub label: String,
    pub points: Vec<Point>,
}

/// Lines that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    pub unit: Unit,
    pub series: Vec<Series>,
}

/// Everything for one period, of the whole portal or of an organization's people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    pub period: Period,
    /// When the first step begins.
    #[serde(with = "time::wire")]
    pub from: DateTime<Utc>,
    /// When the figures were taken; the last step ends here.
    #[serde(with = "time::wire")]
    pub until: DateTime<Utc>,
    /// Live at the end of each step, by role and kind. Only what there was.
    pub live_sessions: Chart,
    /// Succeeded and failed.
    pub sign_ins: Chart,
    /// By reason. Only reasons that there were.
    pub ended_sessions: Chart,
    /// Average and median length of the sessions that ended in the step.
    pub session_length: Chart,
    /// Exchanged and refused refresh tokens. Of the whole portal only.
    pub refreshes: Option<Chart>,
    /// From the end of a session to the moment in which the last of its open streams was told: median and slowest. Of the
    /// whole portal only.
    pub revocation: Option<Chart>,
    /// What is wrong now. Of the whole portal only.
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
