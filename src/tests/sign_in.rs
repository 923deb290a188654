//! Sign-in on browsers and desktops.

use crate::harness::*;

#[tokio::test]
async fn correct_password_signs_in() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME);

    let response = chrome.sign_in(&maria).await.expect(200);
    assert_eq!(response.json(), "/dashboard");
    let page = chrome.get("/dashboard").await.expect(200);
    assert!(page.body.contains("Hello, <bdi>maria"), "{}", page.body);
    portal.browser(FIREFOX).get("/dashboard").await.expect(303);
}

#[tokio::test]
async fn without_javascript_the_form_redirects() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).without_script();

    let next = "/dashboard/settings?from=a_link";
    let fields = [
        ("email", &*maria.email),
        ("password", &*maria.password),
        ("next", next),
    ];
    let response = chrome.submit("sign_in", &fields).await;
    assert!(response.status == 302 || response.status == 303, "{response:#?}");
    assert_eq!(response.location(), next);
    chrome.follow(&response).await.expect(200);
}

#[tokio::test]
async fn without_javascript_a_wrong_password_is_explained() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).without_script();

    let fields = [("email", &*maria.email), ("password", "not it")];
    let origin = portal.state.config.public_url.origin();
    let login = format!("{origin}/login?next=%2Fdashboard%2Fsettings");
    let response = chrome
        .post("/api/sign_in")
        .header("referer", &login)
        .form(&fields)
        .await
        .expect(302);
    let back = response.location();
    assert!(back.starts_with("/login?next=%2Fdashboard%2Fsettings&"), "{back}");
    let page = chrome.get(back).await.expect(200);
    assert!(
        page.body.contains("The email or password is wrong."),
        "{}",
        page.body
    );
    assert!(
        page.body.contains(r#"name="next" value="/dashboard/settings""#),
        "{}",
        page.body
    );
    assert_eq!(chrome.cookie(), None);
}

#[tokio::test]
async fn failed_sign_ins_are_indistinguishable() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let gone = portal.broker("gone").await;
    portal.accounts().disable(&gone.email).await.expect("disabled");

    for script in [true, false] {
        let attempt = async |email: &str, password: &str| {
            let browser = portal.browser(CHROME);
            let browser = if script { browser } else { browser.without_script() };
            browser.try_sign_in(email, password).await.comparable()
        };
        let wrong = attempt(&maria.email, "not it").await;
        assert_eq!(wrong.0, if script { 401 } else { 302 });
        assert_eq!(attempt("nobody@broker.example", "not it").await, wrong);
        assert_eq!(attempt("no address", "not it").await, wrong);
        assert_eq!(attempt(&gone.email, &gone.password).await, wrong);
        assert_eq!(attempt(&gone.email, "not it").await, wrong);
    }

    let attempt = async |email: &str, password: &str| {
        portal
            .desktop("mac")
            .try_sign_in(email, password)
            .await
            .comparable()
    };
    let wrong = attempt(&maria.email, "not it").await;
    assert_eq!(wrong.0, 401);
    assert!(wrong.2.contains(r#""code":"invalid_credentials""#), "{wrong:?}");
    assert_eq!(attempt("nobody@broker.example", "not it").await, wrong);
    assert_eq!(attempt(&gone.email, &gone.password).await, wrong);
}

#[tokio::test]
async fn refused_sign_in_leaves_only_its_audit_row() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;

    portal.browser(CHROME).fail_to_sign_in(&maria.email).await;
    portal.desktop("mac").fail_to_sign_in(&maria.email).await;
    for table in ["sessions", "devices", "refresh_tokens", "session_events"] {
        assert_eq!(portal.rows(table).await, 0, "{table}");
    }
    assert_eq!(portal.audit("sign_in_failed").await.len(), 2);
}

#[tokio::test]
async fn failed_sign_in_keeps_the_current_session() {
    let (_, maria, chrome) = Portal::with_browser().await;

    let response = chrome
        .submit("sign_in", &[("email", &maria.email), ("password", "not it")])
        .await;
    assert_eq!(response.expect(401).all("set-cookie"), Vec::<&str>::new());
    chrome.get("/dashboard").await.expect(200);
}

#[tokio::test]
async fn next_redirects_within_the_portal_only() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let elsewhere = [
        "//evil.example",
        "/\\evil.example",
        "/%09/evil.example\t",
        "https:evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: x=1",
        "\\\\evil.example",
        "evil",
        "",
        "/login",
        "/api/sign_out",
        "/\u{e9}",
    ];
    let here = ["/dashboard/settings", "/dashboard?a=b&c=%2F%2Fe", "/"];
    let cases = here
        .map(|path| (path, path))
        .into_iter()
        .chain(elsewhere.map(|path| (path, "/dashboard")));
    for (next, lead_to) in cases {
        let fields = [
            ("email", &*maria.email),
            ("password", &*maria.password),
            ("next", next),
        ];
        // Later than the previous ones, so that the session limit ends those first.
        portal.advance(seconds(1)).await;
        let chrome = portal.browser(CHROME);
        let response = chrome.submit("sign_in", &fields).await.expect(200);
        assert_eq!(response.json(), lead_to, "with script: {next:?}");
        let response = portal
            .browser(CHROME)
            .without_script()
            .submit("sign_in", &fields)
            .await;
        assert_eq!(response.location(), lead_to, "without script: {next:?}");

        // Signed in already: the sign-in page redirects at once.
        let query = domain::query::encode_query_value(next);
        let response = chrome.get(&format!("/login?next={query}")).await.expect(303);
        assert_eq!(response.location(), lead_to, "signed in already: {next:?}");
    }
}

#[tokio::test]
async fn sign_in_page_redirects_signed_in_users() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME);
    chrome.get("/login").await.expect(200);

    let chrome = chrome.signed_in(&maria).await;
    assert_eq!(chrome.get("/login").await.expect(303).location(), "/dashboard");
    let crlf = chrome
        .get("/login?next=/a%0D%0ASet-Cookie:%20x=1")
        .await
        .expect(303);
    assert_eq!((crlf.location(), crlf.header("set-cookie")), ("/dashboard", None));
}

#[tokio::test]
async fn email_ignores_case_and_surrounding_spaces() {
    let portal = Portal::start().await;
    let maria = portal.user("Maria").create().await;
    for email in ["MARIA@BROKER.EXAMPLE", " maria@broker.example\n"] {
        portal.assert_sign_in(email, &maria.password, 200).await;
    }
}

#[tokio::test]
async fn invalid_email_is_refused_like_an_unknown_one() {
    let portal = Portal::start().await;
    let endless = format!("{}@x", "a".repeat(20_000));
    for email in [
        "",
        "@",
        "a\0@b",
        "a\r\n@b",
        "' OR 1=1 --@x",
        "\u{202e}@x",
        &endless,
    ] {
        portal.browser(CHROME).fail_to_sign_in(email).await;
    }
}

#[tokio::test]
async fn every_byte_of_a_long_password_counts() {
    let portal = Portal::start().await;
    for (name, length) in [("at-64", 64), ("at-80", 80), ("at-1024", 1024)] {
        // A single repeated letter would be rejected as too common.
        let password: String = "correct horse battery staple "
            .chars()
            .cycle()
            .take(length)
            .collect();
        let person = portal.user(name).password(&password).create().await;
        portal.assert_sign_in(&person.email, &password, 200).await;
        let other_end = format!("{}#", &password[..length - 1]);
        portal.assert_sign_in(&person.email, &other_end, 401).await;
    }
    let words =
        "correct horse battery staple: пароль, 密码, 🔑 — and so on, for as long as one likes to type";
    let person = portal.user("words").password(words).create().await;
    portal
        .desktop("mac")
        .try_sign_in(&person.email, words)
        .await
        .expect(201);
}

#[tokio::test]
async fn endless_password_is_refused_without_hashing() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    // The password must be read completely before it is hashed, which is impossible here.
    portal
        .execute("UPDATE users SET password_hash = 'not a hash'")
        .await;
    portal.assert_sign_in(&maria.email, "short", 500).await;

    for length in [1025, 8 * 1024, 1 << 20] {
        let password = "p".repeat(length);
        let response = portal.browser(CHROME).try_sign_in(&maria.email, &password).await;
        assert!((400..500).contains(&response.status), "{length}: {response:#?}");
        let response = portal.desktop("mac").try_sign_in(&maria.email, &password).await;
        assert!((400..500).contains(&response.status), "{length}: {response:#?}");
    }
}

#[tokio::test]
async fn missing_field_is_a_client_error() {
    let portal = Portal::start().await;
    let browser = portal.browser(CHROME);
    let response = browser
        .submit("sign_in", &[("email", "maria@broker.example")])
        .await;
    assert_eq!(response.json()["code"], "invalid_input");
    response.expect(422);
}

#[tokio::test]
async fn signing_in_again_ends_the_previous_session() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let other = portal.browser(FIREFOX).signed_in(&maria).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let (before, old) = (chrome.duplicate(), chrome.session());

    let chrome = chrome.signed_in(&maria).await;
    assert_ne!(chrome.session(), old);
    assert_ne!(chrome.cookie(), before.cookie());
    assert_eq!(portal.end_reason(old).await.as_deref(), Some("signed_out"));
    assert_eq!(
        before.get("/api/v1/session_state").await.end_reason(),
        "signed_out"
    );
    chrome.get("/dashboard").await.expect(200);
    other.get("/dashboard").await.expect(200);

    let row = &portal.ends_of(old).await[..];
    assert_eq!(row.len(), 1);
    let by = (Some(maria.id), Some(chrome.session()));
    assert_eq!((row[0].actor, row[0].actor_session), by);
}

#[tokio::test]
async fn another_user_replaces_only_this_browsers_session() {
    let portal = Portal::start().await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    let marias_firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    let shared = portal.browser(CHROME).signed_in(&maria).await;
    let old = shared.session();

    let shared = shared.signed_in(&jonas).await;
    assert_eq!(portal.end_reason(old).await.as_deref(), Some("signed_out"));
    marias_firefox.get("/dashboard").await.expect(200);
    let state = shared.get("/api/session_state").await.expect(200);
    assert_eq!(state.json()["user"]["email"], jonas.email);
}

#[tokio::test]
async fn repeated_device_sign_in_ends_its_previous_session() {
    let portal = Portal::start().await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    let first = portal.desktop("mac").signed_in(&maria).await;
    let other = portal.desktop("thinkpad").signed_in(&maria).await;
    let of_jonas = portal.desktop("mac").signed_in(&jonas).await;

    let second = portal
        .desktop("mac")
        .device("device_name", "Maria's new name")
        .signed_in(&maria)
        .await;
    assert_eq!(
        first.get("/api/v1/session_state").await.end_reason(),
        "signed_out"
    );
    assert_eq!(portal.ends_of(first.session()).await.len(), 1);
    for desktop in [&second, &other, &of_jonas] {
        desktop.get("/api/v1/session_state").await.expect(200);
    }
    assert_eq!(portal.rows("devices").await, 3);
    let list = second.get("/api/v1/sessions").await.json();
    let names: Vec<&str> = list["sessions"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|s| s["device_name"].as_str())
        .collect();
    assert!(
        names.contains(&"Maria's new name") && !names.contains(&"The mac"),
        "{names:?}"
    );
}

#[tokio::test]
async fn desktop_response_has_exactly_the_contracts_fields() {
    let portal = Portal::with(&[("PORTAL_ACCESS_TOKEN_SECONDS", "600")]).await;
    let maria = portal.member("maria", "Northgate Brokerage").await;
    let mac = portal.desktop("mac");
    let response = mac.sign_in(&maria).await.expect(201);

    let mut tokens = response.json();
    let fields = tokens.as_object_mut().expect("an object");
    let mut take = |field: &str| fields.remove(field).unwrap_or_else(|| panic!("no {field}"));
    assert_eq!(take("session_id"), json!(mac.session()));
    let (access, refresh) = (take("access_token"), take("refresh_token"));
    assert_ne!(access, refresh);
    assert_eq!(take("expires_in"), 600);
    let expires_at = portal.now() + seconds(600);
    assert_eq!(take("expires_at"), domain::time::format_rfc3339(expires_at));
    assert_eq!(
        take("user"),
        json!({ "id": maria.id, "email": maria.email, "display_name": "maria", "role": "broker" })
    );
    assert_eq!(take("token_type"), "Bearer");
    assert!(fields.is_empty(), "{fields:?}");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("set-cookie"), None);
}

#[tokio::test]
async fn invalid_device_is_rejected_by_field() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let endless = "x".repeat(129);
    for (field, value) in [
        ("device_id", ""),
        ("device_id", &*endless),
        ("device_name", " "),
        ("device_name", &endless),
        ("platform", &endless),
        ("app_version", &endless),
    ] {
        let response = portal.desktop("mac").device(field, value).sign_in(&maria).await;
        assert_eq!(response.problem(), "invalid_input");
        assert_eq!(response.expect(422).json()["field"], format!("device.{field}"));
    }
    assert_eq!(
        (portal.rows("sessions").await, portal.rows("devices").await),
        (0, 0)
    );
    portal
        .desktop("mac")
        .device("app_version", " ")
        .signed_in(&maria)
        .await;
}

#[tokio::test]
async fn new_session_uses_the_users_last_organization() {
    let portal = Portal::start().await;
    portal.member_as("maria", Role::Broker, "Northgate").await;
    let maria = portal.admin("maria", "Harbour").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    // Sets the organization in the session as a switch would.
    portal.execute(&format!("UPDATE sessions SET organization_id = (SELECT id FROM organizations WHERE name = 'Harbour') WHERE id = '{}'", chrome.session())).await;
    portal.advance(seconds(60)).await;

    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    let state = firefox.get_json("/api/session_state").await;
    assert_eq!(
        (&state["organization"]["name"], &state["user"]["role"]),
        (&json!("Harbour"), &json!("admin"))
    );
}

/// Submits the form of the sign-in page.
async fn send_form(portal: &Portal, browser: &Client, person: &TestUser) -> TestResponse {
    let page = format!("{}/login", portal.state.config.public_url.origin());
    let fields = [
        ("email", &*person.email),
        ("password", &*person.password),
        ("expects_cookie", "true"),
    ];
    browser
        .post("/api/sign_in")
        .header("referer", &page)
        .form(&fields)
        .await
}

#[tokio::test]
async fn blocked_cookies_are_explained_and_create_no_session() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    for script in [true, false] {
        // A browser without any cookie may have lost all of them; one that gets a new one with each request blocks
        // them.
        let browser = || {
            let browser = portal.browser(CHROME);
            if script { browser } else { browser.without_script() }
        };
        let page = browser().get("/login").await.expect(200);
        assert!(page.body.contains(r#"name="expects_cookie""#), "{}", page.body);
        assert_eq!(
            page.all("set-cookie"),
            ["portal_probe=cookies-work; HttpOnly; SameSite=Lax; Path=/"]
        );
        assert_eq!(page.header("cache-control"), Some("no-store"));
        for _ in 0..3 {
            let response = send_form(&portal, &browser(), &maria).await;
            if script {
                let error = response.expect(403).json();
                assert_eq!(error, json!({ "code": "cookies_required" }));
                continue;
            }
            let response = response.expect(302);
            let explained = browser().get(response.location()).await.expect(200);
            assert!(
                explained.body.contains("Allow cookies for this site"),
                "{}",
                explained.body
            );
        }
    }
    assert_eq!(portal.rows("sessions").await, 0);
    assert_eq!(portal.rows("password_attempts").await, 0);
    assert_eq!(portal.audit("sign_in_failed").await, []);
}

#[tokio::test]
async fn lost_probe_cookie_is_set_again() {
    let portal = Portal::with(&[("PORTAL_PUBLIC_URL", "https://portal.example")]).await;
    let maria = portal.broker("maria").await;
    // The page's cookie is lost before the form is submitted.
    portal.browser(CHROME).get("/login").await.expect(200);
    let browser = portal.browser(CHROME);
    let response = send_form(&portal, &browser, &maria).await.expect(403);
    let probe = "__Host-portal_probe=cookies-work; HttpOnly; SameSite=Lax; Secure; Path=/";
    assert_eq!(response.all("set-cookie"), [probe]);
    send_form(&portal, &browser, &maria).await.expect(200);
    assert_eq!(portal.rows("sessions").await, 1);
    // A browser with any cookie of ours gets no other.
    let page = browser.get("/login").await;
    assert!(
        !page
            .all("set-cookie")
            .iter()
            .any(|cookie| cookie.contains("portal_probe"))
    );
}
