//! Accounts from the command line, and what users notice of changes.

use broker_portal::server::services::{
    accounts::{AccountError, NewAccount, RegisteredAccount},
    demo,
};

use crate::harness::*;

fn registration(email: &str, role: Role, organizations: &[&str]) -> NewAccount {
    NewAccount {
        email: email.to_owned(),
        display_name: "Somebody".to_owned(),
        role,
        organizations: organizations.iter().map(|&name| name.to_owned()).collect(),
        password: "long enough".to_owned(),
    }
}

#[tokio::test]
async fn user_is_registered_once() {
    let portal = Portal::start().await;
    let accounts = portal.accounts();
    let first = accounts
        .register(registration(" New@Broker.example ", Role::Vendor, &[]))
        .await
        .expect("registered");
    assert!(
        first.is_new && first.created_organizations.is_empty(),
        "{first:?}"
    );
    for email in ["new@broker.example", "NEW@BROKER.EXAMPLE"] {
        let again = accounts.register(registration(email, Role::Guest, &[])).await;
        assert!(matches!(again, Err(AccountError::EmailTaken(_))), "{again:?}");
    }
    let chrome = portal.browser(CHROME);
    chrome
        .try_sign_in("new@broker.example", "long enough")
        .await
        .expect(200);
    assert_eq!(
        chrome.get("/api/session_state").await.json()["user"]["role"],
        "vendor"
    );
    assert_eq!(
        (
            portal.rows("users").await,
            portal.audit("user_created").await.len()
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn further_organization_adds_only_a_membership() {
    let portal = Portal::start().await;
    let accounts = portal.accounts();
    let maria = portal.member_as("maria", Role::Guest, "Northgate").await;
    let added = accounts
        .register(registration(&maria.email, Role::Admin, &["NORTHGATE", "Harbour"]))
        .await;
    let expected = RegisteredAccount {
        user: maria.id,
        is_new: false,
        created_organizations: vec!["Harbour".to_owned()],
    };
    assert_eq!(added.expect("added"), expected);
    assert_eq!(
        (
            portal.rows("organizations").await,
            portal.rows("memberships").await
        ),
        (2, 2)
    );
    assert_eq!(portal.audit("membership_set").await.len(), 2);
    let changed = portal.audit("role_changed").await;
    assert_eq!(
        (
            changed.len(),
            &changed[0].detail["from"],
            &changed[0].detail["to"]
        ),
        (1, &json!("guest"), &json!("admin"))
    );

    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let state = chrome.get("/api/session_state").await.json();
    assert_eq!(state["user"]["display_name"], "maria");
    // The last role given in each organization applies.
    assert_eq!(
        (&state["organization"]["name"], &state["user"]["role"]),
        (&json!("Northgate"), &json!("admin"))
    );
    let page = chrome.get("/dashboard/settings").await.expect(200);
    assert!(
        page.body.contains("Northgate") && page.body.contains("Harbour"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn parallel_registrations_create_one_account() {
    let portal = Portal::start().await;
    let accounts = portal.accounts();
    let register = |organizations: &'static [&str]| {
        accounts.register(registration("new@b.example", Role::Broker, organizations))
    };
    let (one, two, three) = tokio::join!(register(&["Northgate"]), register(&[]), register(&["Northgate"]));
    assert_eq!(portal.rows("users").await, 1, "{one:?} {two:?} {three:?}");
    assert_eq!(
        (
            portal.rows("organizations").await,
            portal.rows("memberships").await
        ),
        (1, 1)
    );
    assert_eq!(portal.audit("user_created").await.len(), 1);
}

#[tokio::test]
async fn invalid_accounts_are_rejected_without_a_write() {
    let portal = Portal::start().await;
    let accounts = portal.accounts();
    let fitting = registration("new@b.example", Role::Broker, &["Northgate"]);
    for wrong in [
        NewAccount {
            email: "nobody".to_owned(),
            ..fitting.clone()
        },
        NewAccount {
            email: format!("{}@b.example", "a".repeat(250)),
            ..fitting.clone()
        },
        NewAccount {
            display_name: String::new(),
            ..fitting.clone()
        },
        NewAccount {
            display_name: "a\nb".to_owned(),
            ..fitting.clone()
        },
        NewAccount {
            password: "7 chars".to_owned(),
            ..fitting.clone()
        },
        NewAccount {
            password: "x".repeat(1025),
            ..fitting.clone()
        },
        NewAccount {
            organizations: vec!["fine".to_owned(), " ".to_owned()],
            ..fitting.clone()
        },
        NewAccount {
            role: Role::SystemAdmin,
            ..fitting.clone()
        },
    ] {
        let line = accounts
            .register(wrong.clone())
            .await
            .expect_err(&format!("{wrong:?}"))
            .to_string();
        assert!(!line.contains('\n') && !line.contains(&wrong.password), "{line}");
    }
    for table in ["users", "organizations", "memberships", "audit_events"] {
        assert_eq!(portal.rows(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn new_password_ends_sessions_and_retires_the_old() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let (chrome, mac) = (
        portal.browser(CHROME).signed_in(&maria).await,
        portal.desktop("mac").signed_in(&maria).await,
    );
    let ended = portal
        .accounts()
        .set_password(&maria.email.to_uppercase(), "an entirely new one".to_owned())
        .await;
    assert_eq!(ended.expect("changed"), 2);
    for client in [&chrome, &mac] {
        assert_eq!(
            client.get("/api/session_state").await.end_reason(),
            "password_changed"
        );
        assert_eq!(portal.ends_of(client.session()).await.len(), 1);
    }
    let page = chrome.get("/dashboard").await;
    let login = chrome.follow(&page).await.expect(200);
    assert!(
        login
            .body
            .contains("Your password was changed, so this device was signed out."),
        "{}",
        login.body
    );

    portal.browser(CHROME).sign_in(&maria).await.expect(401);
    portal
        .assert_sign_in(&maria.email, "an entirely new one", 200)
        .await;
    let rows = portal.audit("password_set").await;
    assert_eq!(
        (rows.len(), rows[0].user, rows[0].actor),
        (1, Some(maria.id), None)
    );
}

#[tokio::test]
async fn disabled_user_is_signed_out_and_stays_out() {
    let portal = Portal::start().await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    let (chrome, mac) = (
        portal.browser(CHROME).signed_in(&maria).await,
        portal.desktop("mac").signed_in(&maria).await,
    );
    let of_jonas = portal.browser(FIREFOX).signed_in(&jonas).await;

    assert_eq!(
        portal.accounts().disable(&maria.email).await.expect("disabled"),
        2
    );
    assert_eq!(
        portal
            .accounts()
            .disable(&maria.email)
            .await
            .expect("disabled already"),
        0
    );
    for client in [&chrome, &mac] {
        assert_eq!(
            client.get("/api/session_state").await.end_reason(),
            "account_disabled"
        );
        assert_eq!(portal.ends_of(client.session()).await.len(), 1);
    }
    chrome.sign_in(&maria).await.expect(401);
    mac.sign_in(&maria).await.expect(401);
    of_jonas.get("/dashboard").await.expect(200);
}

#[tokio::test]
async fn operator_note_is_plain_text_at_sign_in() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let note = "Moved to <b>another</b> office & \"team\"";
    assert_eq!(
        portal
            .accounts()
            .revoke_user(&maria.email, Some(note))
            .await
            .expect("revoked"),
        1
    );

    let page = chrome.get("/dashboard").await.expect(303);
    assert_eq!(page.location(), "/login?next=/dashboard&reason=revoked_by_admin");
    let login = chrome.follow(&page).await.expect(200);
    let words =
        "An administrator ended your session. Reason given: Moved to &lt;b&gt;another&lt;/b&gt; office &amp;";
    assert!(
        login.body.contains(words) && !login.body.contains("<b>another"),
        "{}",
        login.body
    );
    // Only the browser of that session learns the reason.
    let stranger = portal.browser(SAFARI).get("/login?reason=revoked_by_admin").await;
    assert!(!stranger.body.contains("another"), "{}", stranger.body);

    let row = &portal.ends_of(chrome.session()).await[0];
    assert_eq!((row.actor, row.ip_address.as_deref()), (None, None));
    assert_eq!(
        (row.reason.as_deref(), &row.detail),
        (Some("revoked_by_admin"), &json!({ "note": note }))
    );
    portal
        .browser(CHROME)
        .signed_in(&maria)
        .await
        .get("/dashboard")
        .await
        .expect(200);
}

#[tokio::test]
async fn session_id_revokes_one_session_once() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let (chrome, mac) = (
        portal.browser(CHROME).signed_in(&maria).await,
        portal.desktop("mac").signed_in(&maria).await,
    );
    portal
        .accounts()
        .revoke_session(mac.session(), None)
        .await
        .expect("revoked");
    assert_eq!(
        mac.get("/api/session_state").await.end_reason(),
        "revoked_by_admin"
    );
    chrome.get("/dashboard").await.expect(200);
    for id in [mac.session(), SessionId::new()] {
        let again = portal.accounts().revoke_session(id, None).await;
        assert!(matches!(again, Err(AccountError::NoSuchSession(_))), "{again:?}");
    }
    assert_eq!(portal.audit("session_ended").await.len(), 1);
}

#[tokio::test]
async fn everyone_is_signed_out_and_may_return() {
    let portal = Portal::start().await;
    let mut clients = Vec::new();
    for name in ["maria", "jonas", "aiko"] {
        let person = portal.broker(name).await;
        clients.push(portal.browser(CHROME).signed_in(&person).await);
        clients.push(portal.desktop("mac").signed_in(&person).await);
    }
    let idle = portal.broker("idle").await;
    assert_eq!(
        portal
            .accounts()
            .revoke_everyone(Some("Maintenance tonight"))
            .await
            .expect("revoked"),
        6
    );
    assert_eq!(
        portal
            .accounts()
            .revoke_everyone(None)
            .await
            .expect("nobody left"),
        0
    );
    for client in &clients {
        assert_eq!(
            client.get("/api/session_state").await.end_reason(),
            "revoked_by_admin"
        );
        assert_eq!(portal.ends_of(client.session()).await.len(), 1);
    }
    let login = clients[0].get("/login").await.expect(200);
    assert!(
        login.body.contains("Reason given: Maintenance tonight"),
        "{}",
        login.body
    );
    portal
        .browser(CHROME)
        .signed_in(&idle)
        .await
        .get("/dashboard")
        .await
        .expect(200);
}

#[tokio::test]
async fn operator_list_equals_the_users_own_list() {
    let portal = Portal::start().await;
    let (maria, jonas) = (
        portal.broker("maria").await,
        portal.user("jonas").role(Role::Vendor).create().await,
    );
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(60)).await;
    let mac = portal.desktop("mac").signed_in(&jonas).await;
    portal.browser(FIREFOX).signed_in(&jonas).await.sign_out().await;

    let all = portal.accounts().list_sessions(None).await.expect("a list");
    let seen: Vec<_> = all
        .iter()
        .map(|(user, session)| (&*user.email, user.role, session.id))
        .collect();
    assert_eq!(
        seen,
        [
            (&*jonas.email, Role::Vendor, mac.session()),
            (&*maria.email, Role::Broker, chrome.session())
        ]
    );
    let of_maria = portal
        .accounts()
        .list_sessions(Some("MARIA@broker.example"))
        .await
        .expect("a list");
    assert_eq!(
        of_maria.iter().map(|(_, session)| session.id).collect::<Vec<_>>(),
        [chrome.session()]
    );
    let nobody = portal
        .accounts()
        .list_sessions(Some("nobody@b.example"))
        .await
        .err();
    assert!(matches!(nobody, Some(AccountError::NoSuchUser(_))));
}

#[tokio::test]
async fn unknown_email_is_an_error_without_changes() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let accounts = portal.accounts();
    let (email, before) = ("nobody@b.example", portal.rows("audit_events").await);
    assert!(matches!(
        accounts.disable(email).await,
        Err(AccountError::NoSuchUser(_))
    ));
    assert!(matches!(
        accounts.revoke_user(email, None).await,
        Err(AccountError::NoSuchUser(_))
    ));
    let set = accounts.set_password(email, "long enough".to_owned()).await;
    assert!(matches!(set, Err(AccountError::NoSuchUser(_))));
    let set = accounts.set_password(&maria.email, "short".to_owned()).await;
    assert!(matches!(set, Err(AccountError::UnsuitablePassword(_))));
    assert_eq!(portal.rows("audit_events").await, before);
    chrome.get("/dashboard").await.expect(200);
}

#[tokio::test]
async fn enabled_user_signs_in_but_sessions_stay_ended() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    portal.accounts().disable(&maria.email).await.expect("disabled");
    portal.accounts().enable(&maria.email).await.expect("enabled");
    assert_eq!(
        chrome.get("/api/session_state").await.end_reason(),
        "account_disabled"
    );
    chrome.signed_in(&maria).await.get("/dashboard").await.expect(200);
    assert_eq!(portal.audit("user_enabled").await.len(), 1);
}

#[tokio::test]
async fn demo_accounts_stop_working_after_the_demo() {
    let portal = Portal::start().await;
    let accounts = portal.accounts();
    demo::create_accounts(&accounts).await.expect("created");
    demo::create_accounts(&accounts).await.expect("created already");
    let browsers: Vec<Client> = demo::ACCOUNTS.iter().map(|_| portal.browser(CHROME)).collect();
    for (browser, (email, ..)) in browsers.iter().zip(demo::ACCOUNTS) {
        browser.try_sign_in(email, demo::PASSWORD).await.expect(200);
        browser.get("/dashboard/settings").await.expect(200);
    }
    demo::disable_accounts(&accounts).await.expect("withdrawn");
    for (browser, (email, ..)) in browsers.iter().zip(demo::ACCOUNTS) {
        assert_eq!(
            browser.get("/api/session_state").await.end_reason(),
            "account_disabled"
        );
        browser.try_sign_in(email, demo::PASSWORD).await.expect(401);
    }
}

#[tokio::test]
async fn system_administrator_cannot_become_a_member() {
    let portal = Portal::start().await;
    let root = portal.system_admin("root").await;
    let again = portal
        .accounts()
        .register(registration(&root.email, Role::Broker, &["Northgate"]))
        .await;
    assert!(
        matches!(again, Err(AccountError::SystemAdminHasNoOrganization)),
        "{again:?}"
    );
    assert_eq!(portal.rows("memberships").await, 0);
}
