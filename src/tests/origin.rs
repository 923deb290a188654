//! Requests caused by other origins.

use axum::http::Method;

use crate::harness::*;

/// Headers that browsers send with requests of another origin.
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

/// Every route that changes something.
fn unsafe_calls(session: SessionId, maria: &TestUser) -> Vec<(Method, String, Value)> {
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
async fn cross_origin_requests_are_rejected_before_their_body() {
    let portal = Portal::start().await;
    let refused = portal
        .browser(CHROME)
        .post("/api/sign_in")
        .without_header("sec-fetch-site")
        .header("sec-fetch-site", "cross-site")
        .body("application/json", "no JSON")
        .await
        .expect(403);
    assert_eq!(refused.json()["code"], "forbidden");
}

#[tokio::test]
async fn cross_origin_requests_are_forbidden_without_effect() {
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
                let response = call.await;
                assert_eq!(
                    response.status, 403,
                    "{method} {path} with {name}: {value}: {response:#?}"
                );
                assert_eq!(response.all("set-cookie"), Vec::<&str>::new(), "{path}");
                let (code, words) = match value {
                    "null" => ("origin_hidden", "Your browser did not say"),
                    _ => ("forbidden", "It came from another site."),
                };
                if path.starts_with("/api/v1") {
                    assert_eq!(response.problem(), code);
                } else if script {
                    assert_eq!(response.json()["code"], code);
                } else {
                    assert!(response.body.contains(words), "{}", response.body);
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
async fn sec_fetch_site_overrides_a_matching_origin() {
    let (_, _, chrome) = Portal::with_browser().await;
    let call = chrome.post("/api/sign_out").header("sec-fetch-site", "same-site");
    call.header("origin", "http://127.0.0.1:3000").await.expect(403);
    chrome.get("/dashboard").await.expect(200);
}

#[tokio::test]
async fn own_pages_older_browsers_and_programs_pass() {
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
async fn links_from_other_sites_open_pages() {
    let (_, _, chrome) = Portal::with_browser().await;
    chrome
        .get("/dashboard")
        .header("sec-fetch-site", "cross-site")
        .await
        .expect(200);
}

#[tokio::test]
async fn get_requests_change_nothing() {
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
    for path in words(
        "/api/sign_in /api/sign_out /api/revoke_session /api/sign_out_other_devices
        /api/sign_out_all_devices /api/choose_theme /api/v1/sessions /api/v1/devices/heartbeat
        /dashboard/settings /dashboard/settings/sign-out-all /login",
    ) {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            let response = chrome.call(method.clone(), &format!("{path}?{query}")).await;
            assert_eq!(response.all("set-cookie"), Vec::<&str>::new(), "{method} {path}");
            assert!(response.status < 500, "{method} {path}: {response:#?}");
            if method == Method::GET && path.starts_with("/api/") && path != "/api/v1/sessions" {
                assert!([404, 405].contains(&response.status), "{path}: {response:#?}");
            }
        }
    }
    assert_eq!(portal.rows("audit_events").await, audit);
    firefox.get("/dashboard").await.expect(200);
    chrome.get("/dashboard").await.expect(200);
}

#[tokio::test]
async fn https_requests_compare_with_the_public_origin() {
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
async fn forms_never_redirect_to_a_foreign_referer() {
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
            let response = chrome.post(path).header("referer", referer).form(fields).await;
            let place = response.expect(302).location().to_owned();
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

/// Headers of a request to a local-network address that the portal does not know.
const ELSEWHERE: [(&str, &str); 2] = [("host", "192.0.2.10:3000"), ("origin", "http://192.0.2.10:3000")];

#[tokio::test]
async fn refusal_names_the_public_url() {
    for (settings, elsewhere, public) in [
        (
            &[("LEPTOS_SITE_ADDR", "0.0.0.0:3000")][..],
            ELSEWHERE,
            "http://127.0.0.1:3000",
        ),
        (
            &[("PORTAL_PUBLIC_URL", "https://portal.example")],
            ELSEWHERE,
            "https://portal.example",
        ),
        // An https portal opened over http.
        (
            &[("PORTAL_PUBLIC_URL", "https://Portal.example:443/")],
            [("host", "portal.example"), ("origin", "http://portal.example")],
            "https://portal.example",
        ),
        // A proxy that sends another host.
        (
            &[("PORTAL_PUBLIC_URL", "https://portal.example")],
            [
                ("x-forwarded-host", "portal.lan"),
                ("origin", "http://portal.lan"),
            ],
            "https://portal.example",
        ),
    ] {
        let portal = Portal::with(settings).await;
        let maria = portal.broker("maria").await;
        let fields = [("email", &*maria.email), ("password", &*maria.password)];
        let device = json!({ "device_id": "a", "device_name": "b", "os": "c", "platform": "d" });
        let chrome = portal.browser(CHROME);
        let opened_elsewhere = |call: Call| {
            let call = call
                .without_header("sec-fetch-site")
                .header(elsewhere[0].0, elsewhere[0].1);
            call.header(elsewhere[1].0, elsewhere[1].1)
        };

        let response = opened_elsewhere(chrome.submit("sign_in", &fields))
            .await
            .expect(403);
        assert_eq!(
            response.json(),
            json!({ "code": "wrong_address", "address": public })
        );

        let plain = chrome.clone().without_script();
        let page = opened_elsewhere(plain.submit("sign_in", &fields))
            .await
            .expect(403);
        assert!(
            page.body.contains(&format!("<a href=\"{public}\">")),
            "{}",
            page.body
        );
        assert!(
            page.body.contains("PORTAL_PUBLIC_URL") && !page.body.contains("192.0.2.10"),
            "{}",
            page.body
        );

        let body = json!({ "email": maria.email, "password": maria.password, "device": device });
        let response = opened_elsewhere(chrome.post("/api/v1/sessions").json(&body))
            .await
            .expect(403);
        assert_eq!(response.problem(), "wrong_address");
        let detail = response.json()["detail"].as_str().expect("a text").to_owned();
        assert!(
            detail.contains(public) && detail.contains("PORTAL_PUBLIC_URL"),
            "{detail}"
        );
        assert_eq!((chrome.cookie(), portal.rows("sessions").await), (None, 0));
    }
}

#[tokio::test]
async fn hidden_origin_is_explained_and_refused() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await.without_script();
    // What browsers send over http behind a proxy with `Referrer-Policy: no-referrer`.
    let hidden = chrome.post("/api/sign_out").without_header("sec-fetch-site");
    let page = hidden.header("origin", "null").await.expect(403);
    assert!(
        page.body.contains("Referrer-Policy: no-referrer"),
        "{}",
        page.body
    );
    assert!(chrome.is_live().await);
    // Over https they also send the origin of the request.
    let told = chrome.post("/api/sign_out").header("origin", "null");
    told.header("sec-fetch-site", "same-origin").await.expect(302);
    assert!(!chrome.is_live().await);
}

#[tokio::test]
async fn demo_server_answers_loopback_hosts_only() {
    let portal = Portal::with(&[("PORTAL_DEMO", "on")]).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME);
    let fields = [("email", &*maria.email), ("password", &*maria.password)];
    for host in [
        "evil.example:3000",
        "localhost.evil.example",
        "192.0.2.10:3000",
        "",
    ] {
        for path in words("/login / /api/session_state /api/v1/session_state /failure.css /metrics") {
            let response = chrome.get(path).header("host", host).await.expect(403);
            assert!(
                response.body.contains("http://127.0.0.1:3000"),
                "{path} {host}: {response:#?}"
            );
        }
        let sign_in = chrome.submit("sign_in", &fields).header("host", host);
        let response = sign_in.await.expect(403);
        assert_eq!(
            (response.json()["code"].as_str(), response.all("set-cookie")),
            (Some("wrong_address"), vec![])
        );
    }
    chrome.get("/login").await.expect(403);
    for host in [
        "127.0.0.1:3000",
        "localhost:8080",
        "portal.localhost",
        "[::1]:3000",
    ] {
        chrome.get("/login").header("host", host).await.expect(200);
    }
    let sign_in = chrome.submit("sign_in", &fields);
    sign_in.header("host", "localhost:3000").await.expect(200);

    let without_demo = Portal::start().await;
    let login = without_demo.browser(CHROME).get("/login");
    login.header("host", "evil.example").await.expect(200);
}

#[tokio::test]
async fn demo_server_refuses_what_a_proxy_forwards() {
    let portal = Portal::with(&[("PORTAL_DEMO", "on")]).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME);
    let fields = [("email", &*maria.email), ("password", &*maria.password)];
    // The `Host` that nginx sends by default.
    let sign_in = || {
        let call = chrome.submit("sign_in", &fields);
        call.header("host", "127.0.0.1:3000").without_header("origin")
    };
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "localhost"),
        ("forwarded", "for=127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("via", "1.1 proxy"),
        ("origin", "https://portal.example"),
        ("origin", "https://localhost.evil.example"),
        ("origin", "null"),
    ] {
        let response = sign_in().header(name, value).await.expect(403);
        assert_eq!(response.json()["code"], "wrong_address", "{name}: {value}");
        let page = chrome.get("/login").header("host", "127.0.0.1:3000");
        page.header(name, value).await.expect(403);
    }
    assert_eq!(portal.rows("sessions").await, 0);
    sign_in()
        .header("origin", "http://127.0.0.1:3000")
        .await
        .expect(200);
}
