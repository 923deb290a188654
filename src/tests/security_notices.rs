//! Security notices: what raises them, and who may answer them.

use crate::harness::*;

/// Returns the rules of every notice, oldest first.
async fn rules(portal: &Portal) -> Vec<String> {
    let notices = portal.notices().await;
    notices.iter().map(|notice| notice.rules.join(" ")).collect()
}

/// Returns the open notices for this client.
pub(crate) async fn questions(client: &Client) -> Vec<Value> {
    let answer = client.post("/api/list_security_notices").await.expect(200);
    answer.json().as_array().expect("a list").clone()
}

async fn dismiss(client: &Client, notice: &str) -> TestResponse {
    client
        .submit("dismiss_security_notice", &[("notice_id", notice)])
        .await
}

#[tokio::test]
async fn new_network_asks_once_and_ends_nothing() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let asked = portal.browser(FIREFOX).signed_in(&maria).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.confirm_notices(&asked).await;
    let before = portal.notices().await.len();
    portal.advance(seconds(3600)).await;

    // The same network raises no notice.
    chrome
        .clone()
        .at("198.51.100.200")
        .get("/dashboard")
        .await
        .expect(200);
    assert_eq!(portal.notices().await.len(), before);
    let train = chrome.clone().at("203.0.113.5");
    for address in ["203.0.113.5", "203.0.113.77", "198.51.100.7", "203.0.113.5"] {
        train.clone().at(address).get("/dashboard").await.expect(200);
    }
    let notices = portal.notices().await;
    assert_eq!(notices.len(), before + 1);
    let notice = notices
        .iter()
        .find(|notice| notice.rules == ["new_network"])
        .expect("asked");
    assert_eq!((notice.user, notice.session), (maria.id, chrome.session()));
    assert!(
        questions(&asked)
            .await
            .iter()
            .any(|one| one["ip_address"] == "203.0.113.5")
    );
    // Another session of the user in a known network raises no notice.
    asked
        .clone()
        .at("203.0.113.9")
        .get("/dashboard")
        .await
        .expect(200);
    assert_eq!(portal.notices().await.len(), before + 1);
    assert_eq!(portal.audit("session_ended").await, []);
}

#[tokio::test]
async fn distant_networks_within_minutes_raise_another_notice() {
    for (wait, from, rule) in [
        (300, "203.0.113.5", "far_networks"),
        (301, "203.0.113.5", "new_network"),
        // A neighbouring network is not distant.
        (1, "198.51.7.7", "new_network"),
    ] {
        let (portal, maria, chrome) = Portal::with_browser().await;
        chrome.sign_out().await;
        portal.advance(seconds(900)).await;
        let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
        portal.advance(seconds(wait - 1)).await;
        let there = firefox.clone().at(from);
        there.get("/dashboard").await.expect(200);
        assert!(rules(&portal).await.contains(&rule.to_owned()), "{wait} {from}");
        assert!(firefox.is_live().await);
    }
    let portal = Portal::with(&[("PORTAL_NOTICE_FAR_NETWORKS_SECONDS", "0")]).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    chrome
        .clone()
        .at("203.0.113.5")
        .get("/dashboard")
        .await
        .expect(200);
    assert_eq!(rules(&portal).await, ["new_network"]);
}

#[tokio::test]
async fn first_sign_in_raises_no_notice() {
    let portal = Portal::start().await;
    for name in ["maria", "jonas"] {
        let person = portal.broker(name).await;
        portal.browser(CHROME).signed_in(&person).await;
    }
    assert_eq!(portal.notices().await, []);
    assert_eq!(portal.audit("suspicion_raised").await, []);
}

#[tokio::test]
async fn only_new_devices_raise_a_notice() {
    let (portal, maria, chrome, mac) = Portal::with_devices().await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    assert_eq!(rules(&portal).await, ["new_device", "new_device"]);
    let about: Vec<_> = portal
        .notices()
        .await
        .iter()
        .map(|notice| notice.session)
        .collect();
    assert!(about.contains(&mac.session()) && about.contains(&firefox.session()));

    portal.confirm_notices(&chrome).await;
    for client in [chrome, mac, firefox] {
        client.clone().signed_in(&maria).await;
        portal.advance(seconds(3600)).await;
        client.signed_in(&maria).await;
    }
    assert_eq!(portal.notices().await.len(), 2);

    let away = portal.desktop("thinkpad").at("203.0.113.5");
    portal.advance(seconds(3600)).await;
    away.signed_in(&maria).await;
    assert_eq!(rules(&portal).await[2], "new_device new_network");
}

#[tokio::test]
async fn each_notice_rule_can_be_disabled() {
    let portal = Portal::with(&[
        ("PORTAL_NOTICE_NEW_DEVICE", "off"),
        ("PORTAL_NOTICE_NEW_NETWORK", "off"),
        ("PORTAL_NOTICE_FAR_NETWORKS_SECONDS", "0"),
        ("PORTAL_NOTICE_FAILURES", "0"),
    ])
    .await;
    let maria = portal.broker("maria").await;
    for address in ["198.51.100.7", "203.0.113.5", "192.0.2.1"] {
        for _ in 0..5 {
            portal.browser(CHROME).fail_to_sign_in(&maria.email).await;
        }
        portal.advance(seconds(1)).await;
        let client = portal.browser(CHROME).at(address).signed_in(&maria).await;
        client.at("192.0.2.77").get("/dashboard").await.expect(200);
    }
    assert_eq!(portal.notices().await, []);
}

#[tokio::test]
async fn failures_before_the_correct_password_raise_a_notice() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let fail = async |times: usize| {
        for _ in 0..times {
            portal.advance(seconds(1)).await;
            portal.browser(CHROME).fail_to_sign_in(&maria.email).await;
        }
        portal.advance(seconds(1)).await;
    };
    fail(2).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    assert_eq!(portal.notices().await, []);
    fail(3).await;
    let chrome = chrome.signed_in(&maria).await;
    let notices = portal.notices().await;
    assert_eq!(
        (&notices[0].rules[..], notices[0].failures),
        (&["failures_before".to_owned()][..], Some(3))
    );
    // Those are mentioned; a day later they do not count any more.
    let chrome = chrome.signed_in(&maria).await;
    fail(3).await;
    portal.advance(seconds(24 * 3600)).await;
    chrome.signed_in(&maria).await;
    assert_eq!(portal.notices().await.len(), 1);
}

#[tokio::test]
async fn session_in_question_cannot_see_or_answer_notice() {
    let (portal, maria, owner) = Portal::with_browser().await;
    let thief = portal.browser(FIREFOX).at("203.0.113.66").signed_in(&maria).await;
    let asked = questions(&owner).await;
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["session_id"], json!(thief.session()));
    assert_eq!(questions(&thief).await, Vec::<Value>::new());
    let notice = asked[0]["id"].as_str().expect("an id");

    dismiss(&thief, notice).await.assert_code(404, "not_found");
    let jonas = portal.broker("jonas").await;
    let jonas = portal.browser(CHROME).signed_in(&jonas).await;
    let answer = dismiss(&jonas, notice).await.expect(404).comparable();
    for nothing in ["00000000-0000-4000-8000-000000000000", "nonsense", ""] {
        assert_eq!(dismiss(&jonas, nothing).await.comparable(), answer, "{nothing}");
    }
    assert_eq!(questions(&owner).await.len(), 1);
    dismiss(&portal.browser(CHROME), notice).await.expect(401);

    dismiss(&owner, notice).await.expect(200);
    assert_eq!(questions(&owner).await.len(), 0);
    assert!(portal.notices().await[0].dismissed);
    dismiss(&owner, notice).await.expect(404);
    assert!(thief.is_live().await);
}

#[tokio::test]
async fn new_device_notice_closes_with_its_session() {
    let (portal, maria, owner) = Portal::with_browser().await;
    let other = portal.browser(FIREFOX).signed_in(&maria).await;
    assert_eq!(questions(&owner).await.len(), 1);
    let overview = owner.post("/api/show_overview").await.expect(200);
    assert!(overview.body.contains("security_notices"), "{}", overview.body);
    owner.revoke(other.session()).await;
    assert_eq!(questions(&owner).await.len(), 0);

    // A private window that was signed out, and one whose session expired.
    let private = portal.browser(SAFARI).signed_in(&maria).await;
    assert_eq!(questions(&owner).await.len(), 1);
    private.sign_out().await;
    assert_eq!(questions(&owner).await.len(), 0);
    portal.browser(SAFARI).signed_in(&maria).await;
    for _ in 0..24 {
        portal.advance(seconds(1800)).await;
        owner.get("/dashboard").await.expect(200);
    }
    assert_eq!(questions(&owner).await.len(), 0);
    let overview = owner.post("/api/show_overview").await.expect(200);
    assert!(!overview.body.contains("security_notices"), "{}", overview.body);
}

#[tokio::test]
async fn failed_password_notice_outlives_the_session() {
    let (portal, maria, owner) = Portal::with_browser().await;
    portal.advance(seconds(60)).await;
    let thief = portal.browser(SAFARI).at("203.0.113.66");
    for _ in 0..3 {
        thief.fail_to_sign_in(&maria.email).await;
    }
    portal.advance(seconds(60)).await;
    let thief = thief.signed_in(&maria).await;
    thief.sign_out().await;
    let asked = questions(&owner).await;
    assert_eq!((asked.len(), &asked[0]["is_live"]), (1, &json!(false)));
    dismiss(&owner, asked[0]["id"].as_str().expect("an id"))
        .await
        .expect(200);
    assert_eq!(questions(&owner).await.len(), 0);
}

#[tokio::test]
async fn session_in_question_confirms_with_the_password() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    portal.browser(CHROME).signed_in(&maria).await.sign_out().await;
    let (first, second) = (
        portal.browser(FIREFOX).signed_in(&maria).await,
        portal.browser(SAFARI).signed_in(&maria).await,
    );
    let asked = questions(&second).await;
    assert_eq!((asked.len(), &asked[0]["may_confirm"]), (1, &json!(false)));
    let notice = asked[0]["id"].as_str().expect("an id").to_owned();
    let answer = async |password: &str| {
        let call = second.post("/api/dismiss_security_notice");
        call.form(&[("notice_id", &*notice), ("password", password)])
            .await
    };
    // A recent sign-in does not answer who it was.
    dismiss(&second, &notice)
        .await
        .assert_code(403, "reauth_required");
    answer("").await.assert_code(403, "reauth_required");
    answer("not it").await.assert_code(401, "invalid_credentials");
    assert_eq!(questions(&second).await.len(), 1);

    let before = second.cookie();
    answer(&maria.password).await.expect(200);
    assert_ne!(second.cookie(), before, "the check was renewed");
    assert_eq!(questions(&second).await.len(), 0);
    let rows = portal.audit("suspicion_dismissed").await;
    assert_eq!((rows.len(), &rows[0].detail["by_password"]), (1, &json!(true)));

    // The other session is confirmed and needs no password.
    let asked = questions(&first).await;
    assert_eq!((asked.len(), &asked[0]["may_confirm"]), (1, &json!(true)));
    dismiss(&first, asked[0]["id"].as_str().expect("an id"))
        .await
        .expect(200);
    assert_eq!(questions(&first).await.len(), 0);
}

#[tokio::test]
async fn password_cannot_confirm_a_notice_about_itself() {
    let (portal, maria, owner) = Portal::with_browser().await;
    let thief = portal.browser(FIREFOX).signed_in(&maria).await;
    let asked = questions(&owner).await;
    let notice = asked[0]["id"].as_str().expect("an id");
    let form = [("notice_id", notice), ("password", &*maria.password)];
    thief.submit("dismiss_security_notice", &form).await.expect(404);
    let jonas = portal.broker("jonas").await;
    let jonas = portal.browser(CHROME).signed_in(&jonas).await;
    jonas.submit("dismiss_security_notice", &form).await.expect(404);
    assert_eq!(questions(&owner).await.len(), 1);
}

#[tokio::test]
async fn confirming_settles_earlier_sessions_of_that_browser() {
    let (portal, maria, owner) = Portal::with_browser().await;
    let laptop = portal.browser(FIREFOX).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    laptop.sign_out().await;
    mac.sign_out().await;
    let (laptop, mac) = (laptop.signed_in(&maria).await, mac.signed_in(&maria).await);
    assert_eq!(questions(&owner).await.len(), 2, "each is asked about again");
    portal.confirm_notices(&owner).await;
    let before = portal.notices().await.len();
    laptop.signed_in(&maria).await;
    mac.signed_in(&maria).await;
    assert_eq!(portal.notices().await.len(), before, "both are known");
}

#[tokio::test]
async fn without_javascript_the_password_page_confirms() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    portal.browser(CHROME).signed_in(&maria).await.sign_out().await;
    let laptop = portal.browser(FIREFOX).signed_in(&maria).await;
    let phone = portal.browser(SAFARI).without_script().signed_in(&maria).await;
    let page = phone.get_text("/dashboard/settings").await;
    assert!(page.contains("<details") && page.contains("1 question"), "{page}");
    let asked = portal.notices().await;
    let of_laptop = asked.iter().find(|notice| notice.session == laptop.session());
    let notice = of_laptop.expect("a notice").id.to_string();
    let call = phone.post("/api/dismiss_security_notice");
    let answer = call.form(&[("notice_id", &*notice)]).await.expect(302);
    assert_eq!(
        answer.location(),
        format!("/dashboard/confirm-password?for=dismiss_security_notice&notice_id={notice}")
    );
    let page = phone.follow(&answer).await.expect(200).body;
    assert!(
        page.contains("Yes, it was me") && page.contains(&notice),
        "{page}"
    );
    let form = [("notice_id", &*notice), ("password", &*maria.password)];
    let answer = phone.submit("dismiss_security_notice", &form).await.expect(302);
    let page = phone.follow(&answer).await.expect(200).body;
    assert!(!page.contains("Unusual activity"), "{page}");
    for nothing in ["", "&notice_id=nonsense"] {
        let path = format!("/dashboard/confirm-password?for=dismiss_security_notice{nothing}");
        let page = phone.get_text(&path).await;
        assert!(page.contains("There is nothing to confirm here"), "{page}");
    }
}

#[tokio::test]
async fn unconfirmed_sessions_cannot_vouch_for_others() {
    let (portal, maria, owner) = Portal::with_browser().await;
    let thief = portal.browser(FIREFOX).at("203.0.113.66").signed_in(&maria).await;
    let second = portal.browser(SAFARI).at("203.0.113.66").signed_in(&maria).await;
    // Two unconfirmed sessions do not confirm each other.
    for client in [&thief, &second] {
        let asked = questions(client).await;
        assert_eq!((asked.len(), &asked[0]["may_confirm"]), (1, &json!(false)));
        let id = asked[0]["id"].as_str().expect("an id").to_owned();
        let call = client.post("/api/dismiss_security_notice");
        call.form(&[("notice_id", &*id)]).await.expect(403);
    }
    assert_eq!(questions(&owner).await.len(), 2);

    // Signed out by the owner, and back with the same cookie from the same network: a notice again.
    owner.post("/api/sign_out_other_devices").await.expect(200);
    assert_eq!(questions(&owner).await.len(), 0);
    portal.advance(seconds(3600)).await;
    thief.signed_in(&maria).await;
    let asked = questions(&owner).await;
    assert_eq!((asked.len(), &asked[0]["rules"][0]), (1, &json!("new_device")));
    portal.confirm_notices(&owner).await;
    assert_eq!(portal.audit("suspicion_dismissed").await.len(), 1);

    // Without an answer, a device is known after a week.
    let phone = portal.browser(SAFARI).signed_in(&maria).await;
    portal.advance(seconds(7 * 86_400)).await;
    let before = portal.notices().await.len();
    phone.signed_in(&maria).await;
    assert_eq!(portal.notices().await.len(), before);
}

#[tokio::test]
async fn sign_in_after_long_absence_raises_a_notice() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    portal.browser(CHROME).signed_in(&maria).await.sign_out().await;
    portal.execute("DELETE FROM sessions").await;
    portal.browser(FIREFOX).at("203.0.113.66").signed_in(&maria).await;
    assert_eq!(portal.notices().await.len(), 1);
}
