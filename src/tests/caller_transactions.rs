//! Actions of a session that is revoked, or whose credential is replaced, while they wait: each fails and writes nothing.
//!
//! The list of actions comes from the server itself, so that a new one must be classified in [`World::uses`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use leptos::server_fn::axum::server_fn_paths;
use tokio::time::timeout;

use crate::harness::*;

/// What a server function or API route does.
enum Use {
    /// Changes something on behalf of the caller's session.
    Changes(Call),
    /// Ends the caller's session, so there is nothing to refuse.
    SignsOut(Call),
    /// Reads only and waits for nothing.
    Reads(Call),
    /// Needs no session.
    NoSession,
    /// Tested elsewhere: an endless response, or a session identified by a refresh token.
    Elsewhere,
}

/// A session, and another one of the same user that revokes it.
struct World {
    portal: Portal,
    /// The user and the administrator.
    maria: TestUser,
    ada: TestUser,
    /// The user on whom the administrator acts.
    bea: TestUser,
    bea_session: SessionId,
    browser: Client,
    desktop: Client,
    admin: Client,
    /// Another session of the user.
    other: SessionId,
    notice: String,
    organization: String,
}

impl World {
    async fn build() -> Self {
        let portal = Portal::with(&[
            ("PORTAL_ALERT_WEBHOOK_URL", "http://127.0.0.1:9/"),
            (
                "PORTAL_ALERT_WEBHOOK_SECRET",
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            ),
        ])
        .await;
        let maria = portal.user("maria").member_of("Northgate").member_of("Southgate");
        let maria = maria.create().await;
        let ada = portal.system_admin("ada").await;
        let bea = portal.member("bea", "Northgate").await;
        let bea_session = portal.browser(SAFARI).signed_in(&bea).await.session();
        let browser = portal.browser(CHROME).signed_in(&maria).await;
        let desktop = portal.desktop("mac").signed_in(&maria).await;
        let other = portal.browser(FIREFOX).signed_in(&maria).await.session();
        let admin = portal.browser(CHROME).signed_in(&ada).await;
        let notices = browser.post_json("/api/list_security_notices").await;
        let notice = notices[0]["id"].as_str().expect("a notice").to_owned();
        let organization: uuid::Uuid = portal
            .scalar("SELECT id FROM organizations WHERE name = 'Southgate'")
            .await;
        Self {
            organization: organization.to_string(),
            portal,
            maria,
            ada,
            bea,
            bea_session,
            browser,
            desktop,
            admin,
            other,
            notice,
        }
    }

    /// Returns how to call an operation. Fails for unclassified operations.
    fn uses(&self, operation: &str) -> Vec<Use> {
        use Use::{Changes, Elsewhere, NoSession, Reads, SignsOut};
        let (path, method) = operation.split_once(' ').map_or((operation, ""), |(m, p)| (p, m));
        let (browser, admin) = (&self.browser, &self.admin);
        let (bea, other) = (self.bea.id.to_string(), self.other.to_string());
        let of_person = [("user_id", &*bea)];
        let revoke = |body: Value| admin.post("/api/v1/admin/sessions/revoke").json(&body);
        let end = |fields: &[(&str, &str)]| {
            let begun_by = [("begun_by", "2099-01-01T00:00:00.000Z")];
            Changes(admin.post(path).form(&[&begun_by[..], fields].concat()))
        };
        match operation {
            "/api/sign_in" | "/api/choose_theme" | "POST /api/v1/sessions" => vec![NoSession],
            "/api/sign_in_notice"
            | "/api/list_active_sessions"
            | "/api/list_security_notices"
            | "/api/show_viewer"
            | "/api/show_overview" => vec![Reads(browser.post(path))],
            "GET /api/v1/sessions" | "GET /api/v1/session_state" => vec![Reads(browser.get(path))],
            "/api/draw_admin" => vec![Reads(
                admin.post(path).form(&[("place", "/dashboard/admin/people")]),
            )],
            "GET /api/v1/admin/sessions" | "GET /api/v1/admin/audit" => vec![Reads(admin.get(path))],
            // Exports write an audit row.
            "GET /api/v1/admin/sessions.csv" | "GET /api/v1/admin/audit.jsonl" => {
                vec![Changes(admin.get(path))]
            }
            "GET /api/v1/session/events" | "POST /api/v1/sessions/refresh" => vec![Elsewhere],
            "/api/sign_out" => vec![SignsOut(browser.post(path))],
            "/api/revoke_session" => vec![Changes(browser.post(path).form(&[("session_id", &other)]))],
            "/api/sign_out_other_devices" | "/api/sign_out_all_devices" | "/api/extend_session" => {
                vec![Changes(browser.post(path))]
            }
            "/api/change_password" => vec![Changes(browser.post(path).form(&[
                ("current_password", &self.maria.password),
                ("new_password", "an entirely new password"),
            ]))],
            "/api/dismiss_security_notice" => {
                vec![Changes(browser.post(path).form(&[("notice_id", &self.notice)]))]
            }
            "/api/switch_organization" => {
                let fields = [("organization_id", &*self.organization)];
                vec![Changes(browser.post(path).form(&fields))]
            }
            "/api/admin_end_sessions" => vec![
                end(&[("which", "end_listed"), ("filter", "kind=browser")]),
                end(&[
                    ("which", "end_one"),
                    ("session_id", &self.bea_session.to_string()),
                ]),
                end(&[("which", "end_person"), ("user_id", &bea)]),
            ],
            "/api/admin_disable_person" | "/api/admin_require_password" => {
                vec![Changes(admin.post(path).form(&of_person))]
            }
            "/api/admin_enable_person" => vec![Changes(admin.post(path).form(&of_person))],
            "/api/admin_change_role" => {
                let role = [("role", "guest"), ("organization_id", &*self.organization)];
                let user = [("user_id", &*self.maria.id.to_string())];
                vec![Changes(admin.post(path).form(&[&role[..], &user[..]].concat()))]
            }
            "/api/admin_test_alerts" => vec![Changes(admin.post(path))],
            "DELETE /api/v1/sessions" => ["current", "others", "all"]
                .map(|scope| Changes(browser.delete(&format!("{path}?scope={scope}"))))
                .into(),
            "DELETE /api/v1/sessions/{id}" => [other, browser.session().to_string()]
                .map(|id| Changes(browser.delete(&format!("/api/v1/sessions/{id}"))))
                .into(),
            "POST /api/v1/session/extend" => vec![Changes(browser.post(path))],
            "POST /api/v1/session/reauthenticate" => {
                let body = json!({ "password": self.maria.password });
                vec![
                    Changes(browser.post(path).json(&body)),
                    Changes(self.desktop.post(path).json(&body)),
                ]
            }
            "POST /api/v1/devices/heartbeat" => vec![Changes(self.desktop.post(path))],
            "POST /api/v1/admin/sessions/revoke" => vec![
                Changes(revoke(json!({ "filter": { "kind": "browser" } }))),
                Changes(revoke(json!({ "ids": [self.bea_session] }))),
                Changes(revoke(json!({ "user_id": self.bea.id }))),
            ],
            other => panic!("{other} is new: say here what it does and how it is called ({method} {path})"),
        }
    }

    /// Returns every row of every table, except attempt counts, which are taken before the lock and returned.
    async fn rows(&self) -> BTreeMap<String, BTreeSet<String>> {
        let tables: Vec<String> = self.portal.column("SELECT table_name::text FROM information_schema.tables
            WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'password_attempts'").await;
        let mut rows = BTreeMap::new();
        for table in tables {
            let all: Vec<String> = self
                .portal
                .column(&format!("SELECT t::text FROM {table} t"))
                .await;
            rows.insert(table, all.into_iter().collect());
        }
        rows
    }

    fn user_of(&self, call: &Call) -> &TestUser {
        if call.client().session() == self.admin.session() {
            &self.ada
        } else {
            &self.maria
        }
    }

    /// Asserts how many rows were removed from and added to each table since `before`.
    async fn assert_changed(
        &self,
        before: &BTreeMap<String, BTreeSet<String>>,
        expected: impl Fn(&str) -> (usize, usize),
        context: &str,
    ) {
        for (table, rows) in &self.rows().await {
            let changed = (
                before[table].difference(rows).count(),
                rows.difference(&before[table]).count(),
            );
            assert_eq!(changed, expected(table), "{context} wrote to {table}");
        }
    }

    /// Revokes the caller's session while `call` waits, and returns the response. Only the revocation may be written.
    async fn revoke_first(self, operation: &str, call: Call) -> TestResponse {
        let (caller, user) = (call.client().session(), call.client().clone());
        let before = self.rows().await;

        let lock = HeldLock::of_user(&self.portal, self.user_of(&call)).await;
        let accounts = self.portal.accounts();
        let revocation = tokio::spawn(async move { accounts.revoke_session(caller, None).await });
        lock.until_waiting(1).await;
        let waiting = lock.queue(call, 2).await;
        lock.release().await;
        revocation.await.expect("ran").expect("revoked");
        let response = waiting.await.expect("the request task");

        assert!(!user.is_live().await, "{operation}");
        let of_desktop = caller == self.desktop.session();
        let expected = |table: &str| match table {
            "sessions" => (1, 1),
            "devices" if of_desktop => (1, 1),
            "audit_events" | "audit_unsealed" => (0, 1),
            "session_events" => (0, 2),
            _ => (0, 0),
        };
        self.assert_changed(&before, expected, &format!("{operation}: {response:#?}"))
            .await;
        self.portal.assert_ended(caller, "revoked_by_admin").await;
        response
    }

    /// Replaces the credential of the caller's session while `call` waits behind that, and gives its response. Nothing but
    /// the replacement is written, and no cookie comes with the response.
    async fn replace_first(self, operation: &str, call: Call) -> TestResponse {
        let (old, new) = (call.client().clone(), call.client().duplicate());
        let person = self.user_of(&call);
        let body = json!({ "password": person.password });
        let before = self.rows().await;

        let lock = HeldLock::of_user(&self.portal, person).await;
        let renewal = new.post("/api/v1/session/reauthenticate").json(&body);
        let renewal = lock.queue(renewal, 1).await;
        let waiting = lock.queue(call, 2).await;
        lock.release().await;
        let renewed = renewal.await.expect("the request task").expect(200).json();
        let response = waiting.await.expect("the request task");

        let of_desktop = old.session() == self.desktop.session();
        let expected = |table: &str| match table {
            "sessions" => (1, 1),
            "replaced_cookies" if of_desktop => (0, 0),
            "audit_events" | "audit_unsealed" | "session_events" | "replaced_cookies" => (0, 1),
            _ => (0, 0),
        };
        let context = format!("{operation}: {response:#?}");
        self.assert_changed(&before, expected, &context).await;
        assert_eq!(response.all("set-cookie"), Vec::<&str>::new(), "{context}");
        assert_eq!(response.header("x-portal-not-executed"), Some("1"), "{context}");
        if of_desktop {
            new.set_access_token(renewed["access_token"].as_str().expect("a token"));
        }
        assert!(new.is_live().await, "{operation}");
        assert!(!old.is_live().await, "{operation}");
        response
    }
}

fn all_operations(described: &Description) -> BTreeSet<String> {
    let server_fns = server_fn_paths().map(|(path, _)| path.to_owned());
    server_fns.chain(described.operations()).collect()
}

/// Checks each operation that changes something, each with its own portal and live sessions.
async fn check_actions(check: impl AsyncFn(World, &str, Use)) {
    let spare = World::build().await;
    let operations = all_operations(&Description::fetch(&spare.portal).await);
    assert!(operations.contains("/api/sign_out") && operations.contains("DELETE /api/v1/sessions"));
    let mut actions = 0;
    for operation in &operations {
        for (place, found) in spare.uses(operation).iter().enumerate() {
            if matches!(found, Use::Changes(_) | Use::SignsOut(_)) {
                let world = World::build().await;
                let action = world.uses(operation).swap_remove(place);
                check(world, operation, action).await;
                actions += 1;
            }
        }
    }
    assert!(actions >= 25, "only {actions} actions were found");
}

#[track_caller]
fn assert_ended(response: &TestResponse, reason: &str) {
    let expected = json!({ "code": "session_ended", "reason": reason });
    let error = response.json();
    assert_eq!(
        json!({ "code": error["code"], "reason": error["reason"] }),
        expected,
        "{response:#?}"
    );
}

#[tokio::test]
async fn revoked_sessions_actions_fail_and_write_nothing() {
    check_actions(async |world, operation, action| match action {
        Use::SignsOut(call) => drop(world.revoke_first(operation, call).await.expect(200)),
        Use::Changes(call) => {
            let response = world.revoke_first(operation, call).await.expect(401);
            assert_ended(&response, "revoked_by_admin");
        }
        Use::Reads(_) | Use::NoSession | Use::Elsewhere => {}
    })
    .await;
}

#[tokio::test]
async fn replaced_credentials_actions_fail_and_write_nothing() {
    check_actions(async |world, operation, action| {
        let (Use::Changes(call) | Use::SignsOut(call)) = action else {
            return;
        };
        // A desktop refreshes its token; a browser may not have received its new cookie.
        let of_desktop = call.client().session() == world.desktop.session();
        let reason = if of_desktop { "unknown" } else { "renewal_lost" };
        let response = world.replace_first(operation, call).await.expect(401);
        assert_ended(&response, reason);
    })
    .await;
}

#[tokio::test]
async fn reads_wait_for_no_lock_and_write_nothing() {
    let world = World::build().await;
    let operations = all_operations(&Description::fetch(&world.portal).await);
    let before = world.rows().await;
    let locks = [
        HeldLock::of_user(&world.portal, &world.maria).await,
        HeldLock::of_user(&world.portal, &world.ada).await,
    ];
    for operation in &operations {
        for used in world.uses(operation) {
            if let Use::Reads(call) = used {
                let response = timeout(Duration::from_secs(20), call.into_future()).await;
                let response = response.unwrap_or_else(|_| panic!("{operation} waits: it is no read"));
                response.expect(200);
            }
        }
    }
    for lock in locks {
        lock.release().await;
    }
    assert_eq!(world.rows().await, before);
}
