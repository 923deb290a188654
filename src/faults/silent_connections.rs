//! Clients connect and send nothing, more of them than the server may open files.

use std::time::{Duration, Instant};

use tokio::{io::AsyncReadExt as _, net::TcpStream, task::JoinSet};

use crate::harness::*;

const FILES: u32 = 256;
const CONNECTIONS: usize = 300;

/// By then every silent connection is closed.
const DEADLINE: Duration = Duration::from_secs(75);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_are_closed_and_requests_are_answered() {
    let postgres = Postgres::start("silent").await;
    let people = TestAccounts::of(&postgres).await;
    let maria = people.broker("maria").await;
    people.close().await;
    let mut server = Server::run(Server::command_with_files(&postgres, FILES)).await;
    let desktop = server.desktop(&maria, "desktop").await;
    let mut stream = EventStream::open(server.address, &desktop.credential).await;

    let began = Instant::now();
    let mut silent = JoinSet::new();
    for count in 0..CONNECTIONS {
        let mut connection = TcpStream::connect(server.address).await.expect("connected");
        silent.spawn(async move {
            let mut all = Vec::new();
            // A reset counts as a close.
            _ = connection.read_to_end(&mut all).await;
            all.len()
        });
        if count % 10 == 0 {
            for path in ["/healthz", "/readyz"] {
                server.get(path, &Credential::Nothing).await.expect(200);
            }
            assert!(server.accepts(&desktop.credential).await);
        }
    }
    let closed = tokio::time::timeout(DEADLINE.saturating_sub(began.elapsed()), silent.join_all()).await;
    let closed = closed.expect("closed in time");
    server.get("/healthz", &Credential::Nothing).await.expect(200);
    print_result(&format!(
        "{CONNECTIONS} silent connections with {FILES} files: all closed after {} s, every request answered",
        began.elapsed().as_secs()
    ));
    assert!(closed.iter().all(|received| *received == 0));
    // The stream that was open all the time stays open.
    stream.read_until("event: heartbeat").await;
    assert!(server.still_runs());
}
