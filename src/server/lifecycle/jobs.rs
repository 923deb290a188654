//! Recurring jobs: one way to run them, to find out how they are, and to stop them.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The limit of rounds that take seconds.
pub const SHORT: Duration = Duration::from_secs(60);

/// The limit of rounds that work through many rows.
pub const LONG: Duration = Duration::from_secs(3600);

/// The pause after a round that panicked, where the interval is not shorter.
const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// Work that a server repeats. To add a job: a type that implements this in `jobs`, and a line in `serve`.
pub trait Job: Send + 'static {
    /// Names the job in logs and in `/readyz`.
    const NAME: &'static str;

    /// A round that takes longer is reported as hung. `None`: the job reports its parts itself with [`Jobs::round`].
    const LIMIT: Option<Duration>;

    /// The time between the beginnings of two rounds.
    fn interval(&self) -> Duration;

    /// Does the work once. It handles and logs its own errors.
    fn round(&mut self) -> impl Future<Output = ()> + Send;
}

/// The jobs of a server. Cheap to clone; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Jobs(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    tasks: TaskTracker,
    stop: CancellationToken,
    status: Mutex<Status>,
}

#[derive(Debug, Default)]
struct Status {
    /// Rounds under way.
    rounds: BTreeMap<&'static str, Round>,
    /// Jobs whose last round panicked.
    panicked: BTreeSet<&'static str>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    since: Instant,
    limit: Duration,
}

impl Jobs {
    /// Starts a job. It runs until [`stop`](Self::stop); a panic ends one round, not the job.
    pub fn start<J: Job>(&self, job: J) {
        let jobs = self.clone();
        let stop = self.0.stop.clone();
        self.0.tasks.spawn(async move {
            stop.run_until_cancelled(jobs.repeat(job)).await;
        });
    }

    async fn repeat<J: Job>(&self, mut job: J) {
        let mut ticks = interval(job.interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let round = AssertUnwindSafe(job.round()).catch_unwind();
            let outcome = match J::LIMIT {
                Some(limit) => self.round(J::NAME, limit, round).await,
                None => round.await,
            };
            if outcome.is_ok() {
                self.mark_recovered(J::NAME);
                continue;
            }
            // The panic itself was logged by the hook in `telemetry::panics`.
            tracing::error!(job = J::NAME, "job panicked, restarting");
            self.status().panicked.insert(J::NAME);
            let pause = RESTART_PAUSE.min(job.interval());
            sleep(pause).await;
            ticks.reset_immediately();
        }
    }

    /// Runs one round of a job, which is reported as hung after `limit`.
    pub async fn round<T>(&self, job: &'static str, limit: Duration, work: impl Future<Output = T>) -> T {
        let since = Instant::now();
        self.status().rounds.insert(job, Round { since, limit });
        let done = work.await;
        self.status().rounds.remove(job);
        done
    }

    /// Jobs whose round has taken longer than its limit, and how long.
    pub fn hung(&self) -> Vec<(&'static str, Duration)> {
        let status = self.status();
        let taken = status
            .rounds
            .iter()
            .map(|(job, round)| (*job, round.since.elapsed(), round.limit));
        taken
            .filter(|(_, taken, limit)| taken > limit)
            .map(|(job, taken, _)| (job, taken))
            .collect()
    }

    /// A job whose rounds do not end has recovered from a panic.
    pub fn mark_recovered(&self, job: &'static str) {
        self.status().panicked.remove(job);
    }

    /// Jobs whose last round panicked.
    pub fn panicked(&self) -> Vec<&'static str> {
        self.status().panicked.iter().copied().collect()
    }

    /// Tells every job to stop at its next wait.
    pub fn cancel(&self) {
        self.0.stop.cancel();
    }

    /// Stops every job at its next wait, and returns when all have stopped.
    pub async fn stop(&self) {
        self.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.0.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::{sync::Notify, task::yield_now};

    use super::*;

    #[tokio::test]
    async fn unfinished_round_is_hung_after_its_limit() {
        let jobs = Jobs::default();
        jobs.round("finished", Duration::ZERO, async {}).await;
        for (name, limit) in [("hanging", Duration::ZERO), ("in_time", LONG)] {
            let jobs = jobs.clone();
            tokio::spawn(async move { jobs.round(name, limit, std::future::pending::<()>()).await });
        }
        while jobs.status().rounds.len() < 2 {
            yield_now().await;
        }
        let hung: Vec<_> = jobs.hung().into_iter().map(|(job, _)| job).collect();
        assert_eq!(hung, ["hanging"]);
    }

    /// Panics in its first round, and waits in its third.
    struct Flaky {
        rounds: Arc<AtomicU32>,
        panicked: Arc<Notify>,
    }

    impl Job for Flaky {
        const NAME: &'static str = "flaky";
        const LIMIT: Option<Duration> = Some(LONG);

        fn interval(&self) -> Duration {
            Duration::from_millis(1)
        }

        async fn round(&mut self) {
            match self.rounds.fetch_add(1, Ordering::SeqCst) {
                0 => panic!("on purpose"),
                1 => self.panicked.notified().await,
                _ => std::future::pending().await,
            }
        }
    }

    #[tokio::test]
    async fn panicked_job_is_reported_and_restarted_until_stopped() {
        let (rounds, panicked) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let jobs = Jobs::default();
        jobs.start(Flaky {
            rounds: rounds.clone(),
            panicked: panicked.clone(),
        });
        let reached = async |round| {
            while rounds.load(Ordering::SeqCst) < round {
                sleep(Duration::from_millis(1)).await;
            }
        };
        reached(2).await;
        assert_eq!(jobs.panicked(), ["flaky"]);
        panicked.notify_one();
        reached(3).await;
        assert!(jobs.panicked().is_empty());
        jobs.stop().await;
        assert!(jobs.0.tasks.is_empty());
    }
}
