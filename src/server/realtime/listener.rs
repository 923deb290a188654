//! Reads new entries of the event log. NOTIFY only wakes the reader; the log has the content.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::hub::Hub;
use crate::server::{
    clock::Clock,
    database::Database,
    lifecycle::{Job, Jobs, SHORT},
    store::events::{self, CHANNEL},
};

/// Longest time between two reads, in case a NOTIFY is lost. Each read also tests the connection.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Events per query.
const BATCH: i64 = 1000;

/// How long a missing number is looked for. It belongs to a transaction that has not committed, or was rolled back. No
/// transaction takes this long: the database cancels statements and idle transactions earlier (`database/pool.rs`).
const MISSING_TIMEOUT: Duration = Duration::from_secs(60);

/// A reader's position in the event log.
#[derive(Debug)]
pub struct LogPosition {
    last: i64,
    /// Missing numbers below `last`, and since when they are missing.
    missing: BTreeMap<i64, Instant>,
}

impl LogPosition {
    /// A reader that continues after `last`.
    pub fn after(last: i64) -> Self {
        Self {
            last,
            missing: BTreeMap::new(),
        }
    }

    fn record_seen(&mut self, id: i64, now: Instant) {
        if id > self.last {
            // A gap larger than a batch is not an open transaction: clean-up deleted rows, or the sequence jumped.
            let first = (self.last + 1).max(id - BATCH);
            self.missing.extend((first..id).map(|id| (id, now)));
            self.last = id;
        } else {
            self.missing.remove(&id);
        }
    }

    fn drop_old_missing(&mut self, now: Instant) {
        self.missing
            .retain(|_, since| now.duration_since(*since) < MISSING_TIMEOUT);
    }

    /// Delivers all new events to the hub.
    ///
    /// # Errors
    /// Database errors. The position then is after the last delivered event.
    pub async fn deliver_new(&mut self, database: &Database, clock: &Clock, hub: &Hub) -> sqlx::Result<()> {
        loop {
            let missing: Vec<i64> = self.missing.keys().copied().collect();
            let conn = &mut *database.connection().await?;
            let found = events::list_after(conn, self.last, &missing, BATCH).await?;
            let now = Instant::now();
            for event in &found {
                hub.deliver(event, clock.now());
                self.record_seen(event.id, now);
            }
            self.drop_old_missing(now);
            if found.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                return Ok(());
            }
        }
    }
}

/// Delivers events to the hub. After a break it continues where it was.
pub struct Listen {
    clock: Clock,
    database: Database,
    hub: Hub,
    jobs: Jobs,
    position: Option<LogPosition>,
}

impl Listen {
    /// Listens for the streams of this hub.
    pub fn new(clock: Clock, database: Database, hub: Hub, jobs: Jobs) -> Self {
        Self {
            clock,
            database,
            hub,
            jobs,
            position: None,
        }
    }

    async fn listen(&mut self) -> sqlx::Result<()> {
        let Self {
            clock,
            database,
            hub,
            jobs,
            position,
        } = self;
        let mut listener = jobs.round(Self::NAME, SHORT, database.listen(CHANNEL)).await?;
        // From now on every commit notifies; what was committed before is in the log.
        let position = match position {
            Some(position) => position,
            None => {
                let last = events::load_last_number(&mut *database.connection().await?).await?;
                position.insert(LogPosition::after(last))
            }
        };
        position.deliver_new(database, clock, hub).await?;
        let _listening = hub.listening();
        jobs.mark_recovered(Self::NAME);
        loop {
            // One read covers all notifications that have come together.
            let woken = jobs.round(Self::NAME, SHORT, listener.wait(POLL_INTERVAL)).await;
            // What was committed before the connection broke is delivered before another one is tried.
            let reading = position.deliver_new(database, clock, hub);
            jobs.round(Self::NAME, SHORT, reading).await?;
            woken?;
        }
    }
}

impl Job for Listen {
    const NAME: &'static str = "listener";
    const LIMIT: Option<Duration> = None;

    /// The pause between two attempts to connect.
    fn interval(&self) -> Duration {
        Duration::from_millis(200)
    }

    async fn round(&mut self) {
        if let Err(error) = self.listen().await {
            tracing::warn!(%error, "listener disconnected, retrying");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_numbers_are_requested_until_found_or_expired() {
        let mut position = LogPosition::after(10);
        let start = Instant::now();
        position.record_seen(11, start);
        position.record_seen(14, start);
        let looked_for = |position: &LogPosition| position.missing.keys().copied().collect::<Vec<_>>();
        assert_eq!((position.last, looked_for(&position)), (14, vec![12, 13]));
        position.record_seen(12, start);
        assert_eq!((position.last, looked_for(&position)), (14, vec![13]));
        position.drop_old_missing(start + MISSING_TIMEOUT);
        assert_eq!(looked_for(&position), Vec::<i64>::new());
        position.record_seen(5_000_000, start);
        assert_eq!(looked_for(&position).len(), 1000);
    }
}
