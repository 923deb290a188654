//! The server is killed during revocations: each is complete or undone, and confirmed ones are complete.

use tokio::{sync::mpsc::unbounded_channel, task::JoinSet};

use crate::harness::*;

/// Rounds, unless `PORTAL_TEST_ROUNDS` is set.
const ROUNDS: usize = 15;

/// Users who revoke sessions at the moment of the kill. Each revocation needs a few of the sixteen connections.
const AT_ONCE: usize = 12;

/// A user with three sessions, and how some of them are revoked.
struct Ending {
    sessions: [SignedIn; 3],
    /// Indexes of the sessions to end.
    ends: &'static [usize],
    request: Request,
}

impl Ending {
    /// Uses every way to revoke a session in turn.
    async fn begin(server: &Server, email: &str, way: usize) -> Self {
        let sessions = [
            server.browser(email).await,
            server.desktop(email, "laptop").await,
            server.desktop(email, "office").await,
        ];
        let [browser, laptop, office] = [0, 1, 2].map(|place| &sessions[place].credential);
        let (ends, request): (&[usize], _) = match way % 6 {
            0 => (
                &[0, 1, 2],
                Request::new("DELETE", "/api/v1/sessions?scope=all", laptop),
            ),
            1 => (
                &[0, 1, 2],
                Request::new("POST", "/api/sign_out_all_devices", browser).form(""),
            ),
            2 => (
                &[0, 1],
                Request::new("DELETE", "/api/v1/sessions?scope=others", office),
            ),
            3 => {
                let path = format!("/api/v1/sessions/{}", sessions[2].id);
                (&[2], Request::new("DELETE", &path, laptop))
            }
            4 => (&[0], Request::new("POST", "/api/sign_out", browser).form("")),
            _ => (
                &[1],
                Request::new("DELETE", "/api/v1/sessions?scope=current", laptop),
            ),
        };
        Self {
            sessions,
            ends,
            request,
        }
    }
}

/// Results of all revocations after the restart.
#[derive(Debug, Default)]
struct Sum {
    answered: usize,
    done_without_an_answer: usize,
    not_done: usize,
    /// Confirmed, but the credential is still accepted.
    lost: usize,
    /// Some of the sessions have ended, but not all.
    half_way: usize,
    /// Sessions that ended without being selected.
    beside: usize,
}

impl Sum {
    async fn add(&mut self, server: &Server, ending: &Ending, answered: bool) {
        let mut over = Vec::new();
        for (place, session) in ending.sessions.iter().enumerate() {
            let is_over = !server.accepts(&session.credential).await;
            if ending.ends.contains(&place) {
                over.push(is_over);
            } else {
                self.beside += usize::from(is_over);
            }
            // The refresh token must be as valid as the session.
            if !session.refresh_token.is_empty() && is_over {
                let body = serde_json::json!({ "refresh_token": session.refresh_token });
                let refresh = Request::new("POST", "/api/v1/sessions/refresh", &Credential::Nothing);
                server.send(refresh.json(&body)).await.expect(401);
            }
        }
        let (all, none) = (over.iter().all(|over| *over), !over.contains(&true));
        match (answered, all, none) {
            (true, true, _) => self.answered += 1,
            (true, false, _) => self.lost += 1,
            (false, true, _) => self.done_without_an_answer += 1,
            (false, _, true) => self.not_done += 1,
            (false, false, false) => self.half_way += 1,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_server_leaves_revocations_complete_or_undone() {
    let rounds = rounds(ROUNDS);
    let postgres = Postgres::start("kill").await;
    let people = TestAccounts::of(&postgres).await;
    let mut emails = Vec::new();
    for person in 0..rounds * AT_ONCE {
        emails.push(people.broker(&format!("person-{person}")).await);
    }
    people.close().await;

    let mut sum = Sum::default();
    let mut server = Server::start(&postgres, &[]).await;
    for (round, emails) in emails.chunks(AT_ONCE).enumerate() {
        let mut endings = Vec::new();
        for (way, email) in emails.iter().enumerate() {
            endings.push(Ending::begin(&server, email, way).await);
        }

        let (responses, mut answered) = unbounded_channel();
        let mut under_way = JoinSet::new();
        for (place, ending) in endings.iter().enumerate() {
            let (request, address, responses) = (ending.request.clone(), server.address, responses.clone());
            under_way.spawn(async move {
                if let Ok(response) = request.send(address).await {
                    assert!((200..300).contains(&response.status), "{response:?}");
                    _ = responses.send(place);
                }
            });
        }
        drop(responses);
        // After this many responses, the others are at any stage.
        let mut done = Vec::new();
        for _ in 0..=round % (AT_ONCE - 1) {
            done.extend(answered.recv().await);
        }
        server.kill();
        while let Some(place) = answered.recv().await {
            done.push(place);
        }
        under_way.join_all().await;
        server.exited().await;
        // A commit in progress either succeeds or fails; then its connection is gone.
        wait_until("the killed server's connections are gone", async || {
            postgres.connections_of_servers().await == 0
        })
        .await;

        server = Server::start(&postgres, &[]).await;
        for (place, ending) in endings.iter().enumerate() {
            sum.add(&server, ending, done.contains(&place)).await;
        }
    }
    server.terminate();
    assert!(server.exited().await.success());
    let (apart, ends) = postgres.unreported_ends().await;
    let verified = Server::command(&postgres)
        .args(["audit", "verify"])
        .output()
        .await;
    let verified = verified.expect("broker-portal starts");
    let said = String::from_utf8_lossy(&verified.stdout);

    let Sum {
        answered,
        done_without_an_answer,
        not_done,
        lost,
        half_way,
        beside,
    } = sum;
    print_result(&format!(
        "killed {rounds} times during {} revocations: {answered} answered and done, {done_without_an_answer} done \
         without a response, {not_done} not done; lost {lost}, half-way {half_way}, ended beside {beside}",
        rounds * AT_ONCE
    ));
    print_result(&format!(
        "of {ends} ended sessions {apart} differ from the audit log or the event log; audit verify: {}",
        said.lines().next().unwrap_or_default()
    ));
    assert_eq!((lost, half_way, beside, apart), (0, 0, 0, 0));
    assert!(verified.status.success(), "{said}");
    // The kills did happen in the middle.
    assert!(
        answered > 0 && not_done > 0,
        "{answered} answered, {not_done} not done"
    );
}
