//! Limits on password attempts and rates.

use tokio::task::JoinSet;

use crate::harness::*;

/// Five per account and a hundred per address within fifteen minutes, the defaults of the contract.
pub(crate) const DEFAULTS: [(&str, &str); 3] = [
    ("PORTAL_SIGN_IN_ATTEMPTS", "5"),
    ("PORTAL_SIGN_IN_ATTEMPTS_PER_ADDRESS", "100"),
    ("PORTAL_SIGN_IN_WINDOW_SECONDS", "900"),
];

/// Twelve per address, unlimited per account.
const PER_ADDRESS: [(&str, &str); 2] = [
    ("PORTAL_SIGN_IN_ATTEMPTS", "1000"),
    ("PORTAL_SIGN_IN_ATTEMPTS_PER_ADDRESS", "12"),
];

/// Sends a wrong password `times` times, each of which is verified.
pub(crate) async fn guess(client: &Client, email: &str, times: usize) {
    for _ in 0..times {
        client.fail_to_sign_in(email).await;
    }
}

/// Asserts that a sign-in is refused without verifying the password.
pub(crate) async fn assert_throttled(client: &Client, person: &TestUser, seconds_left: u64) {
    for password in ["not it", &*person.password] {
        let response = client.try_sign_in(&person.email, password).await.expect(429);
        assert_eq!(response.json()["code"], "too_many_attempts");
        assert_eq!(response.json()["retry_after_seconds"], seconds_left);
        assert_eq!(response.header("retry-after"), Some(&*seconds_left.to_string()));
    }
}

#[tokio::test]
async fn five_wrong_passwords_block_until_the_window_ends() {
    for desktop in [false, true] {
        let portal = Portal::with(&DEFAULTS).await;
        let maria = portal.broker("maria").await;
        let client = || {
            if desktop {
                portal.desktop("mac")
            } else {
                portal.browser(CHROME)
            }
        };
        guess(&client(), &maria.email, 1).await;
        portal.advance(seconds(300)).await;
        guess(&client(), &maria.email, 4).await;
        assert_throttled(&client(), &maria, 601).await;
        portal.advance(seconds(599)).await;
        assert_throttled(&client(), &maria, 2).await;
        assert_eq!(portal.audit("sign_in_failed").await.len(), 5);
        assert_eq!(portal.rows("sessions").await, 0);

        portal.advance(seconds(1)).await;
        client().signed_in(&maria).await;
    }
}

#[tokio::test]
async fn sign_in_works_after_retry_after() {
    let portal = Portal::with(&DEFAULTS).await;
    let maria = portal.broker("maria").await;
    guess(&portal.browser(CHROME), &maria.email, 5).await;
    portal.advance(seconds(123)).await;
    let response = portal.browser(CHROME).try_sign_in(&maria.email, "not it").await;
    let wait = response.header("retry-after").and_then(|wait| wait.parse().ok());
    portal.advance(seconds(wait.expect("a figure"))).await;
    portal.browser(CHROME).signed_in(&maria).await;
}

#[tokio::test]
async fn correct_passwords_never_count() {
    let portal = Portal::with(&[
        ("PORTAL_SIGN_IN_ATTEMPTS", "5"),
        ("PORTAL_SIGN_IN_ATTEMPTS_PER_ADDRESS", "5"),
    ])
    .await;
    let maria = portal.broker("maria").await;
    for round in 0..12 {
        portal.browser(CHROME).signed_in(&maria).await;
        portal
            .desktop(&format!("desktop-{round}"))
            .signed_in(&maria)
            .await;
    }
    // They do not reset wrong ones either.
    guess(&portal.browser(CHROME), &maria.email, 4).await;
    portal.browser(CHROME).signed_in(&maria).await;
    guess(&portal.browser(CHROME), &maria.email, 1).await;
    assert_throttled(&portal.browser(CHROME), &maria, 901).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_of_hundred_parallel_wrong_passwords_are_verified() {
    let portal = Portal::with(&DEFAULTS).await;
    let node = portal.second_node().await;
    let maria = portal.broker("maria").await;
    let mut under_way = JoinSet::new();
    for round in 0..100 {
        let client = match round % 4 {
            0 => portal.browser(CHROME),
            1 => portal.desktop("mac"),
            2 => portal.browser(FIREFOX).at(&format!("203.0.113.{round}")),
            _ => portal.browser(CHROME).via(&node.router),
        };
        let email = maria.email.clone();
        under_way.spawn(async move { client.try_sign_in(&email, "not it").await.status });
    }
    let statuses = under_way.join_all().await;
    let looked_at = statuses.iter().filter(|status| **status == 401).count();
    assert_eq!(looked_at, 5, "{statuses:?}");
    assert!(
        statuses.iter().all(|status| [401, 429].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(portal.audit("sign_in_failed").await.len(), 5);
    assert_eq!(portal.audit("sign_in_throttled").await.len(), 1);
}

#[tokio::test]
async fn address_limit_counts_over_all_accounts() {
    let portal = Portal::with(&PER_ADDRESS).await;
    let people = [portal.broker("maria").await, portal.broker("jonas").await];
    let thief = portal.browser(CHROME).at("203.0.113.9");
    for round in 0..12 {
        let email = match round % 3 {
            2 => format!("nobody-{round}@broker.example"),
            known => people[known].email.clone(),
        };
        guess(&thief, &email, 1).await;
    }
    for person in &people {
        assert_throttled(&thief, person, 901).await;
        portal.browser(CHROME).at("203.0.113.10").signed_in(person).await;
    }
    let throttled = portal.audit("sign_in_throttled").await;
    assert_eq!(throttled.len(), 1);
    assert_eq!(
        (throttled[0].reason.as_deref(), throttled[0].ip_address.as_deref()),
        (Some("address"), Some("203.0.113.9"))
    );
}

#[tokio::test]
async fn ipv6_site_counts_as_one_address() {
    let portal = Portal::with(&PER_ADDRESS).await;
    let maria = portal.broker("maria").await;
    for host in 0..12 {
        let thief = portal.browser(CHROME).at(&format!("2001:db8:1:2:{host}::{host}"));
        guess(&thief, &maria.email, 1).await;
    }
    assert_throttled(&portal.browser(CHROME).at("2001:db8:1:2:ffff::"), &maria, 901).await;
    portal
        .browser(CHROME)
        .at("2001:db8:1:3::1")
        .signed_in(&maria)
        .await;
}

#[tokio::test]
async fn forged_x_forwarded_for_changes_no_count() {
    for settings in [&[][..], &[("PORTAL_TRUSTED_PROXIES", "10.0.0.0/8")]] {
        let portal = Portal::with(&[&PER_ADDRESS[..], settings].concat()).await;
        let maria = portal.broker("maria").await;
        let thief = portal.browser(CHROME).at("203.0.113.9");
        for round in 0..14 {
            let fields = [("email", &*maria.email), ("password", "not it")];
            let forged = format!("10.0.0.{round}, 198.51.100.{round}");
            let response = thief
                .post("/api/sign_in")
                .header("x-forwarded-for", &forged)
                .form(&fields)
                .await;
            assert_eq!(response.status, if round < 12 { 401 } else { 429 });
        }
    }
    // Behind a trusted proxy, the address that the proxy saw counts.
    let portal =
        Portal::with(&[&PER_ADDRESS[..], &[("PORTAL_TRUSTED_PROXIES", "10.0.0.0/8")]].concat()).await;
    let maria = portal.broker("maria").await;
    for round in 0..26 {
        let fields = [("email", &*maria.email), ("password", "not it")];
        let seen = format!("6.6.6.6, 198.51.100.{}", round % 2);
        let response = portal
            .browser(CHROME)
            .at("10.0.0.1")
            .post("/api/sign_in")
            .header("x-forwarded-for", &seen)
            .form(&fields)
            .await;
        assert_eq!(response.status, if round < 24 { 401 } else { 429 });
    }
}

#[tokio::test]
async fn strangers_cannot_lock_out_known_devices() {
    let portal = Portal::with(&DEFAULTS).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    chrome.sign_out().await;
    mac.revoke_scope("current").await;
    let stranger = portal.browser(FIREFOX).at("203.0.113.9");
    guess(&stranger, &maria.email, 5).await;
    assert_throttled(&stranger, &maria, 901).await;
    assert_throttled(&portal.desktop("another"), &maria, 901).await;

    let (chrome, mac) = (chrome.signed_in(&maria).await, mac.signed_in(&maria).await);
    // Wrong passwords of known devices are counted per device.
    for known in [&chrome, &mac] {
        guess(known, &maria.email, 5).await;
        assert_throttled(known, &maria, 901).await;
        assert!(known.is_live().await);
    }
    let by: Vec<_> = portal.audit("sign_in_throttled").await;
    let by: Vec<_> = by
        .iter()
        .map(|row| row.reason.as_deref().unwrap_or_default())
        .collect();
    assert_eq!(by, ["account", "device", "device"]);
}

#[tokio::test]
async fn known_device_is_known_to_one_account() {
    let portal = Portal::with(&DEFAULTS).await;
    let (maria, eve) = (portal.broker("maria").await, portal.broker("eve").await);
    let chrome = portal.browser(CHROME).signed_in(&eve).await;
    guess(&chrome, &maria.email, 3).await;
    guess(&portal.browser(FIREFOX), &maria.email, 2).await;
    assert_throttled(&chrome, &maria, 901).await;
    assert_throttled(&portal.browser(FIREFOX), &maria, 901).await;
    chrome.signed_in(&eve).await;
}

#[tokio::test]
async fn known_and_unknown_accounts_are_throttled_equally() {
    let portal = Portal::with(&DEFAULTS).await;
    let maria = portal.broker("maria").await;
    let gone = portal.broker("gone").await;
    portal.accounts().disable(&gone.email).await.expect("disabled");
    for script in [true, false] {
        let mut seen = Vec::new();
        for email in [&*maria.email, &gone.email, "nobody@broker.example", "no address"] {
            let mut responses = Vec::new();
            for _ in 0..7 {
                let browser = portal.browser(CHROME);
                let browser = if script { browser } else { browser.without_script() };
                responses.push(browser.try_sign_in(email, "not it").await.comparable());
            }
            seen.push(responses);
        }
        assert!(seen.iter().all(|responses| *responses == seen[0]), "{seen:#?}");
        portal.advance(seconds(900)).await;
    }
    let mut seen = Vec::new();
    for email in [&*maria.email, &gone.email, "nobody@broker.example"] {
        let mut responses = Vec::new();
        for _ in 0..7 {
            responses.push(
                portal
                    .desktop("mac")
                    .try_sign_in(email, "not it")
                    .await
                    .comparable(),
            );
        }
        assert_eq!((responses[4].0, responses[5].0), (401, 429));
        seen.push(responses);
    }
    assert!(seen.iter().all(|responses| *responses == seen[0]), "{seen:#?}");
}

#[tokio::test]
async fn email_spellings_share_one_count() {
    let portal = Portal::with(&DEFAULTS).await;
    let miriam = portal.user("miriam.keller").create().await;
    let written = [
        "miriam.keller@broker.example",
        "MIRIAM.Keller@Broker.EXAMPLE",
        "  miriam.keller@broker.example\t",
        // Letters that some lower-case mappings turn into i and k.
        "m\u{130}riam.keller@broker.example",
        "miriam.\u{212a}eller@broker.example",
    ];
    let mut looked_at = 0;
    for email in written.iter().cycle().take(50) {
        let before = portal.audit("sign_in_failed").await.len();
        portal.browser(CHROME).try_sign_in(email, "not it").await;
        let failed = portal.audit("sign_in_failed").await;
        looked_at += failed[before..]
            .iter()
            .filter(|row| row.user == Some(miriam.id))
            .count();
    }
    assert!((1..=5).contains(&looked_at), "{looked_at}");
    assert_throttled(&portal.browser(CHROME), &miriam, 901).await;
}

#[tokio::test]
async fn throttled_account_keeps_its_live_sessions() {
    let portal = Portal::with(&DEFAULTS).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let stranger = portal.browser(FIREFOX).at("203.0.113.9");
    guess(&stranger, &maria.email, 5).await;
    assert_throttled(&stranger, &maria, 901).await;

    chrome.get("/dashboard").await.expect(200);
    mac.refresh().await.expect(200);
    mac.get("/api/v1/sessions").await.expect(200);
    chrome.post("/api/extend_session").await.expect(200);
    chrome.revoke_scope("others").await;
    assert!(chrome.is_live().await);
}

#[tokio::test]
async fn all_nodes_share_the_counts() {
    let portal = Portal::with(&DEFAULTS).await;
    let node = portal.second_node().await;
    let maria = portal.broker("maria").await;
    guess(&portal.browser(CHROME), &maria.email, 3).await;
    guess(&portal.browser(CHROME).via(&node.router), &maria.email, 2).await;
    assert_throttled(&portal.browser(CHROME), &maria, 901).await;
    assert_throttled(&portal.browser(CHROME).via(&node.router), &maria, 901).await;
}

#[tokio::test]
async fn only_each_windows_first_refusal_is_recorded() {
    let portal = Portal::with(&DEFAULTS).await;
    let maria = portal.broker("maria").await;
    for window in 1..=2 {
        guess(&portal.browser(CHROME), &maria.email, 5).await;
        for _ in 0..3 {
            assert_throttled(&portal.browser(CHROME), &maria, 901).await;
        }
        let rows = portal.audit("sign_in_throttled").await;
        assert_eq!(rows.len(), window);
        let row = &rows[window - 1];
        assert_eq!(
            (
                row.user,
                row.actor,
                row.reason.as_deref(),
                row.ip_address.as_deref()
            ),
            (Some(maria.id), None, Some("account"), Some("198.51.100.7"))
        );
        portal.advance(seconds(900)).await;
    }
}

#[tokio::test]
async fn cleanup_allows_no_extra_attempts() {
    let portal = Portal::with(&DEFAULTS).await;
    let maria = portal.broker("maria").await;
    guess(&portal.browser(CHROME), &maria.email, 5).await;
    portal.advance(seconds(899)).await;
    assert_eq!(portal.clean_up().await.attempts_deleted, 0);
    assert_throttled(&portal.browser(CHROME), &maria, 2).await;
    portal.advance(seconds(1)).await;
    // The counts of account and address.
    assert_eq!(portal.clean_up().await.attempts_deleted, 2);
    guess(&portal.browser(CHROME), &maria.email, 5).await;
    assert_throttled(&portal.browser(CHROME), &maria, 901).await;
}

#[tokio::test]
async fn overlong_passwords_count_as_attempts() {
    let portal = Portal::with(&DEFAULTS).await;
    let maria = portal.broker("maria").await;
    let endless = "x".repeat(2000);
    for _ in 0..5 {
        portal.assert_sign_in(&maria.email, &endless, 401).await;
    }
    assert_throttled(&portal.browser(CHROME), &maria, 901).await;
}

#[tokio::test]
async fn known_device_id_cannot_lock_out_a_desktop() {
    let portal = Portal::with(&[("PORTAL_SIGN_IN_ATTEMPTS", "5")]).await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").at("203.0.113.7").signed_in(&maria).await;
    let stranger = portal.desktop("mac").at("192.0.2.66");
    for _ in 0..5 {
        stranger.fail_to_sign_in(&maria.email).await;
    }
    stranger.try_sign_in(&maria.email, "wrong").await.expect(429);
    // Other addresses of the same network give no additional attempts.
    portal
        .desktop("pc")
        .at("192.0.2.67")
        .try_sign_in(&maria.email, "wrong")
        .await
        .expect(429);
    mac.signed_in(&maria).await;
}

#[tokio::test]
async fn shared_browser_gives_no_extra_attempts() {
    let portal = Portal::with(&[("PORTAL_SIGN_IN_ATTEMPTS", "5")]).await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    let shared = portal.browser(CHROME).signed_in(&maria).await;
    for _ in 0..3 {
        shared.clone().signed_in(&jonas).await;
        for _ in 0..5 {
            shared.try_sign_in(&maria.email, "a guess").await;
        }
    }
    assert_eq!(portal.audit("sign_in_failed").await.len(), 5);
}

#[tokio::test]
async fn operator_password_ends_the_throttling() {
    let portal = Portal::with(&[("PORTAL_SIGN_IN_ATTEMPTS", "5")]).await;
    let maria = portal.broker("maria").await;
    for _ in 0..5 {
        portal.browser(CHROME).fail_to_sign_in(&maria.email).await;
    }
    portal.browser(CHROME).sign_in(&maria).await.expect(429);
    let password = "a password from the operator";
    portal
        .accounts()
        .set_password(&maria.email, password.to_owned())
        .await
        .expect("set");
    portal.assert_sign_in(&maria.email, password, 200).await;
}

#[tokio::test]
async fn sign_ins_wait_for_attempts_in_progress() {
    let portal = Portal::with(&DEFAULTS).await;
    let maria = portal.broker("maria").await;
    guess(&portal.browser(CHROME), &maria.email, 3).await;
    // Another server checks two passwords.
    let mut other = portal.sql.begin().await.expect("a transaction");
    sqlx::query("UPDATE password_attempts SET taken = 5 WHERE taken = 3")
        .execute(&mut *other)
        .await
        .expect("taken");
    let waiting = tokio::spawn(portal.browser(FIREFOX).spawn_sign_in(&maria));
    portal.until_waiting(1).await;
    other.commit().await.expect("committed");
    // The sign-in found all five taken. Then the passwords of the other server are correct.
    portal
        .execute("UPDATE password_attempts SET taken = 3 WHERE taken = 5")
        .await;
    waiting.await.expect("the request task").expect(200);
}

#[tokio::test]
async fn refused_address_leaves_no_rows() {
    let portal = Portal::with(&PER_ADDRESS).await;
    let thief = portal.browser(CHROME).at("203.0.113.9");
    for round in 0..12 {
        guess(&thief, &format!("nobody-{round}@broker.example"), 1).await;
    }
    let before = portal.rows("password_attempts").await;
    for round in 0..20 {
        let email = format!("nobody-else-{round}@broker.example");
        thief.try_sign_in(&email, "not it").await.expect(429);
    }
    assert_eq!(portal.rows("password_attempts").await, before);
    assert_eq!(portal.audit("sign_in_throttled").await.len(), 1);
}
