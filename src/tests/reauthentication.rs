//! Sensitive actions ask for the password when the last check is too old.

use crate::harness::*;

/// Seconds for which a password check is recent enough, as in the contract.
const REAUTH_SECONDS: u64 = 1800;

/// A user with a browser and a desktop whose checks are this old, and further sessions to revoke.
struct Stale {
    portal: Portal,
    maria: TestUser,
    chrome: Client,
    mac: Client,
    target: Client,
}

impl Stale {
    async fn by(time: u64) -> Self {
        Self::with(&[], time).await
    }

    async fn with(settings: &[(&str, &str)], time: u64) -> Self {
        let portal = Portal::with(settings).await;
        let maria = portal.broker("maria").await;
        let chrome = portal.browser(CHROME).signed_in(&maria).await;
        let mac = portal.desktop("mac").signed_in(&maria).await;
        let target = portal.browser(FIREFOX).signed_in(&maria).await;
        portal.advance(seconds(time)).await;
        mac.refresh().await.expect(200);
        Self {
            portal,
            maria,
            chrome,
            mac,
            target,
        }
    }

    /// Returns a call of every sensitive route by this client, valid except for the check.
    fn sensitive(&self, client: &Client) -> Vec<Call> {
        let target = self.target.session().to_string();
        let mut calls = self.server_fns(client, None);
        calls.extend([
            client.delete(&format!("/api/v1/sessions/{target}")),
            client.delete("/api/v1/sessions?scope=others"),
            client.delete("/api/v1/sessions?scope=all"),
        ]);
        calls
    }

    fn server_fns(&self, client: &Client, password: Option<&str>) -> Vec<Call> {
        let target = self.target.session().to_string();
        let call = |path: &str, fields: &[(&str, &str)]| {
            let fields: Vec<_> = fields
                .iter()
                .copied()
                .chain(password.map(|password| ("password", password)))
                .collect();
            client.post(path).form(&fields)
        };
        vec![
            call("/api/revoke_session", &[("session_id", &target)]),
            call("/api/sign_out_other_devices", &[]),
            call("/api/sign_out_all_devices", &[]),
        ]
    }

    async fn assert_nothing_ended(&self) {
        for client in [&self.chrome, &self.mac, &self.target] {
            assert!(client.is_live().await);
        }
        assert_eq!(self.portal.audit("session_ended").await, []);
    }

    async fn reauth_required(&self, client: &Client) -> Value {
        let state = client.get_json("/api/v1/session_state").await;
        state["session"]["reauth_required"].clone()
    }
}

#[tokio::test]
async fn stale_check_blocks_every_sensitive_route() {
    let stale = Stale::by(REAUTH_SECONDS + 1).await;
    for client in [&stale.chrome, &stale.mac] {
        assert_eq!(stale.reauth_required(client).await, true);
        let calls = stale.sensitive(client);
        for call in calls {
            let response = call.await.expect(403);
            assert_eq!(response.json()["code"], "reauth_required");
            assert_eq!(response.header("set-cookie"), None);
        }
        let mut denied = stale.portal.audit("denied").await;
        denied.retain(|row| row.actor_session == Some(client.session()));
        // Once per window, since the holder of the session could repeat the attempts.
        assert_eq!(denied.len(), 1);
        for row in denied {
            assert_eq!(
                (row.reason.as_deref(), row.actor, row.ip_address.as_deref()),
                (
                    Some("reauth_required"),
                    Some(stale.maria.id),
                    Some("198.51.100.7")
                )
            );
        }
    }
    stale.assert_nothing_ended().await;
}

#[tokio::test]
async fn sensitive_routes_ask_only_after_the_limit() {
    for route in 0..6 {
        for desktop in [false, true] {
            let fresh = Stale::by(REAUTH_SECONDS).await;
            let client = if desktop { &fresh.mac } else { &fresh.chrome };
            assert_eq!(fresh.reauth_required(client).await, false);
            let call = fresh.sensitive(client).remove(route);
            let response = call.await;
            assert!(response.status < 300, "{response:#?}");
            assert!(!fresh.target.is_live().await);
        }
    }
}

#[tokio::test]
async fn operator_configures_the_check_lifetime() {
    let stale = Stale::with(&[("PORTAL_REAUTH_SECONDS", "60")], 60).await;
    assert_eq!(stale.reauth_required(&stale.chrome).await, false);
    stale.portal.advance(seconds(1)).await;
    assert_eq!(stale.reauth_required(&stale.chrome).await, true);
    stale
        .chrome
        .delete("/api/v1/sessions?scope=others")
        .await
        .expect(403);
}

#[tokio::test]
async fn signing_out_never_needs_a_fresh_check() {
    for route in 0..4 {
        let stale = Stale::by(REAUTH_SECONDS + 1).await;
        let own = stale.chrome.session();
        let response = match route {
            0 => stale.chrome.post("/api/sign_out").await,
            1 => stale.chrome.delete("/api/v1/sessions?scope=current").await,
            2 => stale.chrome.delete(&format!("/api/v1/sessions/{own}")).await,
            _ => {
                let fields = [("session_id", &*own.to_string())];
                stale.chrome.submit("revoke_session", &fields).await
            }
        };
        assert!(response.status < 300, "{response:#?}");
        stale.portal.assert_ended(own, "signed_out").await;
        let own = stale.mac.session();
        stale
            .mac
            .delete(&format!("/api/v1/sessions/{own}"))
            .await
            .expect(204);
    }
}

#[tokio::test]
async fn stale_session_learns_nothing_about_ids() {
    let stale = Stale::by(REAUTH_SECONDS + 1).await;
    let jonas = stale.portal.broker("jonas").await;
    let of_another = stale.portal.browser(CHROME).signed_in(&jonas).await;
    let ended = stale.portal.browser(SAFARI).signed_in(&stale.maria).await;
    ended.sign_out().await;
    let ids = [
        stale.target.session().to_string(),
        of_another.session().to_string(),
        ended.session().to_string(),
        "00000000-0000-4000-8000-000000000000".to_owned(),
        "nonsense".to_owned(),
    ];
    let ask = async |id: &str| {
        let server_fn = stale.chrome.post("/api/revoke_session");
        let server_fn = server_fn.form(&[("session_id", id)]).await.expect(403);
        let api = stale
            .chrome
            .delete(&format!("/api/v1/sessions/{id}"))
            .await
            .expect(403);
        (server_fn.comparable(), api.comparable())
    };
    let response = ask(&ids[0]).await;
    for id in &ids[1..] {
        assert_eq!(ask(id).await, response, "{id}");
    }
    assert!(of_another.is_live().await);
}

#[tokio::test]
async fn correct_password_performs_the_action_and_rotates_cookie() {
    for (route, reason) in ["revoked", "revoked", "signed_out_everywhere"]
        .into_iter()
        .enumerate()
    {
        let stale = Stale::by(REAUTH_SECONDS + 1).await;
        let before = stale.chrome.duplicate();
        let call = stale
            .server_fns(&stale.chrome, Some(&stale.maria.password))
            .remove(route);
        call.await.expect(200);
        stale.portal.assert_ended(stale.target.session(), reason).await;
        if reason == "signed_out_everywhere" {
            // Nothing to renew: the session has ended too.
            assert_eq!(before.end_reason().await, reason);
            assert_eq!(stale.chrome.cookie(), None);
            continue;
        }
        assert_eq!(before.end_reason().await, "renewal_lost");
        let row = &stale.portal.audit("reauthenticated").await[..];
        assert_eq!(row.len(), 1);
        assert_eq!(row[0].actor_session, Some(stale.chrome.session()));
        assert_ne!(stale.chrome.cookie(), before.cookie());
        stale.chrome.get("/dashboard").await.expect(200);
        assert_eq!(stale.reauth_required(&stale.chrome).await, false);
    }
}

#[tokio::test]
async fn correct_password_for_unknown_id_stays_signed_in() {
    let stale = Stale::by(REAUTH_SECONDS + 1).await;
    for script in [true, false] {
        let chrome = if script {
            stale.chrome.clone()
        } else {
            stale.portal.advance(seconds(REAUTH_SECONDS + 1)).await;
            stale.chrome.clone().without_script()
        };
        let fields = [
            ("session_id", "00000000-0000-4000-8000-000000000000"),
            ("password", &*stale.maria.password),
        ];
        let response = chrome.submit("revoke_session", &fields).await;
        if script {
            response.assert_code(404, "not_found");
        } else {
            response.expect(302);
        }
        assert!(stale.chrome.is_live().await, "with script: {script}");
    }
}

#[tokio::test]
async fn wrong_passwords_count_against_this_session_only() {
    let limits = [
        ("PORTAL_SIGN_IN_ATTEMPTS", "5"),
        ("PORTAL_SIGN_IN_WINDOW_SECONDS", "900"),
    ];
    let stale = Stale::with(&limits, REAUTH_SECONDS + 1).await;
    let attempt = |client: &Client, password: &str, route: usize| {
        if route == 3 {
            let body = json!({ "password": password });
            return client.post("/api/v1/session/reauthenticate").json(&body);
        }
        stale.server_fns(client, Some(password)).remove(route)
    };
    for round in 0..5 {
        let response = attempt(&stale.chrome, "not it", round % 4).await.expect(401);
        assert_eq!(response.json()["code"], "invalid_credentials");
    }
    for route in 0..4 {
        for password in ["not it", &*stale.maria.password] {
            let response = attempt(&stale.chrome, password, route).await.expect(429);
            assert_eq!(response.json()["code"], "too_many_attempts");
            assert!(response.header("retry-after").is_some(), "{response:#?}");
        }
    }
    assert_eq!(stale.portal.audit("reauthentication_failed").await.len(), 5);
    assert_eq!(stale.portal.audit("sign_in_throttled").await.len(), 1);

    // The session continues, and other sessions and sign-ins are not affected.
    stale.assert_nothing_ended().await;
    stale.chrome.get("/dashboard").await.expect(200);
    attempt(&stale.mac, &stale.maria.password, 3).await.expect(200);
    stale.portal.browser(SAFARI).signed_in(&stale.maria).await;
    stale.portal.advance(seconds(900)).await;
    attempt(&stale.chrome, &stale.maria.password, 3).await.expect(200);
}

#[tokio::test]
async fn without_javascript_a_page_asks_for_the_password() {
    let stale = Stale::by(REAUTH_SECONDS + 1).await;
    let browser = stale.chrome.clone().without_script();
    let target = stale.target.session().to_string();
    let places = [
        format!("/dashboard/confirm-password?for=revoke_session&session_id={target}"),
        "/dashboard/confirm-password?for=sign_out_other_devices".to_owned(),
        "/dashboard/confirm-password?for=sign_out_all_devices".to_owned(),
    ];
    for (call, place) in stale.server_fns(&browser, None).into_iter().zip(places) {
        assert_eq!(call.await.expect(302).location(), place);
    }
    stale.assert_nothing_ended().await;
    assert_eq!(stale.portal.audit("denied").await.len(), 1);

    let crafted = [("session_id", "a&for=sign_out_all_devices\r\nSet-Cookie: x=1")];
    let response = browser.submit("revoke_session", &crafted).await.expect(302);
    assert_eq!(
        response.location(),
        "/dashboard/confirm-password?for=revoke_session&session_id=a%26for%3Dsign_out_all_devices%0D%0ASet-Cookie%3A%20x%3D1"
    );
}

#[tokio::test]
async fn renewed_check_rotates_the_cookie() {
    let stale = Stale::by(REAUTH_SECONDS + 1).await;
    let before = stale.chrome.duplicate();
    let body = json!({ "password": stale.maria.password });
    let response = stale
        .chrome
        .post("/api/v1/session/reauthenticate")
        .json(&body)
        .await;
    let state = response.expect(200).json();
    assert_eq!(state["session"]["id"], json!(stale.chrome.session()));
    assert_eq!(state["session"]["reauth_required"], false);
    assert_eq!(state["access_token"], Value::Null);
    assert_ne!(stale.chrome.cookie(), before.cookie());
    assert_eq!(before.end_reason().await, "renewal_lost");
    assert_eq!(stale.reauth_required(&stale.chrome).await, false);
    // The checks of other sessions are unchanged.
    assert_eq!(stale.reauth_required(&stale.mac).await, true);
    stale.chrome.revoke_scope("others").await;
}

#[tokio::test]
async fn renewed_check_replaces_only_the_access_token() {
    let stale = Stale::by(REAUTH_SECONDS + 1).await;
    let before = stale.mac.duplicate();
    let body = json!({ "password": stale.maria.password });
    let response = stale
        .mac
        .post("/api/v1/session/reauthenticate")
        .json(&body)
        .await
        .expect(200);
    assert_eq!(response.header("set-cookie"), None);
    assert_eq!(response.json()["expires_in"], 900);
    stale.mac.take_tokens(&response);
    assert_eq!(before.end_reason().await, "unknown");
    assert_eq!(stale.reauth_required(&stale.mac).await, false);
    stale.mac.refresh().await.expect(200);
    assert_eq!(stale.reauth_required(&stale.mac).await, false);
    stale.mac.revoke_scope("others").await;
}

#[tokio::test]
async fn rotated_cookie_expires_with_its_session() {
    let stale = Stale::by(REAUTH_SECONDS + 1).await;
    let body = json!({ "password": stale.maria.password });
    let response = stale
        .chrome
        .post("/api/v1/session/reauthenticate")
        .json(&body)
        .await
        .expect(200);
    let cookies = response.all("set-cookie");
    assert_eq!(cookies.len(), 1);
    let attributes: Vec<_> = cookies[0].split("; ").skip(1).collect();
    let age = format!("Max-Age={}", 24 * 3600 - REAUTH_SECONDS - 1);
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", &age] {
        assert!(attributes.contains(&attribute), "{attribute}: {cookies:?}");
    }
}

#[tokio::test]
async fn server_functions_give_desktops_no_cookie() {
    for route in 0..3 {
        let stale = Stale::by(REAUTH_SECONDS + 1).await;
        let before = stale.mac.duplicate();
        let response = if route == 2 {
            let fields = [
                ("current_password", &*stale.maria.password),
                ("new_password", "an entirely new password"),
            ];
            stale.mac.submit("change_password", &fields).await
        } else {
            stale
                .server_fns(&stale.mac, Some(&stale.maria.password))
                .remove(route)
                .await
        };
        assert_eq!(
            response.clone().expect(200).all("set-cookie"),
            Vec::<&str>::new(),
            "{response:#?}"
        );
        assert_eq!(before.end_reason().await, "unknown");
        stale.mac.refresh().await.expect(200);
        assert_eq!(stale.reauth_required(&stale.mac).await, false);
        assert!(!stale.target.is_live().await);
    }
}

#[tokio::test]
async fn refresh_renews_no_check() {
    let stale = Stale::by(REAUTH_SECONDS + 1).await;
    stale.mac.refresh().await.expect(200);
    assert_eq!(stale.reauth_required(&stale.mac).await, true);
}

#[tokio::test]
async fn check_that_waited_for_revocation_renews_nothing() {
    let stale = Stale::by(REAUTH_SECONDS - 60).await;
    let body = json!({ "password": stale.maria.password });
    let path = format!("/api/v1/sessions/{}", stale.chrome.session());

    let lock = HeldLock::of_user(&stale.portal, &stale.maria).await;
    let end = lock.queue(stale.target.delete(&path), 1).await;
    let renew = stale.chrome.post("/api/v1/session/reauthenticate").json(&body);
    let renew = lock.queue(renew, 2).await;
    lock.release().await;
    end.await.expect("the request task").expect(204);
    assert_eq!(renew.await.expect("the request task").end_reason(), "revoked");
    assert_eq!(stale.portal.audit("reauthenticated").await, []);
    assert_eq!(stale.chrome.end_reason().await, "revoked");
}

#[tokio::test]
async fn check_of_a_replaced_password_renews_nothing() {
    let stale = Stale::by(REAUTH_SECONDS + 1).await;
    let fields = [
        ("current_password", &*stale.maria.password),
        ("new_password", "an entirely new password"),
        ("other_sessions", "keep"),
    ];
    let body = json!({ "password": stale.maria.password });

    let lock = HeldLock::of_user(&stale.portal, &stale.maria).await;
    let change = stale.target.submit("change_password", &fields);
    let change = lock.queue(change, 1).await;
    // It was correct when it was verified, but not any more under the lock.
    let renew = stale.chrome.post("/api/v1/session/reauthenticate").json(&body);
    let renew = lock.queue(renew, 2).await;
    lock.release().await;
    change.await.expect("the request task").expect(200);
    let renew = renew.await.expect("the request task").expect(401);
    assert_eq!(renew.problem(), "invalid_credentials");
    assert_eq!(stale.portal.audit("reauthenticated").await, []);
    assert_eq!(stale.reauth_required(&stale.chrome).await, true);
}

#[tokio::test]
async fn failed_action_after_correct_password_stays_signed_in() {
    let portal = Portal::with(&[("PORTAL_REAUTH_SECONDS", "60")]).await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.advance(seconds(61)).await;
    portal
        .execute(
            "ALTER TABLE audit_events ADD CONSTRAINT nothing_ends CHECK (kind <> 'session_ended') NOT VALID",
        )
        .await;
    let id = mac.session().to_string();
    let fields = [("session_id", &*id), ("password", &*maria.password)];
    let response = chrome.submit("revoke_session", &fields).await;
    assert!(response.status >= 500, "{response:#?}");
    chrome.get("/dashboard").await.expect(200);
    mac.get("/api/v1/sessions").await.expect(200);
}
