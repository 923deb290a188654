//! Text from users: accepted, cleaned or rejected on every route.

use domain::query::encode_query_value;
use std::{io::Write as _, process::Stdio};

use broker_portal::server::services::accounts::NewAccount;

use crate::harness::*;

/// Characters that must not be in any text, with the message that names them.
const TRICKS: [(&str, &str); 5] = [
    ("a\nb", "a line break (U+000A)"),
    ("a\u{1b}[31mb", "a control character (U+001B)"),
    ("a\u{202e}b", "changes the direction of text (U+202E)"),
    ("a\u{200b}b", "an invisible character (U+200B)"),
    ("a\u{e0041}b", "an invisible character (U+E0041)"),
];

#[tokio::test]
async fn persian_names_and_emoji_devices_are_kept() {
    let portal = Portal::start().await;
    let name = "علی‌رضا محمدی";
    let mut command = portal.command(&[
        "user",
        "create",
        "--email",
        "ali@broker.example",
        "--name",
        name,
        "--role",
        "broker",
        "--organization",
        "شرکت می‌خواهم",
        "--password-stdin",
    ]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("started");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(b"a few words in a row\n").expect("written");
        drop(input);
        child.wait_with_output().expect("ended")
    });
    let (succeeded, out, err) = read_output(&output.await.expect("ran"));
    assert!(succeeded, "{out}{err}");

    let mac = portal.desktop("mac").device("device_name", "My 👩‍💻 PC");
    let response = mac
        .try_sign_in("ali@broker.example", "a few words in a row")
        .await;
    assert_eq!(response.expect(201).json()["user"]["display_name"], name);
    let sessions = mac.get_json("/api/v1/sessions").await;
    assert_eq!(sessions["sessions"][0]["device_name"], "My 👩‍💻 PC");
}

#[tokio::test]
async fn device_names_are_cleaned_instead_of_refused() {
    let portal = Portal::with(&[("PORTAL_MAX_SESSIONS_BROKER", "50")]).await;
    let maria = portal.broker("maria").await;
    for (text, _) in TRICKS {
        let mut desktop = portal.desktop("mac");
        for field in ["device_name", "os", "platform", "app_version"] {
            desktop = desktop.device(field, text);
        }
        desktop.sign_in(&maria).await.expect(201);
        let list = desktop.get_json("/api/v1/sessions").await;
        for field in ["device_name", "os", "platform"] {
            let kept = list["sessions"][0][field].as_str().expect("text");
            assert!(["ab", "a b", "a [31mb"].contains(&kept), "{text:?}: {kept:?}");
        }
    }
    for (field, text) in [
        ("device_id", "a\u{200b}b"),
        ("device_name", "\u{200b}\u{202e}"),
        ("device_name", " "),
    ] {
        let desktop = portal.desktop("mac").device(field, text);
        let response = desktop.sign_in(&maria).await.expect(422);
        assert_eq!(response.json()["field"], format!("device.{field}"));
    }
}

#[tokio::test]
async fn hidden_characters_are_refused_by_name_everywhere() {
    let portal = Portal::start().await;
    let root = portal.system_admin("root").await;
    let chrome = portal.browser(CHROME).signed_in(&root).await;
    let fitting = NewAccount {
        email: "new@b.example".to_owned(),
        display_name: "Somebody".to_owned(),
        role: Role::Broker,
        organizations: vec!["Northgate".to_owned()],
        password: "long enough".to_owned(),
    };
    for (text, says) in TRICKS {
        for (field, wrong) in [
            (
                "the email",
                NewAccount {
                    email: format!("{text}@b.example"),
                    ..fitting.clone()
                },
            ),
            (
                "the name",
                NewAccount {
                    display_name: text.to_owned(),
                    ..fitting.clone()
                },
            ),
            (
                "the organization's name",
                NewAccount {
                    organizations: vec![text.to_owned()],
                    ..fitting.clone()
                },
            ),
        ] {
            let problem = portal
                .accounts()
                .register(wrong)
                .await
                .expect_err(field)
                .to_string();
            assert!(problem.starts_with(field) && problem.contains(says), "{problem}");
        }

        let body = json!({ "filter": { "kind": "desktop" }, "reason": text });
        let refused = chrome
            .post("/api/v1/admin/sessions/revoke")
            .json(&body)
            .await
            .expect(422);
        let problem = refused.json();
        assert_eq!(problem["field"], "reason");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(says)),
            "{problem}"
        );

        for (path, field) in [
            ("/api/v1/admin/sessions", "q"),
            ("/api/v1/admin/sessions.csv", "q"),
            ("/api/v1/admin/audit", "person"),
            ("/api/v1/admin/audit", "actor"),
        ] {
            let path = format!("{path}?{field}={}", encode_query_value(text));
            let problem = chrome.get(&path).await.expect(422).json();
            assert_eq!(problem["field"], field, "{path}");
            assert!(
                problem["detail"]
                    .as_str()
                    .is_some_and(|detail| detail.contains(says)),
                "{problem}"
            );
        }

        let reason = format!("--reason={text}");
        let revoke = portal
            .run(&["sessions", "revoke", "--user", &root.email, &reason])
            .await;
        assert!(!revoke.0 && revoke.2.contains(says), "{revoke:?}");
    }
    assert!(chrome.is_live().await, "nothing was ended");
    assert_eq!(portal.rows("users").await, 1);
}

#[tokio::test]
async fn emails_in_either_unicode_form_are_one_account() {
    let portal = Portal::with(&[("PORTAL_SIGN_IN_ATTEMPTS", "2")]).await;
    let (composed, decomposed) = ("jos\u{e9}@broker.example", "jose\u{301}@broker.example");
    let jose = portal.user("jose\u{301}").create().await;
    assert_eq!(jose.email, decomposed);
    for email in [composed, decomposed] {
        let browser = portal.browser(CHROME);
        browser.try_sign_in(email, &jose.password).await.expect(200);
    }
    // Another spelling gives no additional attempts.
    for (email, status) in [
        (composed, 401),
        (decomposed, 401),
        (composed, 429),
        (decomposed, 429),
    ] {
        let stranger = portal.browser(FIREFOX).at("192.0.2.9");
        stranger
            .try_sign_in(email, "not the password")
            .await
            .expect(status);
    }
}
