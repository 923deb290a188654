//! Other sites make nobody's browser do anything here.

use axum::http::Method;

use crate::harness::*;

/// What browsers send along when another origin is behind a request.
const FOREIGN: [(&str, &str); 8] = [
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-site", "same-site"),
    ("sec-fetch-site", ""),
    ("sec-fetch-site", "Same-Origin"),
    ("origin", "https://evil.example"),
    ("origin", "null"),
    ("origin", "http://127.0.0.1:3001"),
    ("origin", "https://127.0.0.1:3000"),
];

/// Every address that changes something.
fn unsafe_calls(session: SessionId, maria: &Person) -> Vec<(Method, String, Value)> {
    let credentials = json!({ "email": maria.email, "password": maria.password });
    let mut desktop = credentials.clone();
    desktop["device"] = json!({ "device_id": "a", "device_name": "b", "os": "c", "platform": "d" });
    vec![
        (Method::POST, "/api/sign_in".to_owned(), credentials),
        (Method::POST, "/api/sign_out".to_owned(), json!({})),
        (
            Method::POST,
            "/api/revoke_session".to_owned(),
            json!({ "session_id": session }),
        ),
        (Method::POST, "/api/sign_out_other_devices".to_owned(), json!({})),
        (Method::POST, "/api/sign_out_all_devices".to_owned(), json!({})),
        (
            Method::POST,
            "/api/choose_theme".to_owned(),
            json!({ "theme": "dark" }),
        ),
        (Method::POST, "/api/v1/sessions".to_owned(), desktop),
        (Method::POST, "/api/v1/devices/heartbeat".to_owned(), json!({})),
        (Method::DELETE, format!("/api/v1/sessions/{session}"), json!({})),
        (Method::DELETE, "/api/v1/sessions?scope=all".to_owned(), json!({})),
    ]
}

#[tokio::test]
async fn what_another_origin_causes_is_forbidden_and_changes_nothing() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let audit = portal.rows("audit_events").await;

    for (name, value) in FOREIGN {
        for (method, path, body) in unsafe_calls(firefox.session(), &maria) {
            for script in [true, false] {
                let client = if script {
                    chrome.clone()
                } else {
                    chrome.clone().without_script()
                };
                let fields: Vec<(&str, &str)> = body
                    .as_object()
                    .expect("fields")
                    .iter()
                    .filter_map(|(k, v)| Some((&**k, v.as_str()?)))
                    .collect();
                let call = client.call(method.clone(), &path);
                let call = if script {
                    call.json(&body)
                } else {
                    call.form(&fields)
                };
                let call = call
                    .without_header("sec-fetch-site")
                    .without_header("origin")
                    .header(name, value);
                let answer = call.await;
                assert_eq!(
                    answer.status, 403,
                    "{method} {path} with {name}: {value}: {answer:#?}"
                );
                assert_eq!(answer.all("set-cookie"), Vec::<&str>::new(), "{path}");
                if path.starts_with("/api/v1") {
                    assert_eq!(answer.problem(), "forbidden");
                } else if script {
                    assert_eq!(answer.json()["code"], "forbidden");
                } else {
                    assert!(
                        answer.body.contains("It came from another site."),
                        "{}",
                        answer.body
                    );
                }
            }
        }
    }
    assert_eq!(
        (portal.rows("audit_events").await, portal.rows("devices").await),
        (audit, 0)
    );
    for client in [&chrome, &firefox] {
        client.get("/dashboard").await.expect(200);
    }
}

#[tokio::test]
async fn sec_fetch_site_counts_more_than_an_origin_that_looks_right() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let call = chrome.post("/api/sign_out").header("sec-fetch-site", "same-site");
    call.header("origin", "http://127.0.0.1:3000").await.expect(403);
    chrome.get("/dashboard").await.expect(200);
}

#[tokio::test]
async fn the_portals_own_pages_older_browsers_and_programs_pass() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    for headers in [
        &[("sec-fetch-site", "same-origin")][..],
        &[("sec-fetch-site", "none")],
        &[("origin", "http://127.0.0.1:3000")],
        &[],
    ] {
        let chrome = portal.browser(CHROME).signed_in(&maria).await;
        let mut call = chrome
            .post("/api/sign_out")
            .without_header("sec-fetch-site")
            .without_header("origin");
        for (name, value) in headers {
            call = call.header(name, value);
        }
        call.await.expect(200);
        assert_eq!(
            portal.end_reason(chrome.session()).await.as_deref(),
            Some("signed_out")
        );
    }
}

#[tokio::test]
async fn a_link_from_another_site_opens_a_page() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    chrome
        .get("/dashboard")
        .header("sec-fetch-site", "cross-site")
        .await
        .expect(200);
}

#[tokio::test]
async fn reading_changes_nothing() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let audit = portal.rows("audit_events").await;
    let query = format!(
        "session_id={}&email={}&password=x&scope=all&theme=dark",
        firefox.session(),
        maria.email
    );
    for path in [
        "/api/sign_in",
        "/api/sign_out",
        "/api/revoke_session",
        "/api/sign_out_other_devices",
        "/api/sign_out_all_devices",
        "/api/choose_theme",
        "/api/v1/sessions",
        "/api/v1/devices/heartbeat",
        "/dashboard/settings",
        "/dashboard/settings/sign-out-all",
        "/login",
    ] {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            let answer = chrome.call(method.clone(), &format!("{path}?{query}")).await;
            assert_eq!(answer.all("set-cookie"), Vec::<&str>::new(), "{method} {path}");
            assert!(answer.status < 500, "{method} {path}: {answer:#?}");
            if method == Method::GET && path.starts_with("/api/") && path != "/api/v1/sessions" {
                assert!([404, 405].contains(&answer.status), "{path}: {answer:#?}");
            }
        }
    }
    assert_eq!(portal.rows("audit_events").await, audit);
    firefox.get("/dashboard").await.expect(200);
    chrome.get("/dashboard").await.expect(200);
}

#[tokio::test]
async fn behind_https_the_public_origin_is_the_one_that_counts() {
    let portal = Portal::with(&[("PORTAL_PUBLIC_URL", "https://portal.example")]).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    for origin in [
        "http://portal.example",
        "https://portal.example:8443",
        "https://www.portal.example",
        "http://127.0.0.1:3000",
    ] {
        chrome
            .post("/api/sign_out")
            .without_header("sec-fetch-site")
            .header("origin", origin)
            .await
            .expect(403);
    }
    let call = chrome.post("/api/sign_out").without_header("sec-fetch-site");
    call.header("origin", "https://portal.example").await.expect(200);
}

#[tokio::test]
async fn a_form_without_javascript_leads_to_no_other_site_whatever_the_referer_says() {
    let portal = Portal::start().await;
    let chrome = portal.browser(CHROME).without_script();
    for referer in [
        "https://evil.example/",
        "//evil.example/",
        "https://127.0.0.1:3000.evil.example/x",
        "javascript:alert(1)",
        "/\\evil.example",
        "data:text/html,x",
    ] {
        for (path, fields) in [
            ("/api/sign_in", &[("email", "a@b"), ("password", "c")][..]),
            ("/api/choose_theme", &[("theme", "dark")]),
            ("/api/revoke_session", &[("session_id", "x")]),
        ] {
            let answer = chrome.post(path).header("referer", referer).form(fields).await;
            let place = answer.expect(302).location().to_owned();
            assert!(
                place.starts_with('/') && !place.contains("evil"),
                "{referer}: {place}"
            );
            assert!(
                !place.starts_with("//") && !place.starts_with("/\\"),
                "{referer}: {place}"
            );
        }
    }
}
