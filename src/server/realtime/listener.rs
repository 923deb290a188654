//! Reads the event log as it grows. NOTIFY only wakes; the log says what happened.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::hub::Hub;
use crate::server::{
    clock::Clock,
    database::Database,
    lifecycle::heartbeat::{Heartbeats, SHORT},
    store::events::{self, CHANNEL},
};

/// Reads at the latest after so long, should a wake-up be lost, and tests then whether the connection still lives.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Between two tries to reach the database.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// Events read at once.
const BATCH: i64 = 1000;

/// A number that was passed over belongs to a transaction that is not committed yet, or never will be. None lasts so
/// long: statements and idle transactions are cut off before (`database/pool.rs`).
const MISSING_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a reader is in the log.
#[derive(Debug)]
pub struct LogPosition {
    last: i64,
    /// Numbers below `last` that were not there when it was read, and since when.
    missing: BTreeMap<i64, Instant>,
}

impl LogPosition {
    /// Reads on from after `last`.
    pub fn after(last: i64) -> Self {
        Self {
            last,
            missing: BTreeMap::new(),
        }
    }

    fn record_seen(&mut self, id: i64, now: Instant) {
        if id > self.last {
            // A gap of a whole batch is no transaction under way: the log was cleaned up, or its numbers jumped.
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

    /// Hands everything new to the hub.
    ///
    /// # Errors
    /// The database's; the position is then where it was, or further on by what was handed over.
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

/// Listens until the task is ended. After a break it reads on from where it was.
pub async fn run(clock: Clock, database: Database, hub: Hub, jobs: Heartbeats) {
    let mut position = None;
    loop {
        let broke = listen(&clock, &database, &hub, &jobs, &mut position).await;
        hub.set_listening(false);
        if let Err(error) = broke {
            tracing::warn!(%error, "nothing is heard of the database; trying again");
        }
        sleep(RETRY_DELAY).await;
    }
}

async fn listen(
    clock: &Clock,
    database: &Database,
    hub: &Hub,
    jobs: &Heartbeats,
    position: &mut Option<LogPosition>,
) -> sqlx::Result<()> {
    let mut listener = jobs.round("listener", SHORT, database.listen(CHANNEL)).await?;
    // From now on every commit wakes; what was committed before is in the log.
    let position = match position {
        Some(position) => position,
        None => {
            let last = events::load_last_number(&mut *database.connection().await?).await?;
            position.insert(LogPosition::after(last))
        }
    };
    position.deliver_new(database, clock, hub).await?;
    hub.set_listening(true);
    loop {
        // One read answers all wake-ups that have come together.
        let woken = jobs.round("listener", SHORT, listener.wait(POLL_INTERVAL)).await;
        // What was committed before the connection broke is delivered before another one is tried.
        let reading = position.deliver_new(database, clock, hub);
        jobs.round("listener", SHORT, reading).await?;
        woken?;
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
