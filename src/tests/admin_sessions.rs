//! Administrators list and revoke sessions.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use domain::time::format_rfc3339;
use http_body_util::BodyExt as _;

use crate::harness::*;

/// An administrator of Northgate, users of Northgate and of Harbour, and one of both.
pub(crate) struct Brokerages {
    pub(crate) portal: Portal,
    pub(crate) admin: Client,
    /// Signed-in clients, named by the test.
    pub(crate) north: Vec<Client>,
    pub(crate) both: Vec<Client>,
    pub(crate) harbour: Vec<Client>,
    pub(crate) harbour_admin: Client,
    pub(crate) bea: TestUser,
}

impl Brokerages {
    pub(crate) async fn open() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let portal = Portal::with(settings).await;
        let admin = portal.admin("ada", "Northgate").await;
        let nora = portal.member("nora", "Northgate").await;
        let vera = portal.member_as("vera", Role::Vendor, "Northgate").await;
        let bea = portal.member("bea", "Harbour").await;
        portal.advance(seconds(1)).await;
        portal.member("bea", "Northgate").await;
        let hugo = portal.member("hugo", "Harbour").await;
        let harbour_admin = portal.admin("hana", "Harbour").await;
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

    pub(crate) fn of_northgate(&self) -> BTreeSet<SessionId> {
        let clients = self.north.iter().chain(&self.both).chain([&self.admin]);
        clients.map(Client::session).collect()
    }

    pub(crate) async fn assert_live(&self, clients: &[Client]) {
        for client in clients {
            assert_eq!(self.portal.end_reason(client.session()).await, None);
        }
    }
}

pub(crate) async fn page(client: &Client, query: &str) -> Value {
    client.get_json(&format!("/api/v1/admin/sessions?{query}")).await
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

pub(crate) async fn revoke(client: &Client, body: Value) -> TestResponse {
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
        nora.get(path).await.assert_problem(403, "forbidden");
        brokerages
            .portal
            .anonymous()
            .get(path)
            .await
            .assert_problem(401, "session_ended");
    }
    for body in [
        json!({ "filter": { "state": "live" } }),
        json!({ "ids": [target] }),
        json!({ "user_id": brokerages.bea.id }),
    ] {
        revoke(nora, body).await.assert_problem(403, "forbidden");
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
        let response = brokerages
            .portal
            .anonymous()
            .get(&format!("/dashboard/admin/{page}"))
            .await;
        assert_eq!(
            response.location(),
            format!("/login?next=/dashboard/admin/{page}")
        );
    }
    let fragment = nora
        .submit("draw_admin", &[("place", "/dashboard/admin/sessions")])
        .await;
    fragment.assert_code(403, "forbidden");
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
        let response = nora.post(&format!("/api/{name}")).form(&fields).await;
        response.assert_code(403, "forbidden");
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
        for other in ["hugo@", "hana@", "Harbour"] {
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
    revoke(admin, json!({ "user_id": hugo_id }))
        .await
        .assert_problem(404, "not_found");
    assert_eq!(
        revoke(admin, json!({ "filter": { "user": hugo_id.to_string() } }))
            .await
            .expect(200)
            .json()["ended"],
        0
    );
    brokerages.assert_live(harbour).await;
    // A system administrator sees all sessions.
    let root = brokerages.portal.system_admin("root").await;
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
    brokerages.portal.admin("bea", "Harbour").await;
    let listed = page(&brokerages.admin, &format!("user={}", brokerages.bea.id)).await;
    for row in listed["sessions"].as_array().expect("rows") {
        assert_eq!(row["user"]["role"], "broker");
    }
    let of_admins = page(&brokerages.admin, "role=admin").await;
    assert_eq!(ids(&of_admins), [brokerages.admin.session()]);
    let log = brokerages
        .admin
        .get_json("/api/v1/admin/audit?kind=role_changed")
        .await;
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
            .get_text(&format!("/api/v1/admin/sessions.csv?{query}"))
            .await;
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
        let response = revoke(admin, json!({ "filter": fields, "own_too": true }))
            .await
            .expect(200)
            .json();
        assert_eq!(
            (&response["ended"], &response["left"]),
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
    brokerages.portal.execute("UPDATE sessions SET last_active_at = (SELECT min(created_at) FROM sessions), created_at = (SELECT min(created_at) FROM sessions)").await;
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
    north[0].sign_out().await;
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

pub(crate) async fn portal_admin(portal: &Portal) -> TestUser {
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
    for query in words("kinds=browser kind=phone state=dead limit=0 limit=201 after=x sort=size") {
        let response = admin.get(&format!("/api/v1/admin/sessions?{query}")).await;
        response.assert_problem(422, "invalid_input");
        let response = admin.get(&format!("/api/v1/admin/sessions.csv?{query}")).await;
        response.expect(422);
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
        revoke(admin, body.clone())
            .await
            .assert_problem(422, "invalid_input");
    }
    assert_eq!(brokerages.portal.audit("session_ended").await, []);
}

#[tokio::test]
async fn page_and_export_escape_names_and_hide_secrets() {
    let brokerages = Brokerages::open().await;
    let Brokerages { portal, admin, .. } = &brokerages;
    let eve = portal
        .named_member("eve", "<img src=x onerror=alert(1)>", "Northgate")
        .await;
    let eve = portal
        .desktop("eve")
        .device("device_name", "=HYPERLINK(\"//evil\")")
        .signed_in(&eve)
        .await;
    let zoe = portal.named_member("zoe", "Zoë Müller", "Northgate").await;
    portal
        .desktop("zoe")
        .device("device_name", "PC;=cmd|' /C calc'!A0;x")
        .signed_in(&zoe)
        .await;
    let html = admin
        .get_text(&format!(
            "/dashboard/admin/sessions?session={}&ask=end_person",
            eve.session()
        ))
        .await;
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
    let html = admin.get_text(&place).await;
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
        .get_text("/dashboard/admin/sessions?ask=end_listed&kind=desktop")
        .await;
    assert!(asked.contains("End 2 sessions?") && asked.contains("in desktop apps"));
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
    let response = plain.submit("admin_end_sessions", &fields).await.expect(302);
    assert_eq!(response.location(), place);
    let html = plain.follow(&response).await.expect(200).body;
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
    let response = plain.submit("admin_end_sessions", &elsewhere).await.expect(302);
    assert_eq!(response.location(), "/dashboard/admin/sessions");
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
    let root = portal.system_admin("root").await;
    for export in ["audit.jsonl", "sessions.csv"] {
        let root = portal.browser(CHROME).signed_in(&root).await;
        let mut body = root.get(&format!("/api/v1/admin/{export}")).open().await;
        assert!(body.frame().await.expect("a beginning").is_ok());
        root.sign_out().await;
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
            let html = client.get_text(path).await;
            assert!(html.contains(r#"<option value="broker""#), "{html}");
            let option = r#"<option value="system_admin""#;
            assert_eq!(html.contains(option), offered, "{path}: {html}");
        }
    }
}
