//! The server stops while a thousand streams are open.

use std::{collections::BTreeSet, time::Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;

use crate::harness::*;

const STREAMS: usize = 1000;

/// The server's limits of streams per session, and of sessions per user whose streams count.
const OF_SESSION: usize = 8;
const OF_PERSON: usize = 12;

/// Milliseconds, as in `server/api/events.rs`.
const RETRY: std::ops::Range<u64> = 500..3000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_server_closes_a_thousand_streams() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("raised");
    let postgres = Postgres::start("stop").await;
    let people = TestAccounts::of(&postgres).await;
    let sessions = OF_PERSON.to_string();
    let mut server = Server::start(&postgres, &[("PORTAL_MAX_SESSIONS_BROKER", &sessions)]).await;
    let mut opening = JoinSet::new();
    let address = server.address;
    for session in 0..STREAMS / OF_SESSION {
        let email = format!("person-{}@broker.example", session / OF_PERSON);
        if session % OF_PERSON == 0 {
            people.broker(&format!("person-{}", session / OF_PERSON)).await;
        }
        let desktop = server.desktop(&email, &format!("desktop-{session}")).await;
        for _ in 0..OF_SESSION {
            let credential = desktop.credential.clone();
            opening.spawn(async move { EventStream::open(address, &credential).await });
        }
    }
    people.close().await;
    let streams = opening.join_all().await;
    let retries: BTreeSet<u64> = streams.iter().map(EventStream::retry_delay_ms).collect();

    let began = Instant::now();
    server.terminate();
    let mut closing = JoinSet::new();
    for mut stream in streams {
        closing.spawn(async move { (stream.read_to_end().await, stream.text) });
    }
    let status = server.exited().await;
    let took = began.elapsed();
    let ends = closing.join_all().await;
    let cut_off = ends.iter().filter(|(closed, _)| !closed).count();
    let signed_out = ends
        .iter()
        .filter(|(_, text)| text.contains("session_ended"))
        .count();
    print_result(&format!(
        "told to stop with {} open streams: gone after {} ms; {cut_off} streams cut off, {signed_out} told of an end; \
         told to come back after {} different times from {} to {} ms",
        ends.len(),
        took.as_millis(),
        retries.len(),
        retries.first().copied().unwrap_or_default(),
        retries.last().copied().unwrap_or_default()
    ));
    assert!(status.success(), "{status:?}");
    assert_eq!((ends.len(), cut_off, signed_out), (STREAMS, 0, 0));
    assert!(retries.iter().all(|retry| RETRY.contains(retry)), "{retries:?}");
    // Of 2,500 possible values for a thousand streams: fewer distinct ones mean that clients return together.
    assert!(retries.len() > 500, "{} different times", retries.len());

    // The next server accepts them.
    let next = Server::start(&postgres, &[("PORTAL_MAX_SESSIONS_BROKER", &sessions)]).await;
    next.desktop("person-0@broker.example", "desktop-0").await;
}
