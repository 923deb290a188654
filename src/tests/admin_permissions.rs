//! Permissions of administrators over users of two organizations.

use crate::harness::*;

/// Northgate and Harbour, each with an administrator; a user of both; a system administrator.
pub(crate) struct Organizations {
    pub(crate) portal: Portal,
    pub(crate) ada: Client,
    pub(crate) hana: Client,
    pub(crate) root: Client,
    pub(crate) bea: TestUser,
    pub(crate) hugo: TestUser,
    pub(crate) northgate: String,
    pub(crate) harbour: String,
}

impl Organizations {
    pub(crate) async fn open() -> Self {
        // The administrators' session limit is two, and Bea needs more.
        let portal = Portal::with(&[("PORTAL_MAX_SESSIONS_ADMIN", "20")]).await;
        let ada = portal.admin("ada", "Northgate").await;
        let hana = portal.admin("hana", "Harbour").await;
        let bea = portal.member("bea", "Northgate").await;
        portal.advance(seconds(1)).await;
        portal.admin("bea", "Harbour").await;
        let hugo = portal.member("hugo", "Harbour").await;
        let root = portal.system_admin("root").await;
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

#[tokio::test]
async fn data_of_other_organizations_is_hidden() {
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
    let hugo_session = portal.browser(CHROME).at("192.0.2.50").signed_in(hugo).await;
    let bea_revoked_by_hana = portal.browser(CHROME).at("203.0.113.1").signed_in(bea).await;
    let bea_revoked_by_root = portal.browser(FIREFOX).at("203.0.113.2").signed_in(bea).await;
    let bea_revoked_by_ada = portal.browser(SAFARI).at("203.0.113.3").signed_in(bea).await;
    let working = portal.desktop("bea-mac").at("203.0.113.4").signed_in(bea).await;
    // Bea's active organization is Harbour, where she is an administrator and acts.
    let switch = [("organization_id", &**harbour)];
    let boss = portal.browser(CHROME).at("203.0.113.5").signed_in(bea).await;
    boss.submit("switch_organization", &switch).await.expect(200);
    boss.load_session_id().await;
    revoke(
        &boss,
        json!({ "filter": { "q": "hugo@broker.example" }, "reason": "Reason of Bea in Harbour" }),
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
    hana.submit("admin_change_role", &role).await.expect(200);
    revoke(
        hana,
        json!({ "ids": [bea_revoked_by_hana.session()], "reason": "Reason of Hana in Harbour" }),
    )
    .await;
    revoke(
        root,
        json!({ "ids": [bea_revoked_by_root.session()], "reason": "Reason of the system administrator" }),
    )
    .await;
    revoke(
        ada,
        json!({ "ids": [bea_revoked_by_ada.session()], "reason": "Reason of Ada in Northgate" }),
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
    for session in [
        &bea_revoked_by_hana,
        &bea_revoked_by_root,
        &bea_revoked_by_ada,
        &working,
        &boss,
    ] {
        places.push(format!(
            "/dashboard/admin/sessions?state=all&session={}",
            session.session()
        ));
    }
    let mut texts = Vec::new();
    for place in places {
        texts.push((place.clone(), ada.get_text(&place).await));
        if place.starts_with("/dashboard/admin/") {
            let fragment = ada
                .submit("draw_admin", &[("place", &*place)])
                .await
                .expect(200)
                .body;
            texts.push((format!("draw_admin {place}"), fragment));
        }
    }
    let others: Vec<uuid::Uuid> = portal.column("SELECT id FROM users WHERE email = ANY ('{hana@broker.example,root@broker.example}') ORDER BY email").await;
    let mut foreign: Vec<String> = others.iter().map(ToString::to_string).collect();
    foreign.push(hugo.id.to_string());
    foreign.extend([hana, root, &hugo_session, &again].map(|client| client.session().to_string()));
    foreign.push(harbour.clone());
    foreign.extend(
        [
            "Harbour",
            "hana",
            "hugo",
            "root@",
            "Reason of the system administrator",
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
        (0, "Reason of Ada in Northgate"),
        (2, "Reason of Ada in Northgate"),
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
        let found = ada.get_json(&format!("/api/v1/admin/audit?{query}")).await;
        assert_eq!(found["events"], json!([]), "{query}");
    }
    // A system administrator sees everything.
    let everything = root.get_text("/api/v1/admin/audit?limit=200").await;
    for part in [
        "Reason of Bea in Harbour",
        "Reason of Hana in Harbour",
        "192.0.2.99",
        harbour,
    ] {
        assert!(everything.contains(part), "{part}: {everything}");
    }
}

#[tokio::test]
async fn requiring_a_password_needs_permission_to_disable() {
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
    ada.submit("admin_require_password", &fields).await.expect(403);
    assert!(session.is_live().await);
    assert_eq!(portal.audit("password_change_required").await, []);
    root.submit("admin_require_password", &fields).await.expect(200);
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
        let state = admin.get_json("/api/v1/session_state").await;
        let own = state["user"]["id"].as_str().expect("an id").to_owned();
        for kind in kinds {
            for action in actions {
                let name = format!("{who}-{}-{}", kind.replace('_', ""), action.replace('_', ""));
                let person = portal.member(&name, "Northgate").await;
                let id = if kind == "self" {
                    own.clone()
                } else {
                    person.id.to_string()
                };
                let user = [("user_id", &*id)];
                match kind {
                    "elsewhere" => {
                        portal.advance(seconds(1)).await;
                        portal.member(&name, "Harbour").await;
                    }
                    "disabled" => _ = admin.submit("admin_disable_person", &user).await.expect(200),
                    "disabled_by_root" => _ = root.submit("admin_disable_person", &user).await.expect(200),
                    "system_admin" => {
                        portal
                            .execute(&format!(
                                "UPDATE users SET role = 'system_admin' WHERE id = '{}'",
                                person.id
                            ))
                            .await;
                    }
                    _ => {}
                }
                let page = format!("/dashboard/admin/people?person={id}");
                let html = admin.get_text(&page).await;
                let is_offered = html.contains(&format!("id=\"ask-{action}\""));
                let dialog = admin.get_text(&format!("{page}&ask={action}")).await;
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
                let response = admin.post(path).form(&fields).await;
                assert_eq!(response.status, if is_offered { 200 } else { 403 }, "{what}");
            }
        }
    }
    let of_root = portal.system_admin("second-root").await;
    sqlx::query("INSERT INTO memberships VALUES ($1, $2, 'broker', now())")
        .bind(of_root.id.0)
        .bind(northgate.parse::<uuid::Uuid>().expect("an id"))
        .execute(&portal.sql)
        .await
        .expect("a member");
    let html = ada
        .get_text(&format!("/dashboard/admin/people?person={}", of_root.id))
        .await;
    assert!(
        html.contains("This user is a system administrator") && !html.contains("another organization"),
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
        let html = client.get_text("/dashboard").await;
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
    let log = ada.get_json("/api/v1/admin/audit?kind=sessions_exported").await;
    assert_eq!(log["events"][0]["actor_organization_id"], json!(northgate));
}
