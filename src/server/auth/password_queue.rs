//! A fair queue for all password hashing.
//!
//! A hash takes about 30 ms of one core and 19 MiB, so at most one runs per core. Accounts and origins take turns: an
//! account whose devices sign in in a loop delays only itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

/// SHA-256 of an account or origin. Keys of accounts and origins never collide.
pub type QueueKey = [u8; 32];

/// Who wants a password checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requester {
    pub account: QueueKey,
    /// A known browser or desktop app, a session, or the address of an unknown client.
    pub origin: QueueKey,
    /// The origin is a known browser, a known desktop app or a session. Unlike addresses, these cannot be created at will.
    pub is_known: bool,
}

impl Requester {
    /// Commands of operators.
    pub const OPERATOR: Self = Self {
        account: [0; 32],
        origin: [1; 32],
        is_known: true,
    };
}

/// Why a request was rejected by or removed from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnqueueError {
    /// The account has used its share of the queue.
    AccountShareUsed,
    /// The queue is full, or the wait took too long.
    QueueFull,
}

/// Waiting requests per core. At 30 ms per hash this is a wait of one second.
pub const WAITING_PER_CORE: usize = 32;

/// One account may use one quarter of the queue, and at least the number below.
const ACCOUNT_SHARE: usize = 4;
const MIN_ACCOUNT_SHARE: usize = 16;

/// Concurrent requests per account, even if no other waits: more would wait for the account's row lock.
const RUNNING_PER_ACCOUNT: usize = 4;

/// Longest wait, below the deadline of a request. Only a database that hangs during a turn makes the wait this long.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The queue of one node.
#[derive(Debug)]
pub struct PasswordQueue {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free_slots: usize,
    waiting: VecDeque<Waiting>,
    /// For each account and origin that waits or has a turn.
    shares: HashMap<QueueKey, Share>,
    /// The number of turns with which a new account or origin starts: as many as the last one that was served.
    level: (u64, u64),
}

/// The share of one account or origin.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// Turns so far, including the level at which it joined.
    turns: u64,
    /// Requests that wait or have a turn.
    present: usize,
    /// Requests that have a turn.
    running: usize,
}

#[derive(Debug)]
struct Waiting {
    requester: Requester,
    start: oneshot::Sender<Turn>,
}

impl PasswordQueue {
    /// A queue for a machine with this many cores.
    pub fn new(cores: usize) -> Arc<Self> {
        Arc::new(Self {
            capacity: cores * WAITING_PER_CORE,
            state: Mutex::new(State {
                free_slots: cores,
                waiting: VecDeque::new(),
                shares: HashMap::new(),
                level: (0, 0),
            }),
        })
    }

    /// Waits for a turn. A cancelled request leaves nothing behind.
    ///
    /// # Errors
    /// [`EnqueueError`]. Nothing was checked.
    pub async fn wait_for_turn(self: &Arc<Self>, requester: Requester) -> Result<Turn, EnqueueError> {
        let (start, started) = oneshot::channel();
        self.enqueue(Waiting { requester, start })?;
        self.start_next();
        match timeout(MAX_WAIT, started).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(EnqueueError::QueueFull),
        }
    }

    /// Whether an account may wait. Checked before any lookup.
    pub fn has_room_for(&self, account: &QueueKey) -> bool {
        let mut state = self.state();
        state.remove_gone();
        state.share(account).present < self.account_share()
    }

    fn account_share(&self) -> usize {
        (self.capacity / ACCOUNT_SHARE).max(MIN_ACCOUNT_SHARE)
    }

    fn enqueue(&self, newcomer: Waiting) -> Result<(), EnqueueError> {
        let mut state = self.state();
        state.remove_gone();
        let Requester { account, .. } = newcomer.requester;
        if state.share(&account).present >= self.account_share() {
            return Err(EnqueueError::AccountShareUsed);
        }
        if state.waiting.len() >= self.capacity {
            // Dropping the sender notifies the evicted request.
            let evicted = state
                .find_evictable(&newcomer.requester)
                .ok_or(EnqueueError::QueueFull)?;
            if let Some(evicted) = state.waiting.remove(evicted) {
                state.remove_share(&evicted.requester);
            }
        }
        state.add_share(&newcomer.requester);
        state.waiting.push_back(newcomer);
        Ok(())
    }

    /// Starts waiting requests while there are free slots.
    fn start_next(self: &Arc<Self>) {
        loop {
            let Some(next) = self.state().take_next() else {
                return;
            };
            let turn = Turn {
                _held: Arc::new(HeldTurn {
                    queue: self.clone(),
                    requester: next.requester,
                }),
                slot: Some(Arc::new(HashingSlot(self.clone()))),
            };
            // A cancelled request drops its turn here, outside of the lock.
            drop(next.start.send(turn));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn share(&self, key: &QueueKey) -> Share {
        self.shares.get(key).copied().unwrap_or_default()
    }

    fn add_share(&mut self, requester: &Requester) {
        for (key, level) in [
            (requester.account, self.level.0),
            (requester.origin, self.level.1),
        ] {
            let share = self.shares.entry(key).or_insert(Share {
                turns: level,
                ..Share::default()
            });
            share.present += 1;
        }
    }

    fn remove_share(&mut self, requester: &Requester) {
        for key in [requester.account, requester.origin] {
            if let Some(share) = self.shares.get_mut(&key) {
                share.present = share.present.saturating_sub(1);
                if share.present == 0 {
                    self.shares.remove(&key);
                }
            }
        }
    }

    /// Removes cancelled requests.
    fn remove_gone(&mut self) {
        let (gone, waiting) = self
            .waiting
            .drain(..)
            .partition(|waiting| waiting.start.is_closed());
        self.waiting = waiting;
        let gone: VecDeque<Waiting> = gone;
        for waiting in gone {
            self.remove_share(&waiting.requester);
        }
    }

    /// Finds the request to evict from a full queue: the newest one of the origin with the most waiting requests.
    ///
    /// Known origins evict unknown ones first, since an attacker with many addresses could fill the queue with one request
    /// each.
    fn find_evictable(&self, newcomer: &Requester) -> Option<usize> {
        let places = || self.waiting.iter().enumerate();
        let count = |waiting: &Waiting| self.share(&waiting.requester.origin).present;
        if newcomer.is_known {
            let strangers = places().filter(|(_, waiting)| !waiting.requester.is_known);
            let heaviest = strangers.max_by_key(|(place, waiting)| (count(waiting), *place));
            if let Some((place, _)) = heaviest {
                return Some(place);
            }
        }
        let (place, heaviest) = places().max_by_key(|(place, waiting)| (count(waiting), *place))?;
        (count(heaviest) > self.share(&newcomer.origin).present + 1).then_some(place)
    }

    /// Takes the next request: the account with the fewest turns, then the origin with the fewest turns, then the oldest.
    fn take_next(&mut self) -> Option<Waiting> {
        self.remove_gone();
        if self.free_slots == 0 {
            return None;
        }
        let ranked = self.waiting.iter().enumerate().filter_map(|(place, waiting)| {
            let account = self.share(&waiting.requester.account);
            let origin = self.share(&waiting.requester.origin);
            let may_run = account.running < RUNNING_PER_ACCOUNT;
            may_run.then_some((account.turns, origin.turns, place))
        });
        let (account_turns, origin_turns, place) = ranked.min()?;
        let next = self.waiting.remove(place)?;
        self.level = (self.level.0.max(account_turns), self.level.1.max(origin_turns));
        self.free_slots -= 1;
        for key in [next.requester.account, next.requester.origin] {
            if let Some(share) = self.shares.get_mut(&key) {
                share.turns += 1;
                share.running += 1;
            }
        }
        Some(next)
    }
}

/// The right to have a password checked. Clones share it; dropping the last one starts the next request.
#[derive(Clone, Debug)]
#[must_use]
pub struct Turn {
    _held: Arc<HeldTurn>,
    slot: Option<Arc<HashingSlot>>,
}

impl Turn {
    /// The hashing slot, for work that may outlive its request and keep the core busy.
    pub(super) fn slot(&self) -> Option<Arc<HashingSlot>> {
        self.slot.clone()
    }

    /// Frees the core for the next request. The account keeps its turn.
    pub fn release_slot(&mut self) {
        self.slot = None;
    }
}

/// The right to use one core.
#[derive(Debug)]
pub(super) struct HashingSlot(Arc<PasswordQueue>);

impl Drop for HashingSlot {
    fn drop(&mut self) {
        self.0.state().free_slots += 1;
        self.0.start_next();
    }
}

#[derive(Debug)]
struct HeldTurn {
    queue: Arc<PasswordQueue>,
    requester: Requester,
}

impl Drop for HeldTurn {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        for key in [self.requester.account, self.requester.origin] {
            if let Some(share) = state.shares.get_mut(&key) {
                share.running = share.running.saturating_sub(1);
            }
        }
        state.remove_share(&self.requester);
        drop(state);
        self.queue.start_next();
    }
}

#[cfg(test)]
mod tests;
