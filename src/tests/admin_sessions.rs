//! Administrators list and revoke sessions.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use domain::{filter::Filter as _, session_filter::SessionFilter, time::format_rfc3339};
use http_body_util::BodyExt as _;

use crate::harness::*;

/// An administrator of Northgate, users of Northgate and of Harbour, and one of both.
struct Brokerages {
    portal: Portal,
    admin: Client,
    /// Signed-in clients, named by the test.
    north: Vec<Client>,
    both: Vec<Client>,
    harbour: Vec<Client>,
    harbour_admin: Client,
    bea: TestUser,
}

impl Brokerages {
    async fn open() -> Self {
        Self::with(&[]).await
    }

    async fn with(settings: &[(&str, &str)]) -> Self {
        let portal = Portal::with(settings).await;
        let admin = portal
            .user("ada")
            .role(Role::Admin)
            .member_of("Northgate")
            .create()
            .await;
        let nora = portal.user("nora").member_of("Northgate").create().await;
        let vera = portal
            .user("vera")
            .role(Role::Vendor)
            .member_of("Northgate")
            .create()
            .await;
        let bea = portal.user("bea").member_of("Harbour").create().await;
        portal.advance(seconds(1)).await;
        portal.user("bea").member_of("Northgate").create().await;
        let hugo = portal.user("hugo").member_of("Harbour").create().await;
        let harbour_admin = portal
            .user("hana")
            .role(Role::Admin)
            .member_of("Harbour")
            .create()
            .await;
        let north = vec![
            portal.browser(CHROME).at("203.0.113.7").signed_in(&nora).await,
            portal
                .desktop("nora-mac")
                .at("203.0.113.8")
                .signed_in(&nora)
                .await,
            portal.browser(SAFARI).signed_in(&vera).await,
        ];
        let both = vec![
            portal.browser(FIREFOX).signed_in(&bea).await,
            portal.desktop("bea-pc").signed_in(&bea).await,
        ];
        let harbour = vec![portal.browser(CHROME).signed_in(&hugo).await];
        let admin = portal.browser(CHROME).signed_in(&admin).await;
        let harbour_admin = portal.browser(CHROME).signed_in(&harbour_admin).await;
        Self {
            portal,
            admin,
            north,
            both,
            harbour,
            harbour_admin,
            bea,
        }
    }

    fn of_northgate(&self) -> BTreeSet<SessionId> {
        let clients = self.north.iter().chain(&self.both).chain([&self.admin]);
        clients.map(Client::session).collect()
    }

    async fn assert_live(&self, clients: &[Client]) {
        for client in clients {
            assert_eq!(self.portal.end_reason(client.session()).await, None);
        }
    }
}

async fn page(client: &Client, query: &str) -> Value {
    client
        .get(&format!("/api/v1/admin/sessions?{query}"))
        .await
        .expect(200)
        .json()
}

fn ids(page: &Value) -> Vec<SessionId> {
    let rows = page["sessions"].as_array().expect("rows");
    rows.iter()
        .map(|row| row["id"].as_str().expect("an id").parse().expect("an id"))
        .collect()
}

/// Returns the rows of all pages in order, and the total that every page showed.
async fn all(client: &Client, query: &str, limit: u16) -> (Vec<SessionId>, i64) {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = page(client, &format!("{query}&limit={limit}&after={after}")).await;
        found.extend(ids(&page));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return (found, page["total"].as_i64().expect("a total")),
        }
    }
}

async fn revoke(client: &Client, body: Value) -> TestResponse {
    client.post("/api/v1/admin/sessions/revoke").json(&body).await
}

#[tokio::test]
async fn only_administrators_get_in_on_every_route() {
    let brokerages = Brokerages::open().await;
    let nora = &brokerages.north[0];
    let target = brokerages.both[0].session();
    for path in [
        "/api/v1/admin/sessions",
        "/api/v1/admin/sessions.csv",
        "/api/v1/admin/audit",
        "/api/v1/admin/audit.jsonl",
    ] {
        assert_eq!(nora.get(path).await.expect(403).problem(), "forbidden", "{path}");
        assert_eq!(
            brokerages
                .portal
                .anonymous()
                .get(path)
                .await
                .expect(401)
                .problem(),
            "session_ended",
            "{path}"
        );
    }
    for body in [
        json!({ "filter": { "state": "live" } }),
        json!({ "ids": [target] }),
        json!({ "user_id": brokerages.bea.id }),
    ] {
        assert_eq!(revoke(nora, body).await.expect(403).problem(), "forbidden");
    }
    for page in ["sessions", "audit"] {
        let html = nora
            .get(&format!("/dashboard/admin/{page}"))
            .await
            .expect(403)
            .body;
        assert!(
            html.contains("This page is for administrators") && !html.contains("bea@"),
            "{page}"
        );
        let answer = brokerages
            .portal
            .anonymous()
            .get(&format!("/dashboard/admin/{page}"))
            .await;
        assert_eq!(answer.location(), format!("/login?next=/dashboard/admin/{page}"));
    }
    let drawn = nora
        .post("/api/draw_admin")
        .form(&[("place", "/dashboard/admin/sessions")])
        .await;
    assert_eq!(drawn.expect(403).json()["code"], "forbidden");
    let bea = brokerages.bea.id.to_string();
    let now = "2099-01-01T00:00:00.000Z";
    let calls: [(&str, Vec<(&str, &str)>); 5] = [
        (
            "admin_end_sessions",
            vec![("which", "end_person"), ("user_id", &bea), ("begun_by", now)],
        ),
        ("admin_disable_person", vec![("user_id", &bea)]),
        ("admin_enable_person", vec![("user_id", &bea)]),
        ("admin_require_password", vec![("user_id", &bea)]),
        ("admin_change_role", vec![("user_id", &bea), ("role", "admin")]),
    ];
    for (name, fields) in calls {
        let answer = nora.post(&format!("/api/{name}")).form(&fields).await;
        assert_eq!(answer.expect(403).json()["code"], "forbidden", "{name}");
    }
    brokerages.assert_live(&brokerages.both).await;
    // Once per window, however many attempts.
    let denied = brokerages.portal.audit("denied").await;
    let denied: Vec<_> = denied
        .iter()
        .map(|row| (row.actor_session, row.reason.as_deref()))
        .collect();
    assert_eq!(denied, [(Some(nora.session()), Some("administrators_only"))]);
}

#[tokio::test]
async fn two_organizations_never_see_each_other() {
    let brokerages = Brokerages::open().await;
    let Brokerages { admin, harbour, .. } = &brokerages;
    let listed: BTreeSet<SessionId> = all(admin, "", 2).await.0.into_iter().collect();
    assert_eq!(
        listed,
        brokerages.of_northgate(),
        "all sessions of members, wherever they look at the moment"
    );
    let hugo = harbour[0].session();
    let texts = [
        admin.get("/api/v1/admin/sessions?state=all").await.body,
        admin.get("/api/v1/admin/sessions.csv?state=all").await.body,
        admin.get("/api/v1/admin/audit?limit=200").await.body,
        admin.get("/api/v1/admin/audit.jsonl").await.body,
        admin.get("/dashboard/admin/sessions?state=all").await.body,
        admin.get("/dashboard/admin/audit").await.body,
        admin
            .get(&format!("/dashboard/admin/sessions?session={hugo}"))
            .await
            .body,
        admin
            .get(&format!(
                "/dashboard/admin/sessions?session={}",
                brokerages.both[0].session()
            ))
            .await
            .body,
        admin.get(&format!("/api/v1/admin/sessions?q={hugo}")).await.body,
    ];
    for text in texts {
        for other in ["hugo@broker.example", "hana@broker.example", "Harbour"] {
            assert!(!text.contains(other), "{other} in {text}");
        }
    }
    // Ids do not help either.
    let user = brokerages.portal.audit("user_created").await;
    let hugo_id = user.iter().map(|row| row.user).nth(4).flatten().expect("hugo");
    assert_eq!(
        revoke(admin, json!({ "ids": [hugo] })).await.expect(200).json()["ended"],
        0
    );
    assert_eq!(
        revoke(admin, json!({ "user_id": hugo_id }))
            .await
            .expect(404)
            .problem(),
        "not_found"
    );
    assert_eq!(
        revoke(admin, json!({ "filter": { "user": hugo_id.to_string() } }))
            .await
            .expect(200)
            .json()["ended"],
        0
    );
    brokerages.assert_live(harbour).await;
    // A system administrator sees all sessions.
    let root = brokerages
        .portal
        .user("root")
        .role(Role::SystemAdmin)
        .create()
        .await;
    let root = brokerages.portal.browser(CHROME).signed_in(&root).await;
    let everyone = page(&root, "").await;
    assert_eq!(everyone["total"], 9);
    assert!(ids(&everyone).contains(&hugo));
}

#[tokio::test]
async fn roles_in_other_organizations_are_hidden() {
    let brokerages = Brokerages::open().await;
    brokerages.portal.advance(seconds(1)).await;
    // Bea administers Harbour but is a broker at Northgate.
    brokerages
        .portal
        .user("bea")
        .role(Role::Admin)
        .member_of("Harbour")
        .create()
        .await;
    let listed = page(&brokerages.admin, &format!("user={}", brokerages.bea.id)).await;
    for row in listed["sessions"].as_array().expect("rows") {
        assert_eq!(row["user"]["role"], "broker");
    }
    let of_admins = page(&brokerages.admin, "role=admin").await;
    assert_eq!(ids(&of_admins), [brokerages.admin.session()]);
    let log = brokerages
        .admin
        .get("/api/v1/admin/audit?kind=role_changed")
        .await
        .expect(200)
        .json();
    assert_eq!(log["events"], json!([]));
}

/// List, count, export and revocation use the same filter.
#[tokio::test]
async fn list_count_export_and_revocation_share_a_filter() {
    let filters = [
        "",
        "kind=browser",
        "kind=desktop",
        "role=vendor",
        "role=broker&kind=desktop",
        "q=nora",
        "q=NORA-mac",
        "q=203.0.113.8",
        "q=203.0.113.0/24",
        "q=%25",
        "q=nobody%20at%20all",
        "age=within_hour",
        "age=over_day",
        "suspicion=none",
        "suspicion=raised",
        "q=bea%40broker",
    ];
    for query in filters {
        let brokerages = Brokerages::with(&[("PORTAL_NOTICE_NEW_DEVICE", "off")]).await;
        let admin = &brokerages.admin;
        let (listed, total) = all(admin, query, 1).await;
        let listed: BTreeSet<SessionId> = listed.into_iter().collect();
        assert_eq!(i64::try_from(listed.len()).expect("few"), total, "{query}");
        let csv = admin
            .get(&format!("/api/v1/admin/sessions.csv?{query}"))
            .await
            .expect(200)
            .body;
        let exported: BTreeSet<SessionId> = csv
            .lines()
            .skip(1)
            .filter_map(|line| {
                line.rsplit(',')
                    .nth(1)
                    .and_then(|id| id.trim_matches('"').parse().ok())
            })
            .collect();
        assert_eq!(exported, listed, "{query}");

        // A revocation needs a state where the list has a default.
        let revoked = if query.is_empty() { "state=live" } else { query };
        let fields: serde_json::Map<String, Value> = revoked
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| {
                let value = value.replace("%25", "%").replace("%20", " ").replace("%40", "@");
                (name.to_owned(), json!(value))
            })
            .collect();
        let answer = revoke(admin, json!({ "filter": fields, "own_too": true }))
            .await
            .expect(200)
            .json();
        assert_eq!(
            (&answer["ended"], &answer["left"]),
            (&json!(total), &json!(0)),
            "{query}"
        );
        let mut clients: Vec<&Client> = brokerages
            .north
            .iter()
            .chain(&brokerages.both)
            .chain(&brokerages.harbour)
            .collect();
        clients.push(admin);
        clients.push(&brokerages.harbour_admin);
        for client in clients {
            let expected = listed
                .contains(&client.session())
                .then(|| "revoked_by_admin".to_owned());
            assert_eq!(
                brokerages.portal.end_reason(client.session()).await,
                expected,
                "{query}"
            );
        }
    }
}

#[tokio::test]
async fn pages_lose_and_repeat_no_row_when_equal() {
    let brokerages = Brokerages::open().await;
    // All times are equal; in one order, users are equal too.
    sqlx::query("UPDATE sessions SET last_active_at = (SELECT min(created_at) FROM sessions), created_at = (SELECT min(created_at) FROM sessions)")
        .execute(&brokerages.portal.sql)
        .await
        .expect("an update");
    for sort in ["last_active", "began", "person"] {
        for limit in [1, 2, 5, 200] {
            let (found, total) = all(&brokerages.admin, &format!("sort={sort}"), limit).await;
            let unique: BTreeSet<SessionId> = found.iter().copied().collect();
            assert_eq!((found.len(), total), (6, 6), "{sort} {limit}");
            assert_eq!(unique, brokerages.of_northgate());
        }
    }
    let (by_person, _) = all(&brokerages.admin, "sort=person", 200).await;
    assert_eq!(by_person[0], brokerages.admin.session(), "ada comes first");
}

#[tokio::test]
async fn expired_sessions_have_a_reason_before_cleanup() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal, admin, north, ..
    } = &brokerages;
    north[0].post("/api/sign_out").await.expect(200);
    // A vendor's session expires and nobody notices.
    portal.advance(seconds(2 * 3600)).await;
    let live = page(admin, "").await;
    assert_eq!(live["total"], 5);
    portal.advance(seconds(3 * 3600)).await;
    let _admin = portal
        .browser(CHROME)
        .signed_in(&portal_admin(portal).await)
        .await;
    let vera = north[2].session();
    portal.advance(seconds(8 * 3600)).await;
    let admin2 = portal
        .browser(FIREFOX)
        .signed_in(&portal_admin(portal).await)
        .await;
    let ended = page(&admin2, "state=ended&q=vera").await;
    assert_eq!(ids(&ended), [vera]);
    let row = &ended["sessions"][0];
    // Thirteen hours have passed of twelve.
    let ran_out = format_rfc3339(portal.now() - TimeDelta::hours(1));
    assert_eq!(
        (&row["state"], &row["reason"], &row["ended_at"]),
        (&json!("ended"), &json!("idle_timeout"), &json!(ran_out))
    );
    assert_eq!(
        ids(&page(&admin2, "reason=signed_out&state=ended").await),
        [north[0].session()]
    );
    assert_eq!(page(&admin2, "state=live&reason=signed_out").await["total"], 0);
    assert_eq!(page(&admin2, "state=all").await["total"], 8);
}

async fn portal_admin(portal: &Portal) -> TestUser {
    let id = portal.audit("user_created").await[0].user.expect("ada");
    TestUser {
        id,
        email: "ada@broker.example".to_owned(),
        password: "the password of ada".to_owned(),
    }
}

#[tokio::test]
async fn invalid_filter_lists_and_ends_nothing() {
    let brokerages = Brokerages::open().await;
    let admin = &brokerages.admin;
    for query in [
        "kinds=browser",
        "kind=phone",
        "state=dead",
        "limit=0",
        "limit=201",
        "after=x",
        "sort=size",
    ] {
        let answer = admin.get(&format!("/api/v1/admin/sessions?{query}")).await;
        assert_eq!(answer.expect(422).problem(), "invalid_input", "{query}");
        let answer = admin.get(&format!("/api/v1/admin/sessions.csv?{query}")).await;
        answer.expect(422);
    }
    for body in [
        json!({}),
        json!({ "filters": {} }),
        json!({ "filter": { "kinds": "browser" } }),
        json!({ "filter": { "kind": "phone" } }),
        json!({ "filter": { "state": "ended" } }),
        json!({ "filter": { "state": "live" }, "ids": [] }),
        json!({ "ids": ["nonsense"] }),
        json!({ "filter": { "state": "live" }, "begun_by": "yesterday" }),
        json!({ "filter": { "state": "live" }, "reason": "a".repeat(201) }),
        json!({ "filter": { "state": "live" }, "reason": "a\nb" }),
    ] {
        assert_eq!(
            revoke(admin, body.clone()).await.expect(422).problem(),
            "invalid_input",
            "{body}"
        );
    }
    assert_eq!(brokerages.portal.audit("session_ended").await, []);
}

#[tokio::test]
async fn users_see_actor_and_note_and_streams_close() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal,
        admin,
        north,
        both,
        ..
    } = &brokerages;
    let _listening = portal.start_listener().await;
    let stream = north[0].get("/api/v1/session/events").stream().await;
    let desktop = both[1].get("/api/v1/session/events").stream().await;
    let answer = revoke(
        admin,
        json!({ "filter": { "state": "live" }, "reason": "The office moves tonight." }),
    )
    .await
    .expect(200)
    .json();
    assert_eq!((&answer["ended"], &answer["left"]), (&json!(5), &json!(0)));
    for stream in [stream, desktop] {
        let told = stream.until_closed().await;
        let last = told.last().expect("an end");
        assert_eq!(
            (last.kind.as_str(), &last.data["reason"]),
            ("session_ended", &json!("revoked_by_admin"))
        );
    }
    let login = north[0].get("/login").await.expect(200).body;
    assert!(login.contains("An administrator ended your session. Reason given: The office moves tonight."));
    assert!(
        admin.is_live().await,
        "one's own session stays unless it is asked for"
    );
    let row = &portal.ends_of(north[0].session()).await[0];
    assert_eq!(
        (row.actor_session, row.detail["note"].as_str()),
        (Some(admin.session()), Some("The office moves tonight."))
    );
    let whole = &portal.audit("sessions_ended_by_filter").await[0];
    assert_eq!(
        (&whole.detail["listed"], &whole.detail["filter"]),
        (&json!(5), &json!("state=live"))
    );
    // Repeating is harmless.
    assert_eq!(
        revoke(admin, json!({ "filter": { "state": "live" } }))
            .await
            .expect(200)
            .json()["ended"],
        0
    );
}

#[tokio::test]
async fn sign_ins_after_the_question_stay() {
    let brokerages = Brokerages::open().await;
    let Brokerages { portal, admin, .. } = &brokerages;
    let first = revoke(admin, json!({ "ids": [brokerages.north[0].session()] }))
        .await
        .expect(200)
        .json();
    portal.advance(seconds(5)).await;
    let again = portal.browser(FIREFOX).signed_in(&brokerages.bea).await;
    let body = json!({ "filter": { "state": "live" }, "begun_by": first["begun_by"] });
    assert_eq!(revoke(admin, body).await.expect(200).json()["ended"], 4);
    assert!(again.is_live().await);
}

#[tokio::test]
async fn revoking_a_user_rejects_sign_ins_in_progress() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal,
        admin,
        bea,
        both,
        ..
    } = &brokerages;
    let before = portal.epoch(bea.id).await;
    let answer = revoke(admin, json!({ "user_id": bea.id }))
        .await
        .expect(200)
        .json();
    assert_eq!(answer["ended"], 2);
    assert_eq!(
        portal.epoch(bea.id).await,
        before + 1,
        "whoever has looked at the password already comes too late"
    );
    for client in both {
        assert_eq!(client.end_reason().await, "revoked_by_admin");
    }
}

#[tokio::test]
async fn revocation_asks_for_a_recent_password_check() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal, admin, bea, ..
    } = &brokerages;
    portal.advance(seconds(1801)).await;
    let body = json!({ "user_id": bea.id });
    assert_eq!(revoke(admin, body).await.expect(403).problem(), "reauth_required");
    let id = bea.id.to_string();
    let fields = [
        ("which", "end_person"),
        ("user_id", &*id),
        ("begun_by", "2099-01-01T00:00:00.000Z"),
    ];
    let asked = admin.post("/api/admin_end_sessions").form(&fields).await;
    assert_eq!(asked.expect(403).json()["code"], "reauth_required");
    brokerages.assert_live(&brokerages.both).await;
    let wrong = [&fields[..], &[("password", "guess")]].concat();
    assert_eq!(
        admin
            .post("/api/admin_end_sessions")
            .form(&wrong)
            .await
            .expect(401)
            .json()["code"],
        "invalid_credentials"
    );
    let right = [&fields[..], &[("password", "the password of ada")]].concat();
    let done = admin
        .post("/api/admin_end_sessions")
        .form(&right)
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&done["ended"], &done["left"], &done["next"]),
        (&json!(2), &json!(0), &json!("/dashboard/admin/sessions"))
    );
    assert!(admin.is_live().await, "with its new cookie");
}

#[tokio::test]
async fn former_administrator_ends_no_session() {
    let brokerages = Brokerages::open().await;
    let Brokerages { portal, admin, .. } = &brokerages;
    let replica = admin.duplicate();
    // Demote the administrator while the request waits for the lock of the demotion.
    let ada = portal_admin(portal).await;
    let mut tx = portal.sql.begin().await.expect("a transaction");
    sqlx::query("SELECT 1 FROM users WHERE id = $1 FOR UPDATE")
        .bind(ada.id.0)
        .execute(&mut *tx)
        .await
        .expect("a lock");
    let asking =
        tokio::spawn(async move { revoke(&replica, json!({ "filter": { "state": "live" } })).await });
    portal.until_waiting(1).await;
    sqlx::query("UPDATE memberships SET role = 'broker' WHERE user_id = $1")
        .bind(ada.id.0)
        .execute(&mut *tx)
        .await
        .expect("a demotion");
    tx.commit().await.expect("a commit");
    assert_eq!(
        asking.await.expect("an answer").expect(403).problem(),
        "forbidden"
    );
    assert_eq!(portal.audit("session_ended").await, []);
}

#[tokio::test]
async fn page_and_export_escape_names_and_hide_secrets() {
    let brokerages = Brokerages::open().await;
    let Brokerages { portal, admin, .. } = &brokerages;
    let eve = portal
        .user("eve")
        .display_name("<img src=x onerror=alert(1)>")
        .member_of("Northgate")
        .create()
        .await;
    let eve = portal
        .desktop("eve")
        .device("device_name", "=HYPERLINK(\"//evil\")")
        .signed_in(&eve)
        .await;
    let zoe = portal
        .user("zoe")
        .display_name("Zoë Müller")
        .member_of("Northgate")
        .create()
        .await;
    portal
        .desktop("zoe")
        .device("device_name", "PC;=cmd|' /C calc'!A0;x")
        .signed_in(&zoe)
        .await;
    let html = admin
        .get(&format!(
            "/dashboard/admin/sessions?session={}&ask=end_person",
            eve.session()
        ))
        .await
        .expect(200)
        .body;
    assert!(html.contains("&lt;img src=x") && !html.contains("<img src=x"));
    let csv = admin.get("/api/v1/admin/sessions.csv").await.expect(200);
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(csv.header("cache-control"), Some("no-store"));
    let csv = csv.body;
    assert!(csv.contains("\"'=HYPERLINK(\"\"//evil\"\")\""), "{csv}");
    assert!(csv.contains("\"PC;'=cmd|' /C calc'!A0;x\""), "{csv}");
    // Excel needs a byte order mark to read UTF-8.
    assert!(csv.starts_with("\u{feff}\"person\",\"email\""), "{csv}");
    assert!(csv.contains("\"Zoë Müller\""), "{csv}");
    let list = admin.get("/api/v1/admin/sessions").await.body;
    let secrets = [
        eve.access_token(),
        eve.refresh_token(),
        admin.cookie().expect("a cookie"),
    ];
    for text in [&html, &csv, &list] {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()));
        }
        assert!(!text.contains("hash"), "{text}");
    }
}

#[tokio::test]
async fn panel_shows_history_and_dialog_names_the_count() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal, admin, north, ..
    } = &brokerages;
    let session = north[1].session();
    portal.advance(seconds(60)).await;
    north[1].refresh().await.expect(200);
    let place = format!("/dashboard/admin/sessions?session={session}");
    let html = admin.get(&place).await.expect(200).body;
    for words in [
        "What happened",
        "Signed in",
        "Access token refreshed",
        "1 time in all",
        "Other live sessions",
        "End this session",
    ] {
        assert!(html.contains(words), "{words}");
    }
    let asked = admin
        .get("/dashboard/admin/sessions?ask=end_listed&kind=desktop")
        .await
        .expect(200)
        .body;
    assert!(asked.contains("End 2 sessions?") && asked.contains("on desktops"));
    // Without JavaScript the form returns to the list, which shows the result.
    let plain = portal.browser(CHROME).without_script();
    plain.set_cookie(&admin.cookie().expect("a cookie"));
    let fields = [
        ("which", "end_one"),
        ("session_id", &*session.to_string()),
        ("begun_by", "2099-01-01T00:00:00.000Z"),
        ("reason", "A lost laptop."),
        ("next", &place),
    ];
    let answer = plain
        .post("/api/admin_end_sessions")
        .form(&fields)
        .await
        .expect(302);
    assert_eq!(answer.location(), place);
    let html = plain.follow(&answer).await.expect(200).body;
    assert!(html.contains("1 session ended.") && html.contains("A lost laptop."));
    assert_eq!(
        portal.end_reason(session).await.as_deref(),
        Some("revoked_by_admin")
    );
    // A form redirects to the list only.
    let elsewhere = [
        ("which", "end_listed"),
        ("filter", "q=nobody"),
        ("begun_by", "2099-01-01T00:00:00.000Z"),
        ("next", "//evil.example"),
    ];
    let answer = plain
        .post("/api/admin_end_sessions")
        .form(&elsewhere)
        .await
        .expect(302);
    assert_eq!(answer.location(), "/dashboard/admin/sessions");
}

#[tokio::test]
async fn revocation_runs_in_batches_and_resumes_after_failure() {
    let portal = Portal::start().await;
    let admin = portal
        .user("ada")
        .role(Role::Admin)
        .member_of("Northgate")
        .create()
        .await;
    let nora = portal.user("nora").member_of("Northgate").create().await;
    let desktop = portal.desktop("one").signed_in(&nora).await;
    let admin = portal.browser(CHROME).signed_in(&admin).await;
    // More than two batches, for one user and for many.
    sqlx::query(
        "INSERT INTO users (id, email, display_name, role, password_hash, password_changed_at, created_at)
        SELECT gen_random_uuid(), 'many' || n || '@broker.example', 'Many', 'broker', 'x', now(), now()
        FROM generate_series(1, 300) n",
    )
    .execute(&portal.sql)
    .await
    .expect("people");
    sqlx::query(
        "INSERT INTO memberships SELECT u.id, o.id, 'broker', now() FROM users u, organizations o WHERE u.email LIKE 'many%'",
    )
    .execute(&portal.sql)
    .await
    .expect("memberships");
    sqlx::query(
        "INSERT INTO sessions (id, user_id, organization_id, kind, credential_hash, epoch, created_at, authenticated_at,
            last_active_at, last_seen_at, ip_address, user_agent)
        SELECT gen_random_uuid(), u.id, m.organization_id, 'browser', sha256((u.id::text || n)::bytea), 0, s.created_at,
            s.created_at, s.last_active_at, s.last_active_at, s.ip_address, 'x'
        FROM users u JOIN memberships m ON m.user_id = u.id, generate_series(1, 2) n,
            (SELECT * FROM sessions WHERE kind = 'desktop') s WHERE u.email LIKE 'many%'",
    )
    .execute(&portal.sql)
    .await
    .expect("sessions");
    assert_eq!(page(&admin, "").await["total"], 602);
    let mut ended = 0;
    let mut body = json!({ "filter": { "role": "broker" } });
    loop {
        let answer = revoke(&admin, body.clone()).await.expect(200).json();
        ended += answer["ended"].as_i64().expect("a number");
        body["begun_by"] = answer["begun_by"].clone();
        if answer["left"] == 0 {
            break;
        }
    }
    assert_eq!(ended, 601);
    assert_eq!(page(&admin, "").await["total"], 1);
    assert_eq!(desktop.end_reason().await, "revoked_by_admin");
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_events WHERE kind = 'session_ended'")
        .fetch_one(&portal.sql)
        .await
        .expect("a count");
    assert_eq!(rows, 601, "each with its row");
}

#[tokio::test]
async fn callers_session_stays_unless_included() {
    let brokerages = Brokerages::open().await;
    let admin = &brokerages.admin;
    let (state, own) = (admin.get("/api/v1/session_state").await.json(), admin.session());
    let body = json!({ "user_id": state["user"]["id"] });
    let ended = revoke(admin, body.clone()).await.expect(200).json();
    assert_eq!((&ended["ended"], &ended["left"]), (&json!(0), &json!(0)));
    assert!(admin.is_live().await);

    let body = json!({ "user_id": body["user_id"], "own_too": true });
    assert_eq!(revoke(admin, body).await.expect(200).json()["ended"], 1);
    assert_eq!(admin.end_reason().await, "revoked_by_admin");
    assert_eq!(
        brokerages.portal.end_reason(own).await.as_deref(),
        Some("revoked_by_admin")
    );
}

#[tokio::test]
async fn revoking_a_user_names_the_administrator_every_time() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal,
        admin,
        bea,
        both,
        ..
    } = &brokerages;
    let body = json!({ "user_id": bea.id, "begun_by": "2000-01-01T00:00:00.000Z", "reason": "A test." });
    assert_eq!(revoke(admin, body).await.expect(200).json()["ended"], 2);
    for client in both {
        let row = &portal.ends_of(client.session()).await[0];
        assert_eq!(
            (
                row.actor_session,
                row.reason.as_deref(),
                row.detail["note"].as_str()
            ),
            (Some(admin.session()), Some("revoked_by_admin"), Some("A test."))
        );
    }
}

#[tokio::test]
async fn signed_out_administrator_signs_nobody_out() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal,
        admin,
        bea,
        both,
        ..
    } = &brokerages;
    let lock = HeldLock::of_user(portal, bea).await;
    let asking = admin.duplicate();
    let body = json!({ "user_id": bea.id });
    let asking = tokio::spawn(async move { revoke(&asking, body).await });
    lock.until_waiting(1).await;
    sqlx::query("UPDATE sessions SET ended_at = now(), end_reason = 'signed_out' WHERE id = $1")
        .bind(admin.session().0)
        .execute(&portal.sql)
        .await
        .expect("an end");
    lock.release().await;
    asking.await.expect("an answer").expect(401);
    for client in both {
        assert_eq!(portal.end_reason(client.session()).await, None);
    }
}

/// Every notation of a filter without conditions, as API, form and service receive it.
#[tokio::test]
async fn revocation_rejects_every_empty_filter() {
    let brokerages = Brokerages::open().await;
    let Brokerages { portal, admin, .. } = &brokerages;
    let mut bodies = vec![
        json!({ "filter": {} }),
        json!({ "filter": null }),
        json!({ "filter": "" }),
        json!({ "filter": [] }),
        json!({ "filter": { "q": null } }),
        json!({ "filter": { "all": "true" } }),
        json!({ "filter": { "kind": "", "role": " ", "user": "" } }),
        json!({ "ids": [] }),
        json!({ "ids": null }),
        json!({ "ids": [""] }),
        json!({ "user_id": "" }),
        json!({ "user_id": null }),
        json!({ "filter": {}, "ids": [], "user_id": null }),
    ];
    let blanks = [
        "",
        " ",
        "\t",
        "\u{a0}",
        "\u{200b}",
        "\u{ad}\u{2060}",
        "\u{feff}",
        "\u{3164}",
        "\u{e0041}",
    ];
    for blank in blanks {
        for &field in SessionFilter::FIELDS {
            bodies.push(json!({ "filter": { field: blank } }));
            bodies.push(json!({ "filter": { field: blank, "state": "live" } }));
        }
    }
    // A repeated state cannot be expressed in JSON.
    bodies.retain(|body| {
        body["filter"]
            .as_object()
            .is_none_or(|filter| filter.get("state") != Some(&json!("live")) || filter.len() > 1)
    });
    for mut body in bodies {
        body["own_too"] = json!(true);
        let answer = revoke(admin, body.clone()).await.expect(422);
        assert_eq!(answer.problem(), "invalid_input", "{body}");
    }
    for filter in [
        "",
        "&",
        "q=",
        "q=+",
        "q=%E2%80%8B",
        "q=&kind=&state=",
        "kind=&q=%C2%AD",
        "q=&state=live",
        "after=1",
    ] {
        let fields = [
            ("which", "end_listed"),
            ("begun_by", "2099-01-01T00:00:00.000Z"),
            ("filter", filter),
        ];
        admin
            .post("/api/admin_end_sessions")
            .form(&fields)
            .await
            .expect(422);
    }
    assert_eq!(portal.audit("session_ended").await, []);
    assert_eq!(portal.audit("sessions_ended_by_filter").await, []);
    // The list accepts what the revocation rejects.
    for query in ["", "q=", "q=%E2%80%8B"] {
        assert_eq!(page(admin, query).await["total"], 6, "{query}");
    }
    let answer = revoke(admin, json!({ "filter": { "state": "live" } }))
        .await
        .expect(200);
    assert_eq!(answer.json()["ended"], 5);
}

#[tokio::test]
async fn form_without_a_valid_filter_ends_nothing() {
    let brokerages = Brokerages::open().await;
    let Brokerages { portal, admin, .. } = &brokerages;
    let base = [("which", "end_listed"), ("begun_by", "2099-01-01T00:00:00.000Z")];
    for more in [
        &[][..],
        &[("filter", "")],
        &[("filter", "knd=desktop")],
        &[("filter", "kind=phone")],
        &[("filter", "kind=%FF")],
        &[("filter", "kind=%zz")],
        &[("filter", "user")],
        &[("filter", "kind=desktop&kind=browser")],
    ] {
        let fields = [&base[..], more].concat();
        admin
            .post("/api/admin_end_sessions")
            .form(&fields)
            .await
            .expect(422);
    }
    assert_eq!(portal.audit("session_ended").await, []);
    for query in [
        "kind=phone&ask=end_listed",
        "rolle=x&ask=end_listed",
        "kind=%FF&ask=end_listed",
        "kind&ask=end_listed",
    ] {
        let html = admin
            .get(&format!("/dashboard/admin/sessions?{query}"))
            .await
            .expect(200)
            .body;
        assert!(
            html.contains("in the address") && html.contains("0 sessions"),
            "{query}"
        );
        assert!(
            !html.contains("nora@") && !html.contains("<dialog class=\"dialog fragment"),
            "{query}"
        );
    }
    for query in ["kind=%FF", "kind", "kind=desktop&kind=browser"] {
        for path in ["sessions", "sessions.csv"] {
            let path = format!("/api/v1/admin/{path}?{query}");
            admin.get(&path).await.expect(422);
        }
    }
}

/// Returns the hidden fields of a rendered form.
fn drawn_fields(html: &str) -> Vec<(&str, &str)> {
    let form = html
        .split("<form method=\"post\" action=\"/api/admin_end_sessions\"")
        .nth(1);
    let form = form
        .and_then(|rest| rest.split("</form>").next())
        .expect("the question");
    form.split("<input type=\"hidden\"")
        .skip(1)
        .filter_map(|tag| {
            let value_of = |name: &str| {
                let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
                rest.split('"').next()
            };
            Some((value_of("name")?, value_of("value").unwrap_or_default()))
        })
        .collect()
}

#[tokio::test]
async fn rendered_form_ends_exactly_what_it_names() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal,
        admin,
        north,
        both,
        harbour,
        ..
    } = &brokerages;
    // The test's clock is fixed, so no session is newer.
    let html = admin
        .get("/dashboard/admin/sessions?ask=end_listed")
        .await
        .expect(200)
        .body;
    assert!(html.contains("End 5 sessions?"), "{html}");
    let fields = drawn_fields(&html);
    assert!(fields.contains(&("filter", "state=live")), "{fields:?}");
    let answer = admin
        .post("/api/admin_end_sessions")
        .form(&fields)
        .await
        .expect(200);
    assert_eq!(answer.json()["ended"], 5);
    for client in north.iter().chain(both) {
        assert_eq!(client.end_reason().await, "revoked_by_admin");
    }
    assert!(admin.is_live().await && harbour[0].is_live().await);
    assert_eq!(portal.audit("session_ended").await.len(), 5);
    // A dialog about the own user does not name the session that stays.
    let state = admin.get("/api/v1/session_state").await.expect(200).json();
    let own = state["user"]["id"].as_str().expect("an id").to_owned();
    let path =
        format!("/dashboard/admin/people?person={own}&ask=end_person&begun_by=2020-01-01T00:00:00.000Z");
    let html = admin.get(&path).await.expect(200).body.replace("<!>", "");
    assert!(
        html.contains("This ends 1 session of") && html.contains("own_too"),
        "{html}"
    );
}

#[tokio::test]
async fn export_stops_when_the_readers_session_ends() {
    const ROWS: usize = 20_000;
    let brokerages = Brokerages::open().await;
    let portal = &brokerages.portal;
    // More than the requests in progress.
    sqlx::query(
        "INSERT INTO audit_events (at, kind, user_id) SELECT now(), 'signed_in', m.user_id
        FROM (SELECT user_id FROM memberships LIMIT 1) m, generate_series(1, $1)",
    )
    .bind(ROWS as i64)
    .execute(&portal.sql)
    .await
    .expect("rows");
    sqlx::query(
        "INSERT INTO sessions SELECT (jsonb_populate_record(s, jsonb_build_object(
            'id', gen_random_uuid(), 'credential_hash', '\\x' || encode(sha256(n::text::bytea), 'hex')))).*
        FROM sessions s, generate_series(1, $2) n WHERE s.id = $1",
    )
    .bind(brokerages.north[0].session().0)
    .bind(ROWS as i64)
    .execute(&portal.sql)
    .await
    .expect("sessions");
    let root = portal.user("root").role(Role::SystemAdmin).create().await;
    for export in ["audit.jsonl", "sessions.csv"] {
        let root = portal.browser(CHROME).signed_in(&root).await;
        let mut body = root.get(&format!("/api/v1/admin/{export}")).open().await;
        assert!(body.frame().await.expect("a beginning").is_ok());
        root.post("/api/sign_out").await.expect(200);
        let (mut cut_off, mut lines) = (false, 0);
        while let Some(frame) = body.frame().await {
            match frame {
                Err(_) => cut_off = true,
                Ok(frame) => {
                    let data = frame.into_data().unwrap_or_default();
                    lines += data.iter().filter(|byte| **byte == b'\n').count();
                }
            }
        }
        assert!(cut_off, "half of {export} is not taken for the whole");
        assert!(lines < ROWS, "{export} went on: {lines} lines");
    }
}

#[tokio::test]
async fn role_filter_offers_only_roles_in_scope() {
    let brokerages = Brokerages::open().await;
    let root = brokerages.portal.user("root").role(Role::SystemAdmin);
    let root = brokerages
        .portal
        .browser(CHROME)
        .signed_in(&root.create().await)
        .await;
    for (client, offered) in [(&brokerages.admin, false), (&root, true)] {
        for path in ["/dashboard/admin/sessions", "/dashboard/admin/people"] {
            let html = client.get(path).await.expect(200).body;
            assert!(html.contains(r#"<option value="broker""#), "{html}");
            let option = r#"<option value="system_admin""#;
            assert_eq!(html.contains(option), offered, "{path}: {html}");
        }
    }
}
