//! Responses with a new credential that do not arrive: a new cookie or new tokens.

use crate::harness::*;

const LOST: &str = "renewal_lost";
const WORDS: &str =
    "Your sign-in was renewed, but this browser did not receive the response. Please sign in again.";

/// How a browser's cookie is rotated.
const RENEWALS: [&str; 3] = ["reauthenticate", "change_password", "revoke"];

/// Rotates the cookie of a browser and returns the same browser without the new cookie.
async fn lose_answer(renewal: &str, person: &mut TestUser, browser: &Client) -> Client {
    let old_client = browser.duplicate();
    let response = match renewal {
        "reauthenticate" => {
            let call = browser.post("/api/v1/session/reauthenticate");
            call.json(&json!({ "password": person.password })).await
        }
        "change_password" => {
            let new = "an entirely new password";
            let fields = [("current_password", &*person.password), ("new_password", new)];
            let response = browser.submit("change_password", &fields).await;
            person.password = new.to_owned();
            response
        }
        _ => {
            // The last check is too old, so the password is sent along.
            browser.portal.advance(seconds(1801)).await;
            let fields = [("password", &*person.password)];
            browser.submit("sign_out_other_devices", &fields).await
        }
    };
    response.expect(200);
    assert_ne!(browser.cookie(), old_client.cookie());
    old_client
}

#[tokio::test]
async fn lost_cookie_is_explained_and_the_old_invalid() {
    for renewal in RENEWALS {
        let portal = Portal::start().await;
        let mut maria = portal.broker("maria").await;
        let chrome = portal.browser(CHROME).signed_in(&maria).await;
        let old_client = lose_answer(renewal, &mut maria, &chrome).await;
        assert_eq!(old_client.end_reason().await, LOST, "{renewal}");
        let state = old_client.get("/api/session_state").await.expect(401).json();
        assert_eq!(state["detail"], WORDS);
        let page = old_client.get("/dashboard/settings").await.expect(303);
        assert_eq!(
            page.location(),
            format!("/login?next=/dashboard/settings&reason={LOST}")
        );
        let login = old_client.follow(&page).await.expect(200);
        assert!(login.body.contains(WORDS), "{}", login.body);
        let notice = old_client.post_json("/api/sign_in_notice").await;
        assert_eq!(notice, WORDS);
        for call in [
            old_client.post("/api/extend_session"),
            old_client.post("/api/sign_out_all_devices"),
            old_client.delete("/api/v1/sessions?scope=all"),
            old_client.get("/api/v1/session/events"),
            old_client.post("/api/sign_out"),
            old_client.get("/login"),
        ] {
            let response = call.await;
            assert!([200, 401].contains(&response.status), "{response:#?}");
            assert_eq!(response.all("set-cookie"), Vec::<&str>::new(), "{response:#?}");
        }
        assert!(chrome.is_live().await, "whoever has the new cookie goes on");
        assert_eq!(
            old_client.end_reason().await,
            "unknown",
            "the new cookie has arrived"
        );
    }
}

#[tokio::test]
async fn signing_in_again_ends_the_orphaned_session() {
    for renewal in RENEWALS {
        let portal = Portal::start().await;
        let mut maria = portal.broker("maria").await;
        let chrome = portal.browser(CHROME).signed_in(&maria).await;
        let orphan = chrome.session();
        let old_client = lose_answer(renewal, &mut maria, &chrome).await;
        let again = old_client.signed_in(&maria).await;
        assert_ne!(again.session(), orphan);
        portal.assert_ended(orphan, "signed_out").await;
        let end = portal.ends_of(orphan).await.remove(0);
        assert_eq!(
            end.actor_session,
            Some(again.session()),
            "in the transaction of the sign-in"
        );
        assert_eq!(portal.live_sessions(maria.id).await, [again.session()]);
        assert!(!chrome.is_live().await);
        assert_eq!(portal.rows("replaced_cookies").await, 0);
    }
}

#[tokio::test]
async fn another_users_sign_in_keeps_the_orphaned_session() {
    let portal = Portal::start().await;
    let mut maria = portal.broker("maria").await;
    let jonas = portal.broker("jonas").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let orphan = chrome.session();
    // A copy of a replaced cookie, presented before the new one.
    let copy = lose_answer("reauthenticate", &mut maria, &chrome).await;
    let again = copy.signed_in(&jonas).await;
    assert_eq!(portal.live_sessions(maria.id).await, [orphan]);
    assert!(again.is_live().await && chrome.is_live().await);
    assert_eq!(portal.audit("session_ended").await, []);
}

#[tokio::test]
async fn session_with_received_cookie_is_no_orphan() {
    let portal = Portal::start().await;
    let mut maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let old = lose_answer("reauthenticate", &mut maria, &chrome).await;
    // The holder of the copy learns that the cookie was replaced; the browser continues.
    assert_eq!(old.end_reason().await, LOST);
    let lock = HeldLock::of_user(&portal, &maria).await;
    let sign_in = lock.queue(old.spawn_sign_in(&maria), 1).await;
    assert!(chrome.is_live().await);
    lock.release().await;
    sign_in.await.expect("the request task").expect(200);
    assert!(chrome.is_live().await);
    assert_eq!(portal.live_sessions(maria.id).await.len(), 2);
    assert_eq!(portal.audit("session_ended").await, []);
}

#[tokio::test]
async fn ended_sessions_old_cookie_is_not_recognised() {
    let portal = Portal::start().await;
    let mut maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let session = chrome.session();
    let old_client = lose_answer("reauthenticate", &mut maria, &chrome).await;
    portal
        .accounts()
        .revoke_session(session, None)
        .await
        .expect("revoked");
    assert_eq!(old_client.end_reason().await, "unknown");
    old_client.signed_in(&maria).await;
    assert_eq!(portal.ends_of(session).await.len(), 1);
}

/// A desktop whose exchanged token is presented again, and what is recorded.
struct Reuse {
    portal: Portal,
    mac: Client,
    chrome: Client,
}

impl Reuse {
    async fn build() -> Self {
        let portal = Portal::with(&[
            ("PORTAL_ALERT_TOKEN_REUSE", "1"),
            ("PORTAL_ALERT_LISTENER_DOWN_SECONDS", "off"),
        ])
        .await;
        let maria = portal.broker("maria").await;
        let chrome = portal.browser(CHROME).signed_in(&maria).await;
        let mac = portal.desktop("mac").signed_in(&maria).await;
        Self { portal, mac, chrome }
    }

    /// The user reads the more likely cause, not that somebody else had access.
    #[track_caller]
    fn assert_refused(retry: TestResponse, words: &str) {
        assert_eq!(retry.problem(), "invalid_grant");
        let detail = retry.expect(401).json()["detail"].clone();
        assert!(
            detail.as_str().is_some_and(|detail| detail.contains(words)),
            "{detail}"
        );
    }

    async fn assert_cause(&self, cause: &str, title: &str, alert: &str) {
        self.portal.assert_ended(self.mac.session(), "token_reuse").await;
        let audit = self.portal.audit("token_reused").await;
        assert_eq!((audit.len(), &audit[0].detail["cause"]), (1, &json!(cause)));
        let notices = self.chrome.post_json("/api/list_security_notices").await;
        let notice = &notices[0];
        assert_eq!(notice["answer_lost"], cause == "lost_answer");
        // A newer server may record causes that this one does not know.
        self.portal
            .execute("UPDATE security_notices SET cause = 'from_a_newer_server'")
            .await;
        let notices = self.chrome.post_json("/api/list_security_notices").await;
        assert_eq!(notices[0]["answer_lost"], false);
        self.portal
            .execute(&format!("UPDATE security_notices SET cause = '{cause}'"))
            .await;
        let settings = self.chrome.get_text("/dashboard/settings").await;
        assert!(settings.contains(title), "{settings}");
        let state = &self.portal.state;
        let mut evaluator =
            broker_portal::server::services::alerts::evaluation::AlertEvaluator::new("a", self.portal.now());
        evaluator.evaluate(state).await.expect("looked");
        let alerts = broker_portal::server::services::alerts::list(&state.database);
        let open = alerts.await.expect("the alerts").open;
        assert!(open[0].message.contains(alert), "{open:?}");
    }
}

#[tokio::test]
async fn late_retry_is_recorded_as_lost_response() {
    for retried_within_grace in [false, true] {
        let reuse = Reuse::build().await;
        let late = reuse.mac.duplicate();
        late.exchange(&late.refresh_token()).await.expect(200);
        if retried_within_grace {
            reuse.portal.advance(seconds(20)).await;
            late.exchange(&late.refresh_token()).await.expect(200);
        }
        reuse.portal.advance(seconds(31)).await;
        // Clean-up has erased the salt for repeating the response.
        reuse.portal.clean_up().await;
        let retry = late.refresh().await;
        Reuse::assert_refused(retry, "this device did not receive the response in time");
        reuse
            .assert_cause(
                "lost_answer",
                "it did not receive the response",
                "Responses were probably lost on the network",
            )
            .await;
    }
}

#[tokio::test]
async fn used_successor_is_recorded_as_two_holders() {
    for used_by in ["refresh", "access token"] {
        let reuse = Reuse::build().await;
        let copy = reuse.mac.duplicate();
        reuse.mac.refresh().await.expect(200);
        reuse.portal.advance(seconds(31)).await;
        match used_by {
            "refresh" => drop(reuse.mac.refresh().await.expect(200)),
            _ => drop(reuse.mac.get("/api/v1/sessions").await.expect(200)),
        }
        let retry = copy.refresh().await;
        Reuse::assert_refused(retry, "Usually a response was lost on the network");
        // The holder of the new tokens gets the same response.
        let told = reuse.mac.get("/api/v1/session_state").await;
        assert_eq!(told.end_reason(), "token_reuse");
        let detail = told.json()["detail"].clone();
        assert!(
            detail
                .as_str()
                .is_some_and(|words| words.contains("change your password")),
            "{detail}"
        );
        reuse
            .assert_cause(
                "two_holders",
                "its refresh token was used twice",
                "Two programs use the same token",
            )
            .await;
    }
}

#[tokio::test]
async fn token_from_another_network_means_two_holders() {
    let reuse = Reuse::build().await;
    let elsewhere = reuse.mac.duplicate().at("203.0.113.80");
    reuse.mac.refresh().await.expect(200);
    reuse.portal.advance(seconds(31)).await;
    elsewhere.refresh().await.expect(401);
    reuse
        .assert_cause(
            "two_holders",
            "its refresh token was used twice",
            "Two programs use the same token",
        )
        .await;
}
