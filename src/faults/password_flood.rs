//! A flood of password checks does not affect signed-in users. The tests compare the order of responses, not times.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use broker_portal::server::auth::{password_queue::WAITING_PER_CORE, passwords::Passwords};
use tokio::task::JoinSet;

use crate::harness::*;

/// Ordinary requests of each sort during the flood.
const ORDINARY: usize = 20;

/// Requests of the flood that are in progress. Cheap to clone.
#[derive(Clone, Default)]
struct Flood {
    stop: Arc<AtomicBool>,
    next: Arc<AtomicUsize>,
    /// Numbers of the checks that run or wait.
    under_way: Arc<Mutex<BTreeSet<usize>>>,
    looked_at: Arc<AtomicUsize>,
    turned_away: Arc<AtomicUsize>,
}

impl Flood {
    fn under_way(&self) -> std::sync::MutexGuard<'_, BTreeSet<usize>> {
        self.under_way.lock().expect("nobody panicked")
    }

    /// Repeats one check.
    async fn run(self, address: std::net::SocketAddr, email: String) {
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            self.under_way().insert(number);
            let guess = desktop_sign_in(&email, "a guess of many", "somewhere");
            let response = guess.send(address).await.expect("a response");
            self.under_way().remove(&number);
            match response.status {
                401 => _ = self.looked_at.fetch_add(1, Ordering::Relaxed),
                429 => {
                    assert_eq!(response.json()["problem"], "rate_limited", "{response:?}");
                    self.turned_away.fetch_add(1, Ordering::Relaxed);
                }
                503 if response.is_valid_503() => _ = self.turned_away.fetch_add(1, Ordering::Relaxed),
                _ => panic!("{response:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn password_check_flood_delays_no_other_user() {
    let postgres = Postgres::start("flood").await;
    // Use production hashes.
    let people = TestAccounts::with_hash_cost(Passwords::COST, &postgres).await;
    let (maria, jonas) = (people.broker("maria").await, people.broker("jonas").await);
    people.close().await;
    // Attempt limits would refuse the flood before passwords are verified.
    let uncounted = [
        ("PORTAL_SIGN_IN_ATTEMPTS", "1000000"),
        ("PORTAL_SIGN_IN_ATTEMPTS_PER_ADDRESS", "1000000"),
        ("PORTAL_ACTIONS_PER_ACCOUNT", "1000000"),
        ("PORTAL_ACTIONS_PER_ADDRESS", "1000000"),
    ];
    let server = Server::start(&postgres, &uncounted).await;
    let chrome = server.browser(&maria).await;
    let mac = server.desktop(&maria, "mac").await;

    // Concurrent password checks, more than the queue of the server holds.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let at_once = cores * WAITING_PER_CORE * 3 / 2;
    let flood = Flood::default();
    let mut flooding = JoinSet::new();
    for _ in 0..at_once {
        flooding.spawn(flood.clone().run(server.address, jonas.clone()));
    }
    wait_until("the line is full", async || {
        flood.turned_away.load(Ordering::Relaxed) > 0
    })
    .await;

    let mut overtaken = Vec::new();
    for _ in 0..ORDINARY {
        for (path, shown) in [
            ("/api/v1/session_state", &mac.credential),
            ("/dashboard", &chrome.credential),
        ] {
            let before = flood.under_way().clone();
            server.get(path, shown).await.expect(200);
            overtaken.push(flood.under_way().intersection(&before).count());
        }
    }
    // The most important requests work too.
    let before = flood.under_way().clone();
    let end = Request::new("DELETE", "/api/v1/sessions?scope=all", &mac.credential);
    server.send(end).await.expect(200);
    overtaken.push(flood.under_way().intersection(&before).count());
    flood.stop.store(true, Ordering::Relaxed);
    flooding.join_all().await;

    overtaken.sort_unstable();
    print_result(&format!(
        "{} ordinary requests during a flood of {at_once} password checks at once: each was answered before at least {} \
         (in the median {}) that had been asked for earlier; {} were looked at, {} turned away",
        overtaken.len(),
        overtaken[0],
        overtaken[overtaken.len() / 2],
        flood.looked_at.load(Ordering::Relaxed),
        flood.turned_away.load(Ordering::Relaxed)
    ));
    assert!(overtaken[0] > 0, "{overtaken:?}");
    assert!(!server.accepts(&chrome.credential).await);
}

/// Concurrent requests of one account's devices with the right password.
const LOOPS: usize = 16 * 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_looping_account_does_not_starve_others() {
    let postgres = Postgres::start("loops").await;
    let people = TestAccounts::with_hash_cost(Passwords::COST, &postgres).await;
    let guest = people.broker("guest").await;
    let admin = people.broker("admin").await;
    let mut others = Vec::new();
    for number in 0..12 {
        others.push(people.broker(&format!("broker-{number}")).await);
    }
    people.close().await;
    let server = Server::start(&postgres, &[]).await;
    let admin = server.desktop(&admin, "office").await;

    let stop = Arc::new(AtomicBool::new(false));
    let (signed_in, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut loops = JoinSet::new();
    for number in 0..LOOPS {
        let (stop, signed_in, refused) = (stop.clone(), signed_in.clone(), refused.clone());
        let (address, guest) = (server.address, guest.clone());
        loops.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let sign_in = desktop_sign_in(&guest, PASSWORD, &format!("device-{}", number % 16));
                let response = sign_in.send(address).await.expect("a response");
                match response.status {
                    201 => _ = signed_in.fetch_add(1, Ordering::Relaxed),
                    // On a slow machine the wait may end before the turn comes.
                    503 if response.is_valid_503() => _ = refused.fetch_add(1, Ordering::Relaxed),
                    429 => {
                        assert_eq!(response.json()["problem"], "rate_limited", "{response:?}");
                        refused.fetch_add(1, Ordering::Relaxed);
                        // Retries almost at once, like a client that ignores Retry-After.
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                    _ => panic!("{response:?}"),
                }
            }
        });
    }
    wait_until("the account has its share", async || {
        refused.load(Ordering::Relaxed) > 0
    })
    .await;

    let start = std::time::Instant::now();
    let mut users = JoinSet::new();
    for other in others {
        let address = server.address;
        users.spawn(async move {
            let response = desktop_sign_in(&other, PASSWORD, "laptop").send(address).await;
            response.expect("a response").expect(201);
        });
    }
    let confirm = Request::new("POST", "/api/v1/session/reauthenticate", &admin.credential);
    server
        .send(confirm.json(&serde_json::json!({ "password": PASSWORD })))
        .await
        .expect(200);
    users.join_all().await;
    let took = start.elapsed();
    stop.store(true, Ordering::Relaxed);
    loops.join_all().await;
    print_result(&format!(
        "12 users signed in and one confirmed a password in {took:?} beside {LOOPS} loops of one account: {} of its \
         sign-ins succeeded, {} were told to wait",
        signed_in.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed)
    ));
}
