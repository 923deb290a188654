//! Administrators manage accounts: disabling, roles, forced password changes.

use crate::harness::*;

struct Office {
    portal: Portal,
    admin: Client,
    nora: TestUser,
    chrome: Client,
}

impl Office {
    async fn open() -> Self {
        let portal = Portal::start().await;
        let ada = portal.admin("ada", "Northgate").await;
        let nora = portal.member("nora", "Northgate").await;
        let chrome = portal.browser(CHROME).signed_in(&nora).await;
        let admin = portal.browser(CHROME).signed_in(&ada).await;
        Self {
            portal,
            admin,
            nora,
            chrome,
        }
    }

    async fn post_action(&self, what: &str, person: &TestUser, more: &[(&str, &str)]) -> TestResponse {
        let id = person.id.to_string();
        let fields = [&[("user_id", &*id)], more].concat();
        self.admin.post(&format!("/api/{what}")).form(&fields).await
    }

    /// Does something to a user as the administrator.
    async fn act(&self, what: &str, person: &TestUser, more: &[(&str, &str)]) -> TestResponse {
        self.post_action(what, person, more).await.expect(200)
    }

    async fn northgate(&self) -> String {
        let id: uuid::Uuid = self.portal.organization("Northgate").await;
        id.to_string()
    }
}

#[tokio::test]
async fn disabled_account_is_out_until_enabled() {
    let office = Office::open().await;
    let Office {
        portal,
        admin,
        nora,
        chrome,
    } = &office;
    assert_eq!(
        office.act("admin_disable_person", nora, &[]).await.json()["ended"],
        1
    );
    assert_eq!(chrome.end_reason().await, "account_disabled");
    assert_eq!(portal.browser(CHROME).sign_in(nora).await.status, 401);
    let row = &portal.audit("user_disabled").await[0];
    assert_eq!(
        (row.actor_session, row.user),
        (Some(admin.session()), Some(nora.id))
    );
    office.act("admin_enable_person", nora, &[]).await;
    portal.browser(CHROME).signed_in(nora).await;
    assert_eq!(portal.audit("user_enabled").await.len(), 1);
}

#[tokio::test]
async fn shared_members_and_oneself_cannot_be_disabled() {
    let office = Office::open().await;
    let Office {
        portal, nora, chrome, ..
    } = &office;
    portal.advance(seconds(1)).await;
    portal.member("nora", "Harbour").await;
    office
        .post_action("admin_disable_person", nora, &[])
        .await
        .expect(403);
    assert!(chrome.is_live().await);
    let ada = TestUser {
        id: portal.audit("user_created").await[0].user.expect("ada"),
        email: String::new(),
        password: String::new(),
    };
    for what in ["admin_disable_person", "admin_require_password"] {
        office.post_action(what, &ada, &[]).await.expect(403);
    }
    let northgate = office.northgate().await;
    office
        .post_action(
            "admin_change_role",
            &ada,
            &[("role", "broker"), ("organization_id", &northgate)],
        )
        .await
        .expect(403);
    // Users of another organization do not exist for this one.
    let hugo = portal.member("hugo", "Harbour").await;
    for what in [
        "admin_disable_person",
        "admin_enable_person",
        "admin_require_password",
    ] {
        office
            .post_action(what, &hugo, &[])
            .await
            .assert_code(404, "not_found");
    }
    assert_eq!(portal.audit("user_disabled").await, []);
}

#[tokio::test]
async fn new_role_applies_at_once_and_enforces_limits() {
    let office = Office::open().await;
    let Office {
        portal, nora, chrome, ..
    } = &office;
    let northgate = office.northgate().await;
    portal.advance(seconds(1)).await;
    let mac = portal.desktop("mac").signed_in(nora).await;
    portal.advance(seconds(1)).await;
    let pc = portal.desktop("pc").signed_in(nora).await;
    let fields = [("role", "employee"), ("organization_id", &*northgate)];
    office.act("admin_change_role", nora, &fields).await;
    // Another role rotates every credential.
    mac.refresh().await.expect(200);
    let state = mac.get_json("/api/v1/session_state").await;
    assert_eq!(state["user"]["role"], "employee");
    assert_eq!(chrome.end_reason().await, "session_limit", "an employee has two");
    pc.refresh().await.expect(200);
    let row = &portal.audit("role_changed").await[0];
    assert_eq!(
        (&row.detail["from"], &row.detail["to"]),
        (&json!("broker"), &json!("employee"))
    );
    assert!(row.actor.is_some());
    // Not outside the admin scope, and not to the highest role.
    let other = uuid::Uuid::nil().to_string();
    office
        .post_action(
            "admin_change_role",
            nora,
            &[("role", "guest"), ("organization_id", &other)],
        )
        .await
        .expect(404);
    office
        .post_action("admin_change_role", nora, &[("role", "guest")])
        .await
        .expect(404);
    office
        .post_action(
            "admin_change_role",
            nora,
            &[("role", "system_admin"), ("organization_id", &northgate)],
        )
        .await
        .expect(403);
    office
        .post_action(
            "admin_change_role",
            nora,
            &[("role", "king"), ("organization_id", &northgate)],
        )
        .await
        .expect(422);
}

#[tokio::test]
async fn forced_change_requires_new_password_at_sign_in() {
    let office = Office::open().await;
    let Office {
        portal, nora, chrome, ..
    } = &office;
    assert_eq!(
        office.act("admin_require_password", nora, &[]).await.json()["ended"],
        1
    );
    assert_eq!(chrome.end_reason().await, "revoked_by_admin");
    assert_eq!(portal.audit("password_change_required").await.len(), 1);
    let browser = portal.browser(CHROME);
    let tries = async |more: &[(&str, &str)]| {
        let fields = [&[("email", &*nora.email), ("password", &*nora.password)], more].concat();
        browser.submit("sign_in", &fields).await
    };
    let asked = tries(&[]).await.expect(403);
    assert_eq!(
        (&asked.json()["code"], asked.header("set-cookie")),
        (&json!("password_change_required"), None)
    );
    assert_eq!(
        tries(&[("new_password", &nora.password)])
            .await
            .expect(422)
            .json()["problem"],
        "unchanged"
    );
    assert_eq!(
        tries(&[("new_password", "short")]).await.expect(422).json()["problem"],
        "too_short"
    );
    // A wrong current password does not reveal that a new one is required.
    let wrong = [
        ("email", &*nora.email),
        ("password", "guess"),
        ("new_password", "a sentence of my own"),
    ];
    browser
        .submit("sign_in", &wrong)
        .await
        .assert_code(401, "invalid_credentials");
    assert_eq!(portal.live_sessions(nora.id).await, []);

    tries(&[("new_password", "a sentence of my own")])
        .await
        .expect(200);
    assert_eq!(portal.browser(CHROME).sign_in(nora).await.status, 401);
    let again = TestUser {
        password: "a sentence of my own".to_owned(),
        ..nora.clone()
    };
    portal.browser(FIREFOX).signed_in(&again).await;
    assert_eq!(portal.audit("password_changed").await.len(), 1);
}

#[tokio::test]
async fn forced_change_applies_to_desktops() {
    let office = Office::open().await;
    let Office { portal, nora, .. } = &office;
    office.act("admin_require_password", nora, &[]).await;
    let desktop = portal.desktop("mac");
    let asked = desktop.sign_in(nora).await.expect(403);
    assert_eq!(asked.problem(), "password_change_required");
    let body = json!({ "email": nora.email, "password": nora.password, "new_password": "a sentence of my own",
        "device": { "device_id": "mac", "device_name": "Mac", "os": "macOS 15", "platform": "macos" } });
    desktop.post("/api/v1/sessions").json(&body).await.expect(201);
}

#[tokio::test]
async fn operator_password_ends_the_forced_change() {
    let office = Office::open().await;
    let Office { portal, nora, .. } = &office;
    office.act("admin_require_password", nora, &[]).await;
    portal
        .accounts()
        .set_password(&nora.email, "set by an operator".to_owned())
        .await
        .expect("a password");
    portal
        .assert_sign_in(&nora.email, "set by an operator", 200)
        .await;
}

#[tokio::test]
async fn administrator_cannot_enable_what_an_operator_disabled() {
    let office = Office::open().await;
    let Office { portal, nora, .. } = &office;
    portal.accounts().disable(&nora.email).await.expect("disabled");
    // Disabling again does not circumvent it.
    for what in [
        "admin_enable_person",
        "admin_disable_person",
        "admin_enable_person",
    ] {
        office.post_action(what, nora, &[]).await.expect(403);
    }
    assert_eq!(portal.audit("user_enabled").await, []);
    let page = format!("/dashboard/admin/people?person={}", nora.id);
    let html = office.admin.get_text(&page).await;
    assert!(html.contains("was disabled outside your organization") && !html.contains("Let sign in again…"));
    let root = portal.system_admin("root").await;
    let root = portal.browser(CHROME).signed_in(&root).await;
    let html = root.get_text(&page).await;
    assert!(html.contains("Let sign in again…"));
    let id = nora.id.to_string();
    root.submit("admin_enable_person", &[("user_id", &id)])
        .await
        .expect(200);
    portal.browser(CHROME).signed_in(nora).await;
}

#[tokio::test]
async fn organization_administrator_cannot_change_a_system_administrator() {
    let office = Office::open().await;
    let portal = &office.portal;
    let root = portal.system_admin("root").await;
    // Not possible any more; older databases may contain such a membership.
    sqlx::query("INSERT INTO memberships VALUES ($1, $2, 'broker', now())")
        .bind(root.id.0)
        .bind(office.northgate().await.parse::<uuid::Uuid>().expect("an id"))
        .execute(&portal.sql)
        .await
        .expect("a member");
    let chrome = portal.browser(CHROME).signed_in(&root).await;
    let northgate = office.northgate().await;
    let path = format!("/api/v1/admin/sessions?user={}", root.id);
    let listed = office.admin.get_json(&path).await;
    assert_eq!(listed["sessions"][0]["user"]["role"], "system_admin");
    let role = [("role", "guest"), ("organization_id", &*northgate)];
    for (what, more) in [
        ("admin_disable_person", &[][..]),
        ("admin_require_password", &[]),
        ("admin_change_role", &role),
    ] {
        office.post_action(what, &root, more).await.expect(403);
    }
    for kind in ["user_disabled", "password_change_required", "role_changed"] {
        assert_eq!(portal.audit(kind).await, [], "{kind}");
    }
    assert!(chrome.is_live().await);
    // The administrator cannot undo changes of a system administrator.
    let nora = office.nora.id.to_string();
    let nora = [("user_id", &*nora)];
    chrome.submit("admin_disable_person", &nora).await.expect(200);
    office
        .post_action("admin_enable_person", &office.nora, &[])
        .await
        .expect(403);
}
