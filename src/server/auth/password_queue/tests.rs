use std::future::Future;

use futures_util::{FutureExt, future::BoxFuture};

use super::*;

fn requester(account: u8, origin: u8) -> Requester {
    let mut key = [0; 32];
    (key[0], key[1]) = (1, account);
    let mut other = [0; 32];
    (other[0], other[1]) = (2, origin);
    Requester {
        account: key,
        origin: other,
        is_known: false,
    }
}

/// Asks for a turn and gives the future that waits for it.
fn wait(
    queue: &Arc<PasswordQueue>,
    account: u8,
    origin: u8,
) -> BoxFuture<'static, Result<Turn, EnqueueError>> {
    enter(queue, requester(account, origin))
}

fn enter(queue: &Arc<PasswordQueue>, requester: Requester) -> BoxFuture<'static, Result<Turn, EnqueueError>> {
    let queue = queue.clone();
    let mut waiting = async move { queue.wait_for_turn(requester).await }.boxed();
    if let Some(result) = poll(&mut waiting) {
        return std::future::ready(result).boxed();
    }
    waiting
}

fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    future.now_or_never()
}

#[tokio::test]
async fn accounts_take_turns() {
    let queue = PasswordQueue::new(1);
    let first = wait(&queue, 1, 1).await.expect("a free place");
    let mut same = wait(&queue, 1, 1);
    let mut other = wait(&queue, 2, 1);
    assert!(poll(&mut same).is_none() && poll(&mut other).is_none());
    drop(first);
    // It came later, and its account has had no turn yet.
    let other = poll(&mut other);
    assert!(other.is_some() && poll(&mut same).is_none());
    drop(other);
    assert!(poll(&mut same).is_some_and(|turn| turn.is_ok()));
}

#[tokio::test]
async fn origins_take_turns() {
    let queue = PasswordQueue::new(1);
    let first = wait(&queue, 1, 1).await.expect("a free place");
    let mut flood: Vec<_> = (2..20).map(|account| wait(&queue, account, 1)).collect();
    let mut elsewhere = wait(&queue, 99, 2);
    drop(first);
    let other = poll(&mut elsewhere);
    assert!(matches!(other, Some(Ok(_))));
    assert_eq!(flood.iter_mut().filter_map(poll).count(), 0);
}

#[tokio::test]
async fn one_account_leaves_places_free() {
    let queue = PasswordQueue::new(RUNNING_PER_ACCOUNT + 2);
    let mut turns = Vec::new();
    for _ in 0..RUNNING_PER_ACCOUNT {
        turns.push(wait(&queue, 1, 1).await.expect("a free place"));
    }
    let mut same = wait(&queue, 1, 1);
    let mut other = wait(&queue, 2, 1);
    assert!(poll(&mut same).is_none());
    assert!(matches!(poll(&mut other), Some(Ok(_))));
    drop(turns.pop());
    assert!(matches!(poll(&mut same), Some(Ok(_))));
}

#[tokio::test]
async fn one_account_holds_a_share_of_the_queue() {
    let queue = PasswordQueue::new(1);
    let waiting: Vec<_> = (0..WAITING_PER_CORE).map(|_| wait(&queue, 1, 1)).collect();
    let mut refused = 0;
    let mut kept = Vec::new();
    for mut request in waiting {
        match poll(&mut request) {
            Some(Err(refusal)) => {
                assert_eq!(refusal, EnqueueError::AccountShareUsed);
                refused += 1;
            }
            started => kept.push((started, request)),
        }
    }
    assert_eq!(
        (kept.len(), refused),
        (MIN_ACCOUNT_SHARE, WAITING_PER_CORE - MIN_ACCOUNT_SHARE)
    );
}

#[tokio::test]
async fn full_queue_makes_room_for_other_origins() {
    let queue = PasswordQueue::new(1);
    let _running = wait(&queue, 250, 250).await.expect("a free place");
    let account = |number: usize| u8::try_from(number).expect("a few");
    let mut flood: Vec<_> = (0..WAITING_PER_CORE)
        .map(|number| wait(&queue, account(number), 1))
        .collect();
    assert!(flood.iter_mut().all(|request| poll(request).is_none()));
    // Its own origin gets nothing more; another one takes the place of the newest.
    let mut same = wait(&queue, 200, 1);
    assert!(matches!(poll(&mut same), Some(Err(EnqueueError::QueueFull))));
    let mut other = wait(&queue, 201, 2);
    assert!(poll(&mut other).is_none());
    let newest = flood.last_mut().expect("a flood");
    assert!(matches!(poll(newest), Some(Err(EnqueueError::QueueFull))));
}

#[tokio::test]
async fn known_origins_evict_strangers_from_full_queues() {
    let queue = PasswordQueue::new(1);
    let _running = wait(&queue, 250, 250).await.expect("a free place");
    let number = |number: usize| u8::try_from(number).expect("a few");
    let mut strangers: Vec<_> = (0..WAITING_PER_CORE)
        .map(|each| wait(&queue, number(each), number(each)))
        .collect();
    let known = |each: u8| Requester {
        is_known: true,
        ..requester(each, each)
    };
    assert!(matches!(
        poll(&mut wait(&queue, 200, 200)),
        Some(Err(EnqueueError::QueueFull))
    ));
    let mut devices: Vec<_> = (0..WAITING_PER_CORE)
        .map(|each| enter(&queue, known(100 + number(each))))
        .collect();
    assert!(devices.iter_mut().all(|request| poll(request).is_none()));
    for stranger in &mut strangers {
        assert!(matches!(poll(stranger), Some(Err(EnqueueError::QueueFull))));
    }
    // No stranger takes the place of a known origin, and none of those evicts another with as few places.
    assert!(matches!(
        poll(&mut wait(&queue, 200, 200)),
        Some(Err(EnqueueError::QueueFull))
    ));
    assert!(matches!(
        poll(&mut enter(&queue, known(201))),
        Some(Err(EnqueueError::QueueFull))
    ));
}

#[tokio::test]
async fn cancelled_request_frees_its_place() {
    let queue = PasswordQueue::new(1);
    let first = wait(&queue, 1, 1).await.expect("a free place");
    for _ in 0..MIN_ACCOUNT_SHARE {
        drop(wait(&queue, 2, 2));
    }
    // They no longer count towards the share of their account.
    let mut again = wait(&queue, 2, 2);
    assert!(poll(&mut again).is_none());
    drop(again);
    let mut third = wait(&queue, 3, 3);
    drop(first);
    let turn = poll(&mut third).expect("its turn").expect("a turn");
    drop(turn);
    let state = queue.state();
    assert!(state.shares.is_empty() && state.waiting.is_empty());
    assert_eq!(state.free_slots, 1);
}

#[tokio::test]
async fn running_hash_keeps_its_place() {
    let queue = PasswordQueue::new(1);
    let mut first = wait(&queue, 1, 1).await.expect("a free place");
    let hashing = first.slot();
    first.release_slot();
    let mut second = wait(&queue, 2, 2);
    assert!(poll(&mut second).is_none());
    drop(hashing);
    assert!(poll(&mut second).is_some());
}
