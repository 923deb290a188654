//! Users with two organizations: what administrators see of them, what is offered and what is denied.

use axum::http::Method;

use crate::harness::*;

/// Northgate and Harbour, each with an administrator; a user of both; a system administrator.
struct Organizations {
    portal: Portal,
    ada: Client,
    hana: Client,
    root: Client,
    bea: TestUser,
    hugo: TestUser,
    northgate: String,
    harbour: String,
}

impl Organizations {
    async fn open() -> Self {
        // The administrators' session limit is two, and Bea needs more.
        let portal = Portal::with(&[("PORTAL_MAX_SESSIONS_ADMIN", "20")]).await;
        let ada = portal
            .user("ada")
            .role(Role::Admin)
            .member_of("Northgate")
            .create()
            .await;
        let hana = portal
            .user("hana")
            .role(Role::Admin)
            .member_of("Harbour")
            .create()
            .await;
        let bea = portal.user("bea").member_of("Northgate").create().await;
        portal.advance(seconds(1)).await;
        portal
            .user("bea")
            .role(Role::Admin)
            .member_of("Harbour")
            .create()
            .await;
        let hugo = portal.user("hugo").member_of("Harbour").create().await;
        let root = portal.user("root").role(Role::SystemAdmin).create().await;
        let id = async |name: &str| -> String {
            let id: uuid::Uuid = sqlx::query_scalar("SELECT id FROM organizations WHERE name = $1")
                .bind(name)
                .fetch_one(&portal.sql)
                .await
                .expect("an organization");
            id.to_string()
        };
        let (northgate, harbour) = (id("Northgate").await, id("Harbour").await);
        Self {
            ada: portal.browser(CHROME).at("198.51.100.10").signed_in(&ada).await,
            hana: portal.browser(CHROME).at("192.0.2.99").signed_in(&hana).await,
            root: portal.browser(CHROME).at("192.0.2.77").signed_in(&root).await,
            portal,
            bea,
            hugo,
            northgate,
            harbour,
        }
    }
}

async fn revoke(client: &Client, body: Value) {
    client
        .post("/api/v1/admin/sessions/revoke")
        .json(&body)
        .await
        .expect(200);
}

/// The user of both has data in both organizations. Method, path, form fields and JSON body of a request.
type Try = (Method, String, Vec<(&'static str, String)>, Option<Value>);

#[tokio::test]
async fn nothing_of_another_organization_is_shown() {
    let organizations = Organizations::open().await;
    let Organizations {
        portal,
        ada,
        hana,
        root,
        bea,
        hugo,
        northgate,
        harbour,
    } = &organizations;
    let hugos = portal.browser(CHROME).at("192.0.2.50").signed_in(hugo).await;
    let at_home = portal.browser(CHROME).at("203.0.113.1").signed_in(bea).await;
    let by_root = portal.browser(FIREFOX).at("203.0.113.2").signed_in(bea).await;
    let by_ada = portal.browser(SAFARI).at("203.0.113.3").signed_in(bea).await;
    let working = portal.desktop("bea-mac").at("203.0.113.4").signed_in(bea).await;
    // Bea's active organization is Harbour, where she is an administrator and acts.
    let switch = [("organization_id", &**harbour)];
    let boss = portal.browser(CHROME).at("203.0.113.5").signed_in(bea).await;
    boss.post("/api/switch_organization")
        .form(&switch)
        .await
        .expect(200);
    boss.load_session_id().await;
    revoke(
        &boss,
        json!({ "filter": { "q": "hugo@broker.example" }, "reason": "Harbour words of bea" }),
    )
    .await;
    let again = portal.browser(CHROME).at("192.0.2.51").signed_in(hugo).await;
    boss.get("/api/v1/admin/sessions.csv?q=hugo").await.expect(200);
    boss.get("/api/v1/admin/audit.jsonl?person=hugo")
        .await
        .expect(200);
    working
        .delete(&format!("/api/v1/sessions/{}", again.session()))
        .await
        .expect(404);
    let role = [
        ("user_id", &*bea.id.to_string()),
        ("role", "broker"),
        ("organization_id", harbour),
    ];
    hana.post("/api/admin_change_role").form(&role).await.expect(200);
    revoke(
        hana,
        json!({ "ids": [at_home.session()], "reason": "Harbour words of hana" }),
    )
    .await;
    revoke(
        root,
        json!({ "ids": [by_root.session()], "reason": "Words of the root" }),
    )
    .await;
    revoke(
        ada,
        json!({ "ids": [by_ada.session()], "reason": "Northgate words" }),
    )
    .await;

    let bea_id = bea.id.to_string();
    let mut places = vec![
        "/api/v1/admin/sessions?state=all&limit=200".to_owned(),
        "/api/v1/admin/sessions.csv?state=all".to_owned(),
        "/api/v1/admin/audit?limit=200".to_owned(),
        "/api/v1/admin/audit.jsonl".to_owned(),
        "/dashboard/admin/sessions?state=all".to_owned(),
        "/dashboard/admin/people".to_owned(),
        format!("/dashboard/admin/people?person={bea_id}"),
        format!("/dashboard/admin/people?person={bea_id}&ask=change_role"),
        format!("/dashboard/admin/sessions?user={bea_id}&state=all"),
        "/dashboard/admin/audit".to_owned(),
        "/dashboard/admin/health".to_owned(),
        "/dashboard".to_owned(),
        "/dashboard/settings".to_owned(),
    ];
    for session in [&at_home, &by_root, &by_ada, &working, &boss] {
        places.push(format!(
            "/dashboard/admin/sessions?state=all&session={}",
            session.session()
        ));
    }
    let mut texts = Vec::new();
    for place in places {
        texts.push((place.clone(), ada.get(&place).await.expect(200).body));
        if place.starts_with("/dashboard/admin/") {
            let drawn = ada
                .post("/api/draw_admin")
                .form(&[("place", &*place)])
                .await
                .expect(200)
                .body;
            texts.push((format!("draw_admin {place}"), drawn));
        }
    }
    let others: Vec<uuid::Uuid> = sqlx::query_scalar(
        "SELECT id FROM users WHERE email = ANY ('{hana@broker.example,root@broker.example}') ORDER BY email",
    )
    .fetch_all(&portal.sql)
    .await
    .expect("hana and root");
    let mut foreign: Vec<String> = others.iter().map(ToString::to_string).collect();
    foreign.push(hugo.id.to_string());
    foreign.extend([hana, root, &hugos, &again].map(|client| client.session().to_string()));
    foreign.push(harbour.clone());
    foreign.extend(
        [
            "Harbour",
            "hana",
            "hugo",
            "root@",
            "Words of the root",
            "192.0.2.",
        ]
        .map(str::to_owned),
    );
    for (place, text) in &texts {
        for part in &foreign {
            assert!(!text.contains(part.as_str()), "{part} in {place}: {text}");
        }
    }
    // Northgate's own data is visible.
    for (at, part) in [
        (0, "Northgate words"),
        (2, "Northgate words"),
        (2, "198.51.100.10"),
        (2, &**northgate),
    ] {
        assert!(texts[at].1.contains(part), "{part} in {}", texts[at].0);
    }
    // Hidden data cannot be searched.
    let hana_id = others[0];
    for query in [
        "actor=hana".to_owned(),
        "actor=root".to_owned(),
        format!("actor={hana_id}"),
        "address=192.0.2.0/24".to_owned(),
        "kind=sessions_ended_by_filter".to_owned(),
        "kind=role_changed".to_owned(),
        "kind=organization_switched".to_owned(),
    ] {
        let found = ada
            .get(&format!("/api/v1/admin/audit?{query}"))
            .await
            .expect(200)
            .json();
        assert_eq!(found["events"], json!([]), "{query}");
    }
    // A system administrator sees everything.
    let everything = root.get("/api/v1/admin/audit?limit=200").await.expect(200).body;
    for part in [
        "Harbour words of bea",
        "Harbour words of hana",
        "192.0.2.99",
        harbour,
    ] {
        assert!(everything.contains(part), "{part}: {everything}");
    }
}

#[tokio::test]
async fn forced_password_change_needs_permission_to_disable() {
    let organizations = Organizations::open().await;
    let Organizations {
        portal,
        ada,
        root,
        bea,
        ..
    } = &organizations;
    let session = portal.browser(CHROME).signed_in(bea).await;
    let fields = [("user_id", &*bea.id.to_string())];
    ada.post("/api/admin_require_password")
        .form(&fields)
        .await
        .expect(403);
    assert!(session.is_live().await);
    assert_eq!(portal.audit("password_change_required").await, []);
    root.post("/api/admin_require_password")
        .form(&fields)
        .await
        .expect(200);
    assert!(!session.is_live().await);
}

/// Each action is offered exactly when the server permits it, for every kind of administrator and user.
#[tokio::test]
async fn actions_are_offered_exactly_when_permitted() {
    let organizations = Organizations::open().await;
    let Organizations {
        portal,
        ada,
        root,
        northgate,
        ..
    } = &organizations;
    let actions = ["change_role", "require_password", "enable", "disable"];
    let kinds = [
        "member",
        "elsewhere",
        "disabled",
        "disabled_by_root",
        "system_admin",
        "self",
    ];
    for (who, admin) in [("ada", ada), ("root", root)] {
        let state = admin.get("/api/v1/session_state").await.expect(200).json();
        let own = state["user"]["id"].as_str().expect("an id").to_owned();
        for kind in kinds {
            for action in actions {
                let name = format!("{who}-{}-{}", kind.replace('_', ""), action.replace('_', ""));
                let person = portal.user(&name).member_of("Northgate").create().await;
                let id = if kind == "self" {
                    own.clone()
                } else {
                    person.id.to_string()
                };
                let user = [("user_id", &*id)];
                match kind {
                    "elsewhere" => {
                        portal.advance(seconds(1)).await;
                        portal.user(&name).member_of("Harbour").create().await;
                    }
                    "disabled" => {
                        _ = admin
                            .post("/api/admin_disable_person")
                            .form(&user)
                            .await
                            .expect(200)
                    }
                    "disabled_by_root" => {
                        _ = root
                            .post("/api/admin_disable_person")
                            .form(&user)
                            .await
                            .expect(200)
                    }
                    "system_admin" => {
                        sqlx::query("UPDATE users SET role = 'system_admin' WHERE id = $1")
                            .bind(person.id.0)
                            .execute(&portal.sql)
                            .await
                            .expect("a system administrator");
                    }
                    _ => {}
                }
                let page = format!("/dashboard/admin/people?person={id}");
                let html = admin.get(&page).await.expect(200).body;
                let is_offered = html.contains(&format!("id=\"ask-{action}\""));
                let dialog = admin.get(&format!("{page}&ask={action}")).await.expect(200).body;
                let what = format!("{who}: {action} of {kind}");
                assert_eq!(dialog.contains("fragment-dialog"), is_offered, "{what}");
                // An action without effect is not offered, and does no harm.
                let is_disabled = kind.starts_with("disabled");
                if (action == "enable") != is_disabled && matches!(action, "enable" | "disable") {
                    assert!(!is_offered, "{what}");
                    continue;
                }
                let path = match action {
                    "change_role" => "/api/admin_change_role",
                    "require_password" => "/api/admin_require_password",
                    "enable" => "/api/admin_enable_person",
                    _ => "/api/admin_disable_person",
                };
                let mut fields = user.to_vec();
                if action == "change_role" {
                    fields.extend([("role", "vendor"), ("organization_id", northgate)]);
                }
                let answer = admin.post(path).form(&fields).await;
                assert_eq!(answer.status, if is_offered { 200 } else { 403 }, "{what}");
            }
        }
    }
    let of_root = portal.user("second-root").role(Role::SystemAdmin).create().await;
    sqlx::query("INSERT INTO memberships VALUES ($1, $2, 'broker', now())")
        .bind(of_root.id.0)
        .bind(northgate.parse::<uuid::Uuid>().expect("an id"))
        .execute(&portal.sql)
        .await
        .expect("a member");
    let html = ada
        .get(&format!("/dashboard/admin/people?person={}", of_root.id))
        .await
        .expect(200)
        .body;
    assert!(
        html.contains("This is a system administrator") && !html.contains("another organization"),
        "{html}"
    );
}

#[tokio::test]
async fn administration_link_appears_only_when_permitted() {
    let portal = Portal::start().await;
    for (name, role, organization, is_there) in [
        ("solo", Role::Admin, None, false),
        ("ada", Role::Admin, Some("Northgate"), true),
        ("root", Role::SystemAdmin, None, true),
        ("nora", Role::Broker, Some("Northgate"), false),
    ] {
        let mut person = portal.user(name).role(role);
        if let Some(organization) = organization {
            person = person.member_of(organization);
        }
        let client = portal.browser(CHROME).signed_in(&person.create().await).await;
        let html = client.get("/dashboard").await.expect(200).body;
        assert_eq!(
            html.contains("href=\"/dashboard/admin/sessions\""),
            is_there,
            "{name}"
        );
        let page = client.get("/dashboard/admin/sessions").await;
        assert_eq!(page.status, if is_there { 200 } else { 403 }, "{name}");
    }
}

#[tokio::test]
async fn problem_status_equals_response_status() {
    let portal = Portal::start().await;
    let nora = portal.broker("nora").await;
    let desktop = portal.desktop("mac").signed_in(&nora).await;
    let description = portal
        .anonymous()
        .get("/api/openapi.json")
        .await
        .expect(200)
        .json();
    let paths = description["paths"].as_object().expect("paths");
    let mut not_allowed = 0;
    for path in paths
        .keys()
        .map(String::as_str)
        .chain(["/api/v1/nowhere", "/api/v1", "/api/session_state"])
    {
        let place = path.replace("{id}", "nonsense");
        for method in [
            Method::PUT,
            Method::PATCH,
            Method::OPTIONS,
            Method::POST,
            Method::DELETE,
            Method::GET,
        ] {
            if place.ends_with("/events") && method == Method::GET {
                continue;
            }
            let answer = desktop.call(method.clone(), &place).await;
            if answer.status >= 400 {
                let code = answer.problem();
                assert_eq!(
                    answer.status == 405,
                    code == "method_not_allowed",
                    "{method} {place}: {answer:#?}"
                );
                if answer.status == 405 {
                    assert!(answer.header("allow").is_some(), "{method} {place}: {answer:#?}");
                    not_allowed += 1;
                }
            }
        }
    }
    assert!(not_allowed > 10, "{not_allowed}");
}

#[tokio::test]
async fn a_404_names_what_is_missing() {
    let organizations = Organizations::open().await;
    let Organizations {
        portal,
        ada,
        hugo,
        harbour,
        ..
    } = &organizations;
    let hugos = portal.browser(CHROME).signed_in(hugo).await.session();
    let hugo = hugo.id.to_string();
    let words = |answer: TestResponse| {
        let answer = answer.expect(404).json();
        assert_eq!(answer["code"], "not_found");
        answer["detail"]
            .as_str()
            .map_or(answer["what"].to_string(), str::to_owned)
    };
    assert!(words(ada.get("/api/v1/nowhere").await).contains("This address does not exist"));
    assert!(words(ada.delete(&format!("/api/v1/sessions/{hugos}")).await).contains("That session"));
    let body = json!({ "user_id": hugo });
    let answer = ada.post("/api/v1/admin/sessions/revoke").json(&body).await;
    assert!(words(answer).contains("That user"));
    for (path, field, id, what) in [
        ("admin_disable_person", "user_id", &hugo, "person"),
        ("switch_organization", "organization_id", harbour, "organization"),
        ("dismiss_security_notice", "notice_id", &hugo, "notice"),
        (
            "draw_admin",
            "place",
            &"/dashboard/admin/nowhere".to_owned(),
            "address",
        ),
    ] {
        let answer = ada.post(&format!("/api/{path}")).form(&[(field, id)]).await;
        assert_eq!(words(answer), format!("\"{what}\""), "{path}");
    }
}

#[tokio::test]
async fn exports_are_recorded_with_filter_and_count() {
    let organizations = Organizations::open().await;
    let Organizations {
        portal,
        ada,
        northgate,
        ..
    } = &organizations;
    ada.get("/api/v1/admin/sessions.csv?q=ada").await.expect(200);
    ada.get("/api/v1/admin/sessions.csv?kind=phone").await.expect(422);
    ada.get("/api/v1/admin/audit.jsonl?kind=signed_in")
        .await
        .expect(200);
    // Viewing a list is not an export.
    ada.get("/api/v1/admin/sessions").await.expect(200);
    ada.get("/dashboard/admin/audit").await.expect(200);
    let of = async |kind: &str| -> Vec<_> {
        let rows = portal.audit(kind).await;
        rows.into_iter()
            .map(|row| (row.actor_session, row.ip_address, row.detail))
            .collect()
    };
    let address = Some("198.51.100.10".to_owned());
    assert_eq!(
        of("sessions_exported").await,
        [(
            Some(ada.session()),
            address.clone(),
            json!({ "filter": "q=ada", "listed": 1 })
        )]
    );
    assert_eq!(
        of("audit_exported").await,
        [(
            Some(ada.session()),
            address,
            json!({ "filter": "kind=signed_in", "listed": 1 })
        )]
    );
    let log = ada
        .get("/api/v1/admin/audit?kind=sessions_exported")
        .await
        .expect(200)
        .json();
    assert_eq!(log["events"][0]["actor_organization_id"], json!(northgate));
}

/// Every route that takes an id, with another user's id.
#[tokio::test]
async fn attempts_on_foreign_ids_are_recorded() {
    let organizations = Organizations::open().await;
    let Organizations {
        portal,
        ada,
        hugo,
        harbour,
        ..
    } = &organizations;
    let hugos = portal.browser(CHROME).signed_in(hugo).await;
    let notice = portal
        .notices()
        .await
        .iter()
        .find(|row| row.user == hugo.id)
        .map(|row| row.id);
    let (user, session) = (hugo.id.to_string(), hugos.session().to_string());
    let fields = |name: &'static str, id: &str| vec![(name, id.to_owned())];
    let mut rows = 0;
    let mut tries: Vec<Try> = vec![
        (
            Method::DELETE,
            format!("/api/v1/sessions/{session}"),
            vec![],
            None,
        ),
        (
            Method::POST,
            "/api/revoke_session".to_owned(),
            fields("session_id", &session),
            None,
        ),
        (
            Method::POST,
            "/api/switch_organization".to_owned(),
            fields("organization_id", harbour),
            None,
        ),
        (
            Method::POST,
            "/api/admin_disable_person".to_owned(),
            fields("user_id", &user),
            None,
        ),
        (
            Method::POST,
            "/api/admin_enable_person".to_owned(),
            fields("user_id", &user),
            None,
        ),
        (
            Method::POST,
            "/api/admin_require_password".to_owned(),
            fields("user_id", &user),
            None,
        ),
        (
            Method::GET,
            format!("/dashboard/admin/sessions?session={session}"),
            vec![],
            None,
        ),
        (
            Method::GET,
            format!("/dashboard/admin/sessions?user={user}"),
            vec![],
            None,
        ),
        (
            Method::GET,
            format!("/dashboard/admin/people?person={user}"),
            vec![],
            None,
        ),
        (
            Method::GET,
            format!("/api/v1/admin/sessions?user={user}"),
            vec![],
            None,
        ),
        (
            Method::GET,
            format!("/api/v1/admin/sessions.csv?user={user}"),
            vec![],
            None,
        ),
        (
            Method::POST,
            "/api/v1/admin/sessions/revoke".to_owned(),
            vec![],
            Some(json!({ "user_id": user })),
        ),
        (
            Method::POST,
            "/api/v1/admin/sessions/revoke".to_owned(),
            vec![],
            Some(json!({ "ids": [session] })),
        ),
        (
            Method::POST,
            "/api/v1/admin/sessions/revoke".to_owned(),
            vec![],
            Some(json!({ "filter": { "user": user } })),
        ),
    ];
    if let Some(notice) = notice {
        let notice = fields("notice_id", &notice.to_string());
        tries.push((
            Method::POST,
            "/api/dismiss_security_notice".to_owned(),
            notice,
            None,
        ));
    }
    for (method, path, fields, body) in tries {
        let call = ada.call(method.clone(), &path);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        _ = match body {
            Some(body) => call.json(&body).await,
            None if fields.is_empty() => call.await,
            None => call.form(&fields).await,
        };
        let denied = portal.audit("denied").await;
        rows += 1;
        assert_eq!(denied.len(), rows, "{method} {path}");
        let last = denied.last().expect("a row");
        assert_eq!(
            (last.reason.as_deref(), last.actor_session),
            (Some("not_theirs"), Some(ada.session())),
            "{path}"
        );
        // The first ten of a window have a row each, so start another window.
        portal.advance(seconds(901)).await;
        ada.post("/api/v1/session/reauthenticate")
            .json(&json!({ "password": "the password of ada" }))
            .await
            .expect(200);
    }
    assert!(hugos.is_live().await);
}

#[tokio::test]
async fn changing_ones_own_role_is_recorded() {
    let organizations = Organizations::open().await;
    let Organizations {
        portal,
        ada,
        northgate,
        ..
    } = &organizations;
    let state = ada.get("/api/v1/session_state").await.expect(200).json();
    let own = state["user"]["id"].as_str().expect("an id");
    let fields = [
        ("user_id", own),
        ("role", "broker"),
        ("organization_id", northgate),
    ];
    ada.post("/api/admin_change_role").form(&fields).await.expect(403);
    let rows = portal.audit("denied").await;
    let [denied] = &rows[..] else {
        panic!("one row: {rows:?}");
    };
    assert_eq!(
        (denied.reason.as_deref(), &denied.detail),
        (
            Some("not_permitted"),
            &json!({ "action": "change_role", "person_id": own })
        )
    );
}

#[tokio::test]
async fn refusal_floods_leave_few_rows() {
    let organizations = Organizations::open().await;
    let Organizations {
        portal, hugo, bea, ..
    } = &organizations;
    let hugos = portal.browser(CHROME).signed_in(hugo).await.session();
    let bea = portal.desktop("mac").signed_in(bea).await;
    for _ in 0..120 {
        bea.delete(&format!("/api/v1/sessions/{hugos}")).await.expect(404);
    }
    let denied = portal.audit("denied").await;
    assert_eq!(denied.len(), 11, "ten, and the hundredth");
    assert_eq!(denied[10].detail["refusals"], 100);
}
