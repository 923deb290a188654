//! Postgres goes away and comes back under load: nobody is signed out, no confirmed result is lost, and nobody restarts
//! the server.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use broker_portal::server::database::Database;
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::*;

/// Concurrent requests of each sort.
const OF_EACH: usize = 2;

/// What the load has observed. Cheap to clone.
#[derive(Clone, Default)]
struct Seen(Arc<Parts>);

#[derive(Default)]
struct Parts {
    counts: Mutex<Counts>,
    stop: AtomicBool,
}

#[derive(Default)]
struct Counts {
    requests: usize,
    refused: usize,
    /// By sort of request: number of consecutive correct responses, and number of 503s.
    of_sort: BTreeMap<&'static str, (usize, usize)>,
    wrong: Vec<String>,
    /// The first correct response since this was reset.
    first_right: Option<Instant>,
}

/// How a response is rated.
enum Worth {
    /// As expected.
    Right,
    /// A complete 503.
    Refused,
}

impl Seen {
    /// Counts a response. Anything except `right` and a valid 503 is wrong.
    fn note(
        &self,
        sort: &'static str,
        response: std::io::Result<Response>,
        right: &[u16],
    ) -> Option<(Worth, Response)> {
        let mut counts = self.counts();
        counts.requests += 1;
        match response {
            Ok(response) if right.contains(&response.status) => {
                counts.of_sort.entry(sort).or_default().0 += 1;
                counts.first_right.get_or_insert_with(Instant::now);
                Some((Worth::Right, response))
            }
            Ok(response) if response.is_valid_503() => {
                counts.refused += 1;
                counts.of_sort.entry(sort).or_default().1 += 1;
                counts.of_sort.entry(sort).or_default().0 = 0;
                Some((Worth::Refused, response))
            }
            Ok(response) => {
                counts.wrong.push(format!("{sort}: {response:?}"));
                None
            }
            Err(error) => {
                counts.wrong.push(format!("{sort}: no response: {error}"));
                None
            }
        }
    }

    /// Waits until the condition holds for every sort of request.
    async fn until_each(&self, sorts: &[&'static str], holds: impl Fn((usize, usize)) -> bool) {
        wait_until("every sort of request", async || {
            let counts = self.counts();
            let each = |sort: &&str| counts.of_sort.get(*sort).copied().is_some_and(&holds);
            assert_eq!(counts.wrong, Vec::<String>::new());
            sorts.iter().all(each)
        })
        .await;
    }

    fn begin_anew(&self) {
        let mut counts = self.counts();
        counts.of_sort.clear();
        counts.first_right = None;
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().expect("nobody panicked")
    }

    fn refused(&self) -> usize {
        self.counts().refused
    }

    fn first_right(&self) -> Instant {
        self.counts().first_right.expect("a right response")
    }

    fn stop(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.0.stop.load(Ordering::Relaxed)
    }
}

const SORTS: [&str; 5] = ["browser", "desktop", "page", "refresh", "sign-in and sign-out"];

/// Repeats a request that a live session always gets a response to.
async fn look(seen: Seen, address: SocketAddr, sort: &'static str, path: &'static str, shown: Credential) {
    while seen.goes_on() {
        let request = Request::new("GET", path, &shown).header("accept", "text/html,application/json");
        seen.note(sort, request.send(address).await, &[200]);
    }
}

/// Refreshes repeatedly with the last token received. Returns the tokens that must be valid.
async fn refresh(seen: Seen, address: SocketAddr, mut held: SignedIn) -> SignedIn {
    while seen.goes_on() {
        let body = json!({ "refresh_token": held.refresh_token });
        let request = Request::new("POST", "/api/v1/sessions/refresh", &Credential::Nothing).json(&body);
        if let Some((Worth::Right, response)) = seen.note("refresh", request.send(address).await, &[200]) {
            held = SignedIn::of_desktop(&response);
        }
    }
    held
}

/// Repeatedly signs in, checks and signs out. Returns the credentials that were confirmed as ended.
async fn come_and_go(seen: Seen, address: SocketAddr, email: String) -> Vec<Credential> {
    const SORT: &str = "sign-in and sign-out";
    let mut over = Vec::new();
    let mut browser = false;
    while seen.goes_on() {
        browser = !browser;
        let sign_in = if browser {
            browser_sign_in(&email)
        } else {
            desktop_sign_in(&email, PASSWORD, "the one and only")
        };
        let signed_in = seen.note(SORT, sign_in.send(address).await, &[200, 201]);
        let Some((Worth::Right, response)) = signed_in else {
            continue;
        };
        let credential = match response.status {
            201 => SignedIn::of_desktop(&response).credential,
            _ => SignedIn::cookie_of(&response).expect("a cookie"),
        };
        // Committed work is there.
        let state = Request::new("GET", "/api/v1/session_state", &credential);
        seen.note(SORT, state.send(address).await, &[200]);
        let sign_out = Request::new("DELETE", "/api/v1/sessions?scope=current", &credential);
        if let Some((Worth::Right, _)) = seen.note(SORT, sign_out.send(address).await, &[200]) {
            over.push(credential);
        }
    }
    over
}

/// How Postgres goes away.
enum Fault {
    Stopped,
    /// The postmaster is killed and restarted.
    Crashed,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outage_under_load_answers_503_and_loses_nothing() {
    let mut postgres = Postgres::start("outage").await;
    let people = TestAccounts::of(&postgres).await;
    let maria = people.broker("maria").await;
    let mut server = Server::start(&postgres, &[]).await;
    let address = server.address;
    let seen = Seen::default();
    let (mut looking, mut refreshing, mut coming) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    let mut kept = Vec::new();
    for n in 0..OF_EACH {
        let browser = server.browser(&maria).await.credential;
        let desktop = server.desktop(&maria, &format!("looking-{n}")).await.credential;
        let state = "/api/v1/session_state";
        looking.spawn(look(seen.clone(), address, "browser", state, browser.clone()));
        looking.spawn(look(seen.clone(), address, "page", "/dashboard", browser.clone()));
        looking.spawn(look(seen.clone(), address, "desktop", state, desktop.clone()));
        kept.extend([browser, desktop]);
        let email = people.broker(&format!("refreshing-{n}")).await;
        let held = server.desktop(&email, "refreshing").await;
        refreshing.spawn(refresh(seen.clone(), address, held));
        let email = people.broker(&format!("coming-{n}")).await;
        coming.spawn(come_and_go(seen.clone(), address, email));
    }
    let jonas = people.broker("jonas").await;
    let caller = server.desktop(&jonas, "caller").await.credential;
    people.close().await;
    let end = async |session: &SignedIn| {
        let path = format!("/api/v1/sessions/{}", session.id);
        server
            .send(Request::new("DELETE", &path, &caller))
            .await
            .expect(204);
    };
    seen.until_each(&SORTS, |(right, _)| right >= 20).await;

    // Disconnects the listener and ends a session before it is back.
    let watched = server.desktop(&jonas, "watched").await;
    let mut stream = EventStream::open(address, &watched.credential).await;
    let cut =
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'";
    let cut: i64 = sqlx::query_scalar(cut)
        .fetch_one(&postgres.sql)
        .await
        .expect("terminated");
    assert_eq!(cut, 1, "someone listened");
    end(&watched).await;
    stream.read_until("event: session_ended").await;
    assert!(stream.read_to_end().await);

    let mut streams_closed = 0;
    for fault in [Fault::Stopped, Fault::Crashed] {
        let watched = server.desktop(&jonas, "watched").await;
        let mut stream = EventStream::open(address, &watched.credential).await;
        let refused = seen.refused();
        seen.begin_anew();
        let began = match fault {
            Fault::Stopped => {
                postgres.stop().await;
                seen.until_each(&SORTS, |(_, refused)| refused >= 3).await;
                server.get("/healthz", &Credential::Nothing).await.expect(200);
                seen.begin_anew();
                let told_to = Instant::now();
                postgres.start_again().await;
                told_to
            }
            Fault::Crashed => {
                let crashed = Instant::now();
                postgres.crash().await;
                seen.begin_anew();
                crashed
            }
        };
        // Each connection that broke unnoticed may cost another attempt.
        let in_a_row = 2 * Database::MAX_CONNECTIONS as usize;
        seen.until_each(&SORTS, |(right, _)| right >= in_a_row).await;
        let waited = seen.first_right().duration_since(began);
        let (happened, since) = match fault {
            Fault::Stopped => ("stopped and started", "it was told to start"),
            Fault::Crashed => ("crashed", "the crash"),
        };
        print_result(&format!(
            "Postgres {happened} under load: {} times 503; the first right response {} ms after {since}",
            seen.refused() - refused,
            waited.as_millis()
        ));
        // The stream stayed open and receives new events.
        assert!(!stream.text.contains("session_ended"), "{}", stream.text);
        end(&watched).await;
        stream.read_until("event: session_ended").await;
        streams_closed += usize::from(stream.read_to_end().await);
    }

    seen.stop();
    looking.join_all().await;
    let mut lost = 0;
    let over: Vec<Credential> = coming.join_all().await.into_iter().flatten().collect();
    for credential in &over {
        lost += usize::from(server.accepts(credential).await);
    }
    kept.extend(
        refreshing
            .join_all()
            .await
            .into_iter()
            .map(|held| held.credential),
    );
    for credential in &kept {
        lost += usize::from(!server.accepts(credential).await);
    }
    let (apart, ends) = postgres.unreported_ends().await;
    let for_other_reasons: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sessions WHERE end_reason NOT IN ('signed_out', 'revoked', 'session_limit')",
    )
    .fetch_one(&postgres.sql)
    .await
    .expect("the sessions");
    let counts = seen.counts();
    print_result(&format!(
        "{} requests, {} times 503, {} wrong responses; of {} sign-outs answered and {} sessions kept {lost} lost; of \
         {ends} ends {apart} differ from the logs",
        counts.requests,
        counts.refused,
        counts.wrong.len(),
        over.len(),
        kept.len(),
    ));
    assert_eq!(counts.wrong, Vec::<String>::new());
    assert_eq!((lost, apart, for_other_reasons, streams_closed), (0, 0, 0, 2));
    drop(counts);
    assert!(server.still_runs(), "the server was not started anew");
}
