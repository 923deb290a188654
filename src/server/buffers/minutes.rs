//! What is too frequent, or too short, for a row each: counted in memory by minute, written once a minute.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};

use crate::server::{
    database::Database,
    store::node_minutes::{self, NodeMinute},
};

/// How many ends of sessions are kept of a minute.
const MOST_CLOSINGS: usize = 500;

/// How many minutes are kept while the database is away.
const MOST_MINUTES: usize = 60;

/// What is counted and not yet written. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Minutes(Arc<Mutex<BTreeMap<DateTime<Utc>, Counted>>>);

/// What was counted in a minute.
#[derive(Clone, Debug, Default)]
struct Counted {
    refreshes: i64,
    refresh_failures: i64,
    /// Milliseconds from the end of a session to the last of its streams, by the number of the end's event.
    closings: HashMap<i64, i32>,
}

impl Counted {
    /// The last stream counts. Where there are too many ends, the slowest is kept in any case.
    fn closed(&mut self, event: i64, took: i32) {
        if let Some(before) = self.closings.get_mut(&event) {
            *before = took.max(*before);
            return;
        }
        if self.closings.len() >= MOST_CLOSINGS {
            if self.closings.values().any(|other| *other >= took) {
                return;
            }
            let other = self.closings.keys().next().copied();
            other.map(|other| self.closings.remove(&other));
        }
        self.closings.insert(event, took);
    }

    fn merge(&mut self, other: Counted) {
        self.refreshes += other.refreshes;
        self.refresh_failures += other.refresh_failures;
        for (event, took) in other.closings {
            self.closed(event, took);
        }
    }
}

impl Minutes {
    /// A refresh token was shown: exchanged, or refused.
    pub fn refreshed(&self, exchanged: bool, now: DateTime<Utc>) {
        self.count(now, |counted| {
            if exchanged {
                counted.refreshes += 1;
            } else {
                counted.refresh_failures += 1;
            }
        });
    }

    /// A stream was told that its session has ended, by the event of that number, and closes.
    pub fn stream_closed(&self, event: i64, ended_at: DateTime<Utc>, now: DateTime<Utc>) {
        let took = (now - ended_at).num_milliseconds().max(0);
        let took = i32::try_from(took).unwrap_or(i32::MAX);
        self.count(now, |counted| counted.closed(event, took));
    }

    fn count(&self, now: DateTime<Utc>, count: impl FnOnce(&mut Counted)) {
        let minute = now.timestamp().div_euclid(60) * 60;
        let minute = DateTime::from_timestamp(minute, 0).unwrap_or(now);
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count(minutes.entry(minute).or_default());
        while minutes.len() > MOST_MINUTES {
            minutes.pop_first();
        }
    }

    /// Writes what is counted. What could not be written stays counted.
    ///
    /// # Errors
    /// The database's.
    pub async fn flush(&self, database: &Database, node: &str) -> sqlx::Result<()> {
        let minutes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if minutes.is_empty() {
            return Ok(());
        }
        let written = write(database, node, &minutes).await;
        if written.is_err() {
            for (minute, counted) in minutes {
                self.count(minute, |kept| kept.merge(counted));
            }
        }
        written
    }
}

async fn write(
    database: &Database,
    node: &str,
    minutes: &BTreeMap<DateTime<Utc>, Counted>,
) -> sqlx::Result<()> {
    let mut tx = database.begin().await?;
    for (minute, counted) in minutes {
        let closing_ms: Vec<i32> = counted.closings.values().copied().collect();
        let counted = NodeMinute {
            minute: *minute,
            node,
            refreshes: counted.refreshes,
            refresh_failures: counted.refresh_failures,
            closing_ms: &closing_ms,
        };
        node_minutes::add(&mut tx, &counted).await?;
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn slowest_of_too_many_revocations_is_kept() {
        let mut counted = Counted::default();
        for event in 0..2000 {
            counted.closed(event, 5);
        }
        counted.closed(2000, 900);
        counted.closed(2001, 7);
        counted.closed(2000, 20);
        assert_eq!(counted.closings.len(), MOST_CLOSINGS);
        assert_eq!(counted.closings.values().max(), Some(&900));
    }

    #[test]
    fn database_outage_leaves_counts_bounded() {
        let minutes = Minutes::default();
        for minute in 0..100 {
            minutes.refreshed(true, DateTime::UNIX_EPOCH + TimeDelta::minutes(minute));
        }
        let kept = minutes.0.lock().expect("nobody panicked");
        assert_eq!(kept.len(), MOST_MINUTES);
        assert!(kept.contains_key(&(DateTime::UNIX_EPOCH + TimeDelta::minutes(99))));
    }
}
