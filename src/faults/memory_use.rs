//! Memory use of sign-ins. The bounds are generous: before a fix, the server grew by 700 MB.

use crate::harness::*;
use broker_portal::server::auth::passwords::Passwords;

/// Sign-ins, each with its own User-Agent.
const SIGN_INS: usize = 1_000;

/// Maximum growth of the server in MiB.
const MOST_GROWTH: u64 = 40;

/// Returns the server's resident memory in MiB.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).expect("a process");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("a size");
    let kilobytes = line
        .split_whitespace()
        .nth(1)
        .and_then(|size| size.parse::<u64>().ok());
    kilobytes.expect("a number") / 1024
}

/// Returns a User-Agent that no other sign-in has.
fn user_agent(number: usize) -> String {
    let systems = [
        "Windows NT 10.0; Win64; x64",
        "X11; Linux x86_64",
        "Macintosh; Intel Mac OS X 10_15_7",
        "Linux; Android 10; K",
        "Linux; Android 13; Pixel 7",
        "iPhone; CPU iPhone OS 17_5 like Mac OS X",
        "X11; CrOS x86_64 14541.0.0",
    ];
    let system = systems[number % systems.len()];
    let version = 80 + number % 70;
    match number % 5 {
        0 => format!(
            "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.{number}.0 Safari/537.36"
        ),
        1 => format!("Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0.{number}"),
        2 => format!(
            "Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.{number} Mobile/15E148 Safari/604.1"
        ),
        3 => format!(
            "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36 Edg/{version}.0.{number}.1"
        ),
        _ => format!("some-tool-{number}/{version}.{number} (build {number}; {system})"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_sign_ins_leave_memory_bounded() {
    let postgres = Postgres::start("memory").await;
    // Use production hashes, which need 19 MiB each.
    let people = TestAccounts::with_hash_cost(Passwords::COST, &postgres).await;
    let mut emails = Vec::new();
    for number in 0..8 {
        emails.push(people.broker(&format!("broker-{number}")).await);
    }
    people.close().await;
    let server = Server::start(&postgres, &[]).await;
    server.browser(&emails[0]).await;
    let before = resident(&server);

    let mut under_way = tokio::task::JoinSet::new();
    for (number, email) in emails.iter().enumerate() {
        let (address, email) = (server.address, email.clone());
        under_way.spawn(async move {
            for round in 0..SIGN_INS / 8 {
                let request = browser_sign_in(&email).header("user-agent", &user_agent(round * 8 + number));
                request.send(address).await.expect("a response").expect(200);
            }
        });
    }
    under_way.join_all().await;
    let after = resident(&server);
    print_result(&format!(
        "{SIGN_INS} sign-ins with as many User-Agents: {before} MiB resident before, {after} MiB after"
    ));
    assert!(after < before + MOST_GROWTH, "{before} MiB, then {after} MiB");
}
