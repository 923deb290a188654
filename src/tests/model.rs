//! Random sequences of user actions, compared with a small model: which sessions are live, and why others have ended.

use proptest::prelude::*;
use sqlx::Row as _;

use crate::harness::*;

const HOUR: u64 = 3600;

/// Limits of a vendor, and two settings of the portal below.
const IDLE: u64 = 12 * HOUR;
const LIFETIME: u64 = 24 * HOUR;
const MAX_SESSIONS: usize = 3;
const REAUTH_SECONDS: u64 = 3 * HOUR;
const ACCESS_TOKEN: u64 = 900;

/// Three browsers and two desktops.
const CLIENTS: usize = 5;

/// One step. Sessions are indexes in the order of sign-ins, modulo their number.
#[derive(Clone, Debug)]
enum Step {
    SignIn { place: usize },
    Act { by: usize },
    Refresh { by: usize },
    Extend { by: usize },
    SignOut { by: usize },
    Revoke { by: usize, target: usize },
    RevokeOthers { by: usize },
    RevokeAll { by: usize },
    Wait { time: u64 },
    CleanUp,
}

fn step() -> impl Strategy<Value = Step> {
    let by = 0..64_usize;
    prop_oneof![
        6 => (0..CLIENTS).prop_map(|place| Step::SignIn { place }),
        5 => by.clone().prop_map(|by| Step::Act { by }),
        3 => by.clone().prop_map(|by| Step::Refresh { by }),
        2 => by.clone().prop_map(|by| Step::Extend { by }),
        1 => by.clone().prop_map(|by| Step::SignOut { by }),
        3 => (by.clone(), by.clone()).prop_map(|(by, target)| Step::Revoke { by, target }),
        1 => by.clone().prop_map(|by| Step::RevokeOthers { by }),
        1 => by.prop_map(|by| Step::RevokeAll { by }),
        4 => prop_oneof![
            Just(60), Just(ACCESS_TOKEN), Just(2 * HOUR), Just(5 * HOUR), Just(REAUTH_SECONDS), Just(IDLE - 1), Just(IDLE),
        ].prop_map(|time| Step::Wait { time }),
        1 => Just(Step::CleanUp),
    ]
}

struct ModelSession {
    client: Client,
    place: usize,
    began: u64,
    active: u64,
    access_until: Option<u64>,
    ended: Option<&'static str>,
}

impl ModelSession {
    /// Returns whether its credential is accepted.
    fn is_accepted(&self, now: u64) -> bool {
        self.ended.is_none() && self.access_until.is_none_or(|until| now < until)
    }
}

struct World {
    portal: Portal,
    person: TestUser,
    now: u64,
    sessions: Vec<ModelSession>,
}

impl World {
    async fn new() -> Self {
        let portal = Portal::with(&[("PORTAL_REAUTH_SECONDS", "10800")]).await;
        let person = portal.user("vera").role(Role::Vendor).create().await;
        Self {
            portal,
            person,
            now: 0,
            sessions: Vec::new(),
        }
    }

    async fn wait(&mut self, time: u64) {
        if time > 1 {
            self.portal.write_activity().await;
        }
        // One second passes without a write.
        self.portal.clock.advance(seconds(time));
        self.now += time;
        for session in self.sessions.iter_mut().filter(|session| session.ended.is_none()) {
            let (lifetime_end, idle_end) = (session.began + LIFETIME, session.active + IDLE);
            if self.now >= lifetime_end.min(idle_end) {
                let idle_first = idle_end < lifetime_end;
                session.ended = Some(if idle_first {
                    "idle_timeout"
                } else {
                    "lifetime_exceeded"
                });
            }
        }
    }

    fn live(&self) -> Vec<usize> {
        let live = self.sessions.iter().enumerate();
        live.filter(|(_, session)| session.ended.is_none())
            .map(|(index, _)| index)
            .collect()
    }

    /// Returns the session that a step refers to.
    fn pick(&self, by: usize) -> Option<usize> {
        (!self.sessions.is_empty()).then(|| by % self.sessions.len())
    }

    /// Records a request of the session, which is activity if it is accepted, and returns whether it is.
    fn record_request(&mut self, by: usize) -> bool {
        let now = self.now;
        let session = &mut self.sessions[by];
        let accepted = session.is_accepted(now);
        if accepted {
            session.active = now;
        }
        accepted
    }

    fn is_fresh(&self, by: usize) -> bool {
        self.now - self.sessions[by].began <= REAUTH_SECONDS
    }

    async fn sign_in(&mut self, place: usize) {
        let held = self.sessions.iter().rposition(|session| session.place == place);
        let client = match held {
            Some(held) => self.sessions[held].client.duplicate(),
            None => match place {
                0 => self.portal.browser(CHROME),
                1 => self.portal.browser(FIREFOX),
                2 => self.portal.browser(SAFARI),
                desktop => self.portal.desktop(&format!("desktop-{desktop}")),
            },
        };
        let client = client.signed_in(&self.person).await;
        if let Some(held) = held {
            self.sessions[held].ended.get_or_insert("signed_out");
        }
        self.sessions.push(ModelSession {
            client,
            place,
            began: self.now,
            active: self.now,
            access_until: (place >= 3).then_some(self.now + ACCESS_TOKEN),
            ended: None,
        });
        let mut live = self.live();
        live.sort_by_key(|index| std::cmp::Reverse(self.sessions[*index].active));
        for index in live.split_off(MAX_SESSIONS.min(live.len())) {
            self.sessions[index].ended = Some("session_limit");
        }
    }

    async fn revoke(&mut self, by: usize, query: &str, targets: &[usize], reason: &'static str) {
        let needs_check = targets != [by];
        let (accepted, fresh) = (self.record_request(by), self.is_fresh(by));
        let response = self.sessions[by]
            .client
            .delete(&format!("/api/v1/sessions{query}"))
            .await;
        if !accepted {
            response.expect(401);
        } else if needs_check && !fresh {
            response.expect(403);
        } else {
            let live: Vec<_> = targets
                .iter()
                .copied()
                .filter(|target| self.sessions[*target].ended.is_none())
                .collect();
            if query.starts_with('?') {
                assert_eq!(response.expect(200).json(), json!({ "ended": live.len() }));
            } else {
                response.expect(if live.is_empty() { 404 } else { 204 });
            }
            for target in live {
                self.sessions[target].ended = Some(if targets == [by] && reason == "revoked" {
                    "signed_out"
                } else {
                    reason
                });
            }
        }
    }

    async fn apply(&mut self, step: &Step) {
        match *step {
            Step::SignIn { place } => self.sign_in(place).await,
            Step::Wait { time } => self.wait(time).await,
            Step::CleanUp => {
                self.portal.clean_up().await;
            }
            Step::Act { by } | Step::Extend { by } => {
                let Some(by) = self.pick(by) else { return };
                let accepted = self.record_request(by);
                let client = &self.sessions[by].client;
                let response = match step {
                    Step::Act { .. } => client.get("/api/v1/sessions").await,
                    _ => client.post("/api/v1/session/extend").await,
                };
                response.expect(if accepted { 200 } else { 401 });
            }
            Step::Refresh { by } => {
                let Some(by) = self.pick(by) else { return };
                let session = &mut self.sessions[by];
                if session.access_until.is_none() {
                    return;
                }
                let response = session.client.refresh().await;
                if session.ended.is_none() {
                    response.expect(200);
                    session.access_until = Some(self.now + ACCESS_TOKEN);
                } else {
                    response.expect(401);
                }
            }
            Step::SignOut { by } => {
                let Some(by) = self.pick(by) else { return };
                self.revoke(by, "?scope=current", &[by], "signed_out").await;
            }
            Step::Revoke { by, target } => {
                let (Some(by), Some(target)) = (self.pick(by), self.pick(target)) else {
                    return;
                };
                let path = format!("/{}", self.sessions[target].client.session());
                self.revoke(by, &path, &[target], "revoked").await;
            }
            Step::RevokeOthers { by } => {
                let Some(by) = self.pick(by) else { return };
                let others: Vec<_> = (0..self.sessions.len()).filter(|other| *other != by).collect();
                self.revoke(by, "?scope=others", &others, "revoked").await;
            }
            Step::RevokeAll { by } => {
                let Some(by) = self.pick(by) else { return };
                let all: Vec<_> = (0..self.sessions.len()).collect();
                self.revoke_all(by, &all).await;
            }
        }
    }

    /// Needs a fresh check even if the caller's session is the only one.
    async fn revoke_all(&mut self, by: usize, all: &[usize]) {
        if all == [by] && !self.is_fresh(by) {
            let accepted = self.record_request(by);
            let response = self.sessions[by]
                .client
                .delete("/api/v1/sessions?scope=all")
                .await;
            response.expect(if accepted { 403 } else { 401 });
            return;
        }
        self.revoke(by, "?scope=all", all, "signed_out_everywhere").await;
    }

    /// Compares the portal with the model: responses for sessions that were live before, the database for all.
    async fn assert_agrees(&self, asked: &[usize]) {
        for &index in asked {
            let session = &self.sessions[index];
            let response = session.client.get("/api/v1/session_state").await;
            match session.ended {
                Some(reason) => assert_eq!(response.end_reason(), reason, "session {index}"),
                None if session.is_accepted(self.now) => {
                    let idle_end = response.expect(200).json()["session"]["idle_expires_at"].clone();
                    let left = self.portal.now() + seconds(session.active + IDLE - self.now);
                    // A vendor's activity may not be written yet; the stored time is not later than the true one.
                    let said: chrono::DateTime<chrono::Utc> =
                        serde_json::from_value(idle_end).expect("a time");
                    assert!(said <= left, "session {index}: {said} {left}");
                }
                None => assert_eq!(response.end_reason(), "unknown", "session {index}"),
            }
        }
        let rows = sqlx::query(
            "SELECT id, live_until > $1 AS live, session_end_reason(session_state, $1) AS reason FROM session_state",
        )
        .bind(self.portal.now())
        .fetch_all(&self.portal.sql)
        .await
        .expect("the sessions");
        assert_eq!(rows.len(), self.sessions.len());
        for row in rows {
            let id = SessionId(row.get("id"));
            let index = self
                .sessions
                .iter()
                .position(|session| session.client.session() == id)
                .expect("one of them");
            // An unnoticed expiry may still move because of unwritten activity.
            let reason: Option<String> = (!row.get::<bool, _>("live")).then(|| row.get("reason"));
            assert_eq!(reason.as_deref(), self.sessions[index].ended, "session {index}");
        }
    }
}

#[test]
fn portal_agrees_with_the_model_for_every_sequence() {
    let steps = prop::collection::vec(step(), 1..40);
    for_all(30, &steps, async |steps| {
        let mut world = World::new().await;
        for step in &steps {
            let before = world.live();
            world.wait(1).await;
            world.assert_agrees(&before).await;
            world.apply(step).await;
            world.assert_agrees(&before).await;
        }
        let ended: Vec<_> = world
            .sessions
            .iter()
            .filter(|session| session.ended.is_some())
            .collect();
        for session in &ended {
            // A session without further requests has not been noticed as expired.
            session.client.get("/api/v1/session_state").await.expect(401);
            let reason = session.ended.expect("ended");
            world.portal.assert_ended(session.client.session(), reason).await;
        }
        assert_eq!(world.portal.audit("session_ended").await.len(), ended.len());
        assert_eq!(world.portal.audit("token_reused").await, []);
    });
}
