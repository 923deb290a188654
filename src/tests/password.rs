//! Users change their own password.

use crate::harness::*;

const NEW: &str = "an entirely new password";

/// Submits the form.
fn change(client: &Client, current: &str, new: &str) -> Call {
    let fields = [("current_password", current), ("new_password", new)];
    client.submit("change_password", &fields)
}

/// Returns whether the password signs in from a new browser.
async fn opens(portal: &Portal, person: &TestUser, password: &str) -> bool {
    let response = portal.browser(SAFARI).try_sign_in(&person.email, password).await;
    assert!([200, 401].contains(&response.status), "{response:#?}");
    response.status == 200
}

#[tokio::test]
async fn password_change_signs_out_everywhere_else() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let others = [
        portal.browser(FIREFOX).signed_in(&maria).await,
        portal.desktop("mac").signed_in(&maria).await,
    ];
    let jonas = portal.broker("jonas").await;
    let of_another = portal.browser(CHROME).signed_in(&jonas).await;
    let before = chrome.duplicate();

    let response = change(&chrome, &maria.password, NEW).await.expect(200);
    assert_eq!(response.json(), 2);
    for other in &others {
        portal.assert_ended(other.session(), "password_changed").await;
        let row = &portal.ends_of(other.session()).await[0];
        assert_eq!(
            (row.actor, row.actor_session),
            (Some(maria.id), Some(chrome.session()))
        );
        assert_eq!(other.end_reason().await, "password_changed");
    }
    assert_ne!(chrome.cookie(), before.cookie());
    assert_eq!(before.end_reason().await, "renewal_lost");
    chrome.get("/dashboard").await.expect(200);
    assert!(of_another.is_live().await);

    let audit = portal.audit("password_changed").await;
    assert_eq!(audit.len(), 1);
    assert_eq!(
        (audit[0].actor_session, audit[0].ip_address.as_deref()),
        (Some(chrome.session()), Some("198.51.100.7"))
    );
    assert!(!opens(&portal, &maria, &maria.password).await);
    assert!(opens(&portal, &maria, NEW).await);
}

#[tokio::test]
async fn password_change_can_keep_other_sessions() {
    let (portal, maria, chrome, mac) = Portal::with_devices().await;
    let fields = [
        ("current_password", &*maria.password),
        ("new_password", NEW),
        ("other_sessions", "keep"),
    ];
    let response = chrome.submit("change_password", &fields).await.expect(200);
    assert_eq!(response.json(), 0);
    assert!(mac.is_live().await && chrome.is_live().await);
    mac.refresh().await.expect(200);
    assert_eq!(portal.audit("session_ended").await, []);

    // Any other value ends them.
    let fields = [
        ("current_password", NEW),
        ("new_password", "another password altogether"),
        ("other_sessions", "KEEP"),
    ];
    chrome.submit("change_password", &fields).await.expect(200);
    assert_eq!(mac.end_reason().await, "password_changed");
}

#[tokio::test]
async fn without_javascript_the_password_change_is_confirmed() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await.without_script();
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let response = change(&chrome, &maria.password, NEW).await.expect(302);
    assert_eq!(response.location(), "/dashboard/settings");
    let html = chrome.follow(&response).await.expect(200).body;
    assert!(html.contains("1 other device has been signed out."), "{html}");
    assert!(!mac.is_live().await);
}

#[tokio::test]
async fn password_change_always_needs_the_current_password() {
    let portal = Portal::with(&[("PORTAL_SIGN_IN_ATTEMPTS", "3")]).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    for wrong in ["", "not it", NEW] {
        let response = change(&chrome, wrong, NEW).await.expect(401);
        assert_eq!(response.json()["code"], "invalid_credentials");
    }
    // The holder of a cookie cannot continue guessing.
    change(&chrome, &maria.password, NEW).await.expect(429);
    assert!(chrome.is_live().await && mac.is_live().await);
    assert_eq!(portal.audit("reauthentication_failed").await.len(), 3);
    assert_eq!(portal.audit("password_changed").await, []);
    assert!(opens(&portal, &maria, &maria.password).await);
}

#[tokio::test]
async fn unsuitable_password_is_rejected_without_changes() {
    let (portal, maria, chrome, mac) = Portal::with_devices().await;
    let cookie = chrome.cookie();
    for (new, problem) in [
        ("short", "too_short"),
        ("", "too_short"),
        (&"long enough ".repeat(100), "too_long"),
        ("password1", "too_common"),
        ("aaaaaaaaaaaaaaaa", "too_common"),
        ("maria@broker.example", "too_common"),
        (&maria.password, "unchanged"),
    ] {
        let response = change(&chrome, &maria.password, new).await.expect(422);
        assert_eq!(response.json()["code"], "unsuitable_password", "{new}");
        assert_eq!(response.json()["problem"], problem, "{new}");
    }
    assert_eq!(chrome.cookie(), cookie);
    assert!(chrome.is_live().await && mac.is_live().await);
    assert_eq!(portal.audit("password_changed").await, []);
    assert!(opens(&portal, &maria, &maria.password).await);
    assert!(!opens(&portal, &maria, "password1").await);
}

#[tokio::test]
async fn missing_fields_change_nothing() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    for field in ["current_password", "new_password"] {
        let fields = [(field, &*maria.password)];
        chrome.submit("change_password", &fields).await.expect(422);
    }
    change(&portal.browser(CHROME), &maria.password, NEW)
        .await
        .expect(401);
    assert_eq!(portal.audit("password_changed").await, []);
}

#[tokio::test]
async fn old_password_sign_in_does_not_survive_change() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let early = [portal.browser(FIREFOX), portal.desktop("mac")];
    let late = [portal.browser(SAFARI), portal.desktop("thinkpad")];

    let lock = HeldLock::of_user(&portal, &maria).await;
    let mut before = Vec::new();
    for (place, client) in (1..).zip(&early) {
        before.push(lock.queue(client.spawn_sign_in(&maria), place).await);
    }
    let changing = lock.queue(change(&chrome, &maria.password, NEW), 3).await;
    let mut after = Vec::new();
    for (place, client) in (4..).zip(&late) {
        after.push(lock.queue(client.spawn_sign_in(&maria), place).await);
    }
    lock.release().await;

    for response in before {
        assert!(response.await.expect("the request task").status < 300);
    }
    assert_eq!(changing.await.expect("the request task").expect(200).json(), 2);
    for response in after {
        let response = response.await.expect("the request task").expect(401);
        assert_eq!(response.json()["code"], "invalid_credentials");
    }
    for client in &early {
        assert_eq!(client.end_reason().await, "password_changed");
    }
    assert_eq!(portal.live_sessions(maria.id).await, [chrome.session()]);
}

#[tokio::test]
async fn second_of_two_parallel_changes_is_refused() {
    let (portal, maria, chrome) = Portal::with_browser().await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;

    let keep = |client: &Client, new: &str| {
        client.submit(
            "change_password",
            &[
                ("current_password", &maria.password),
                ("new_password", new),
                ("other_sessions", "keep"),
            ],
        )
    };
    let lock = HeldLock::of_user(&portal, &maria).await;
    let first = lock.queue(keep(&chrome, NEW), 1).await;
    let second = lock.queue(keep(&firefox, "a thief's own password"), 2).await;
    lock.release().await;
    first.await.expect("the request task").expect(200);
    second.await.expect("the request task").expect(401);
    assert!(opens(&portal, &maria, NEW).await);
    assert!(!opens(&portal, &maria, "a thief's own password").await);
    assert!(firefox.is_live().await && mac.is_live().await);
    assert_eq!(portal.audit("password_changed").await.len(), 1);
}

#[tokio::test]
async fn revoked_session_cannot_finish_a_password_change() {
    let (portal, maria, owner) = Portal::with_browser().await;
    let thief = portal.browser(FIREFOX).signed_in(&maria).await;
    let end = owner.delete(&format!("/api/v1/sessions/{}", thief.session()));

    let lock = HeldLock::of_user(&portal, &maria).await;
    let end = lock.queue(end, 1).await;
    let changing = lock.queue(change(&thief, &maria.password, NEW), 2).await;
    lock.release().await;
    end.await.expect("the request task").expect(204);
    let response = changing.await.expect("the request task").expect(401);
    assert_eq!(
        response.json(),
        json!({ "code": "session_ended", "reason": "revoked" })
    );
    assert!(owner.is_live().await);
    assert!(opens(&portal, &maria, &maria.password).await);
}

/// "Zürich-café-2026", composed as on Windows and decomposed as on some Macs.
const COMPOSED: &str = "Z\u{fc}rich-caf\u{e9}-2026";
const DECOMPOSED: &str = "Zu\u{308}rich-cafe\u{301}-2026";

#[tokio::test]
async fn both_unicode_forms_of_a_password_sign_in() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    for (stored, entered) in [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)] {
        let accounts = portal.accounts();
        let set = accounts.set_password(&maria.email, stored.to_owned());
        set.await.expect("set");
        assert!(opens(&portal, &maria, entered).await && opens(&portal, &maria, stored).await);
        let mac = portal.desktop("mac");
        mac.try_sign_in(&maria.email, entered).await.expect(201);
        let password = json!({ "password": entered });
        let confirm = mac.post("/api/v1/session/reauthenticate").json(&password);
        confirm.await.expect(200);
        assert!(!opens(&portal, &maria, "Zurich-cafe-2026").await);
    }
    let chrome = portal.browser(CHROME);
    chrome.try_sign_in(&maria.email, COMPOSED).await.expect(200);
    let same = change(&chrome, COMPOSED, DECOMPOSED).await.expect(422);
    assert_eq!(same.json()["problem"], "unchanged");
    change(&chrome, COMPOSED, NEW).await.expect(200);
    change(&chrome, NEW, DECOMPOSED).await.expect(200);
    assert!(opens(&portal, &maria, COMPOSED).await);
}

/// Stores a hash of the password as typed, as before normalisation was introduced.
async fn set_unnormalised_hash(portal: &Portal, person: &TestUser) {
    use argon2::PasswordHasher as _;
    let params = argon2::Params::new(64, 1, 1, None).expect("a cost");
    let old = argon2::Argon2::from(params).hash_password(DECOMPOSED.as_bytes());
    sqlx::query("UPDATE users SET password_hash = $1 WHERE email = $2")
        .bind(old.expect("a hash").to_string())
        .bind(&person.email)
        .execute(&portal.sql)
        .await
        .expect("an old hash");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_sign_ins_survive_a_lost_rehash() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    for _ in 0..5 {
        set_unnormalised_hash(&portal, &maria).await;
        let mut under_way = tokio::task::JoinSet::new();
        for number in 0..4 {
            let (desktop, email) = (portal.desktop(&format!("desktop-{number}")), maria.email.clone());
            under_way.spawn(async move { desktop.try_sign_in(&email, DECOMPOSED).await.status });
        }
        assert_eq!(under_way.join_all().await, [201; 4]);
    }
}

#[tokio::test]
async fn hashes_of_unnormalised_passwords_still_work() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    for desktop in [false, true] {
        set_unnormalised_hash(&portal, &maria).await;
        assert!(!opens(&portal, &maria, COMPOSED).await);
        if desktop {
            let mac = portal.desktop("mac");
            mac.try_sign_in(&maria.email, DECOMPOSED).await.expect(201);
        } else {
            assert!(opens(&portal, &maria, DECOMPOSED).await);
        }
        // Replaced meanwhile.
        assert!(opens(&portal, &maria, COMPOSED).await && opens(&portal, &maria, DECOMPOSED).await);
    }
    assert_eq!(portal.audit("password_changed").await, []);
    let ended = portal.audit("session_ended").await;
    assert!(
        ended
            .iter()
            .all(|row| row.reason.as_deref() == Some("session_limit"))
    );
}
