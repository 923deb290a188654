//! What each job of this server is doing, so that `/readyz` reports one that hangs.
//!
//! Each wait for the database has its own deadline (`database::Connection`); this finds what they do not cover.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// For rounds that take seconds at most.
pub const SHORT: Duration = Duration::from_secs(60);

/// For rounds that work through many rows.
pub const LONG: Duration = Duration::from_secs(3600);

/// The rounds that are under way. Cheap to clone; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats(Arc<Mutex<BTreeMap<&'static str, Round>>>);

#[derive(Clone, Copy, Debug)]
struct Round {
    since: Instant,
    limit: Duration,
}

impl Heartbeats {
    /// Runs one round of a job. A round that panics is never finished, so its job is reported after `limit`.
    pub async fn round<T>(&self, job: &'static str, limit: Duration, work: impl Future<Output = T>) -> T {
        let since = Instant::now();
        self.rounds().insert(job, Round { since, limit });
        let done = work.await;
        self.rounds().remove(job);
        done
    }

    /// Jobs whose round has taken longer than its limit, and how long.
    pub fn hung(&self) -> Vec<(&'static str, Duration)> {
        let rounds = self.rounds();
        let taken = rounds
            .iter()
            .map(|(job, round)| (*job, round.since.elapsed(), round.limit));
        taken
            .filter(|(_, taken, limit)| taken > limit)
            .map(|(job, taken, _)| (job, taken))
            .collect()
    }

    fn rounds(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Round>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn unfinished_run_is_hung_after_its_limit() {
        let jobs = Heartbeats::default();
        jobs.round("finished", Duration::ZERO, async {}).await;
        let hanging = jobs.clone();
        let task = tokio::spawn(async move {
            hanging
                .round("hanging", Duration::ZERO, std::future::pending::<()>())
                .await;
        });
        let panicking = jobs.clone();
        let panicked = tokio::spawn(async move {
            panicking
                .round("panicked", Duration::ZERO, async { panic!("in a job") })
                .await
        });
        assert!(panicked.await.is_err());
        let running = jobs.clone();
        let in_time =
            tokio::spawn(async move { running.round("in_time", LONG, std::future::pending::<()>()).await });
        while jobs.rounds().len() < 3 {
            tokio::task::yield_now().await;
        }
        let hung: Vec<_> = jobs.hung().into_iter().map(|(job, _)| job).collect();
        assert_eq!(hung, ["hanging", "panicked"]);
        task.abort();
        in_time.abort();
    }
}
