//! The database and the log contain no usable secret.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};

use crate::harness::*;

/// Returns a token in every notation in which it could be stored.
fn spellings(token: &str) -> Vec<String> {
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).expect("a token of ours");
    vec![
        token.to_owned(),
        BASE64.encode(&bytes),
        HEXLOWER.encode(&bytes),
        format!("{bytes:?}"),
        // The id of tower-sessions is a number.
        i128::from_le_bytes(bytes.try_into().expect("16 bytes")).to_string(),
    ]
}

/// Performs everything that leaves traces, and returns every secret that was used.
async fn live(portal: &Portal) -> Vec<String> {
    let maria = portal
        .user("maria")
        .password("a secret of maria's own")
        .create()
        .await;
    let mut secrets = vec![
        maria.password.clone(),
        "a wrong guess of hers".to_owned(),
        "her next password".to_owned(),
    ];
    let fields = [
        ("email", "a password typed as email"),
        ("password", "a wrong guess of hers"),
    ];
    portal
        .browser(CHROME)
        .submit("sign_in", &fields)
        .await
        .expect(401);
    secrets.push("a password typed as email".to_owned());
    portal
        .assert_sign_in(&maria.email, "a wrong guess of hers", 401)
        .await;

    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let firefox = portal.browser(FIREFOX).without_script().signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    for client in [&chrome, &firefox] {
        secrets.extend(spellings(&client.cookie().expect("a cookie")));
    }
    secrets.extend(spellings(&mac.access_token()));
    secrets.extend(spellings(&mac.refresh_token()));

    for client in [&chrome, &firefox, &mac] {
        client.get("/dashboard/settings").await;
        client.get("/api/v1/sessions").await.expect(200);
    }
    for client in [&chrome, &firefox] {
        secrets.extend(spellings(&client.known_browser().expect("a mark")));
    }
    // Tokens of a repeated exchange, whose salt is still stored.
    let refresh = json!({ "refresh_token": mac.refresh_token() });
    for _ in 0..2 {
        let response = mac
            .post("/api/v1/sessions/refresh")
            .json(&refresh)
            .await
            .expect(200);
        for field in ["access_token", "refresh_token"] {
            let token = response.json()[field].as_str().expect("a token").to_owned();
            secrets.extend(spellings(&token));
            if field == "access_token" {
                mac.set_access_token(&token);
            }
        }
    }
    for client in [&chrome, &mac] {
        let call = client.post("/api/v1/session/reauthenticate");
        call.json(&json!({ "password": "a wrong guess of hers" }))
            .await
            .expect(401);
        let call = client.post("/api/v1/session/reauthenticate");
        let response = call
            .json(&json!({ "password": maria.password }))
            .await
            .expect(200);
        if let Some(token) = response.json()["access_token"].as_str() {
            secrets.extend(spellings(token));
            mac.set_access_token(token);
        }
    }
    secrets.extend(spellings(&chrome.cookie().expect("a new cookie")));
    // A careless client.
    let careless = format!("/api/v1/sessions?access_token={}", mac.access_token());
    portal.anonymous().get(&careless).await.expect(401);
    mac.post("/api/v1/devices/heartbeat").await.expect(204);
    portal.write_activity().await;
    chrome.revoke(mac.session()).await;
    mac.get("/api/v1/sessions").await.expect(401);
    let chrome = chrome.signed_in(&maria).await;
    secrets.extend(spellings(&chrome.cookie().expect("a cookie")));
    let fields = [
        ("current_password", &*maria.password),
        ("new_password", "one that she chose herself"),
        ("other_sessions", "keep"),
    ];
    chrome.submit("change_password", &fields).await.expect(200);
    secrets.push("one that she chose herself".to_owned());
    secrets.extend(spellings(&chrome.cookie().expect("a new cookie")));
    firefox.post("/api/sign_out_all_devices").await.expect(302);
    portal
        .accounts()
        .set_password(&maria.email, "her next password".to_owned())
        .await
        .expect("changed");
    secrets
}

#[tokio::test]
async fn database_holds_no_usable_secret() {
    let portal = Portal::start().await;
    let secrets = live(&portal).await;
    let dump = portal.dump().await;
    assert!(
        dump.contains("maria@broker.example") && dump.contains("$argon2id$"),
        "the dump is a dump"
    );
    for secret in secrets {
        assert!(!dump.contains(&secret), "the database holds {secret}");
    }
}

#[tokio::test]
async fn log_holds_no_secret_at_any_level() {
    let log = CapturedLog::default();
    let portal = Portal::start().await;
    // The whole test runs on this thread.
    let guard = log.capture();
    let secrets = live(&portal).await;
    drop(guard);
    let text = log.text();
    assert!(
        text.contains("signed in") && text.contains("sessions ended"),
        "the log is a log: {text}"
    );
    for secret in secrets {
        let line = text.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "the log holds {secret}");
    }
}
