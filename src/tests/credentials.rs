//! Requests with several credentials: which one counts, and what happens to the others.

use axum::http::Method;

use crate::harness::*;

/// Returns a browser's `Cookie` header as bytes, with cookies of other applications around ours.
fn among_foreign_cookies(own: &str) -> Vec<u8> {
    [b"n=\xe9; \xff; ", own.as_bytes(), b"; m=\x80"].concat()
}

#[tokio::test]
async fn bearer_request_does_not_affect_the_cookies_session() {
    let portal = Portal::start().await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    let chrome = portal.browser(CHROME).signed_in(&jonas).await;
    let cookie = format!("portal_session={}", chrome.cookie().expect("a cookie"));
    let before = portal.session_row(chrome.session()).await.last_active_at;
    portal.advance(std::time::Duration::from_secs(60)).await;
    let credentials = json!({ "email": maria.email, "password": maria.password });
    let password = json!({ "password": maria.password });
    for (method, path, body, status) in [
        (Method::POST, "/api/sign_out", json!({}), 200),
        (Method::POST, "/api/sign_out_all_devices", json!({}), 200),
        (Method::POST, "/api/sign_out_other_devices", json!({}), 200),
        (Method::POST, "/api/list_active_sessions", json!({}), 200),
        (Method::POST, "/api/sign_in", credentials, 422),
        (Method::POST, "/api/v1/session/reauthenticate", password, 200),
        (Method::DELETE, "/api/v1/sessions?scope=all", json!({}), 200),
        (Method::GET, "/dashboard", json!({}), 200),
    ] {
        let mac = portal.desktop("mac").signed_in(&maria).await;
        let call = mac.call(method, path).header("cookie", &cookie);
        let response = if path == "/dashboard" {
            call.await
        } else {
            call.json(&body).await
        };
        assert_eq!(response.status, status, "{path}: {response:#?}");
        assert_eq!(response.all("set-cookie"), Vec::<&str>::new(), "{path}");
        assert_eq!(portal.end_reason(chrome.session()).await, None, "{path}");
    }
    // An invalid bearer token affects nothing either.
    for path in ["/api/sign_out", "/api/sign_out_all_devices", "/api/sign_in"] {
        let call = chrome.post(path).header("authorization", "Bearer x");
        let response = call
            .form(&[("email", &jonas.email), ("password", &jonas.password)])
            .await;
        assert_eq!(
            response.all("set-cookie"),
            Vec::<&str>::new(),
            "{path}: {response:#?}"
        );
    }
    portal.write_activity().await;
    let row = portal.session_row(chrome.session()).await;
    assert_eq!(row.last_active_at, before, "the cookie's session was used");
    assert!(chrome.is_live().await);
}

#[tokio::test]
async fn proxy_authorization_does_not_disable_the_cookie() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    for value in ["Basic bWFyaWE6cHc=", "Negotiate abc", "Digest username=\"x\"", ""] {
        let chrome = portal.browser(CHROME);
        let fields = [("email", &*maria.email), ("password", &*maria.password)];
        let sign_in = chrome.post("/api/sign_in").header("authorization", value);
        sign_in.form(&fields).await.expect(200);
        chrome.load_session_id().await;
        chrome
            .get("/dashboard")
            .header("authorization", value)
            .await
            .expect(200);
        let response = chrome
            .get("/api/v1/sessions")
            .header("authorization", value)
            .await;
        response.expect(200);
        chrome
            .post("/api/sign_out")
            .header("authorization", value)
            .await
            .expect(200);
        assert_eq!(
            portal.end_reason(chrome.session()).await.as_deref(),
            Some("signed_out")
        );
        assert_eq!(chrome.cookie(), None, "{value}");
    }
}

#[tokio::test]
async fn foreign_cookies_do_not_hide_ours() {
    for settings in [&[][..], &[("PORTAL_PUBLIC_URL", "https://portal.example")]] {
        let portal = Portal::with(settings).await;
        let name = portal.state.config.cookie_name();
        let maria = portal.broker("maria").await;
        let chrome = portal.browser(CHROME).signed_in(&maria).await;
        let own = format!("{name}={}", chrome.cookie().expect("a cookie"));
        let foreign = among_foreign_cookies(&own);
        for path in ["/dashboard", "/api/session_state", "/api/v1/sessions"] {
            chrome
                .get(path)
                .bytes_header("cookie", &foreign)
                .await
                .expect(200);
            // HTTP/2 sends one header per cookie.
            let call = chrome.get(path).bytes_header("cookie", b"n=\xe9");
            let call = call.added_header("cookie", own.as_bytes());
            call.added_header("cookie", b"m=1").await.expect(200);
        }
        let list = chrome.post("/api/list_active_sessions");
        list.bytes_header("cookie", &foreign).await.expect(200);
        let events = chrome
            .get("/api/v1/session/events")
            .bytes_header("cookie", &foreign);
        drop(events.stream().await);

        let themed = among_foreign_cookies(&format!("{own}; portal_theme=dark"));
        let page = chrome
            .get("/dashboard")
            .bytes_header("cookie", &themed)
            .await
            .expect(200);
        assert!(page.body.contains("data-theme=\"dark\""), "{}", page.body);

        let out = chrome.post("/api/sign_out").bytes_header("cookie", &foreign);
        out.await.expect(200);
        assert_eq!(
            portal.end_reason(chrome.session()).await.as_deref(),
            Some("signed_out")
        );
    }
}

#[tokio::test]
async fn foreign_cookies_do_not_make_a_browser_unknown() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let fields = [("email", &*maria.email), ("password", &*maria.password)];
    let mark_of = |response: &TestResponse| {
        let cookies = response.all("set-cookie");
        let mark = cookies
            .iter()
            .find(|cookie| cookie.starts_with("portal_browser="));
        let pair = mark.and_then(|cookie| cookie.split(';').next());
        pair.expect("a mark").to_owned()
    };
    let first = portal
        .browser(CHROME)
        .submit("sign_in", &fields)
        .await
        .expect(200);
    let mark = mark_of(&first);
    let again = portal.browser(CHROME).submit("sign_in", &fields);
    let again = again
        .bytes_header("cookie", &among_foreign_cookies(&mark))
        .await
        .expect(200);
    assert_eq!(mark_of(&again), mark);
}

#[tokio::test]
async fn different_session_cookies_sign_nobody_in() {
    let portal = Portal::start().await;
    let (maria, mallory) = (portal.broker("maria").await, portal.broker("mallory").await);
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let planted = portal.browser(CHROME).signed_in(&mallory).await;
    let cookie = |client: &Client| format!("portal_session={}", client.cookie().expect("a cookie"));
    let (ours, theirs) = (cookie(&chrome), cookie(&planted));
    let both = [format!("{ours}; {theirs}"), format!("{theirs}; {ours}")];
    for line in &both {
        let response = chrome.get("/api/v1/session_state").header("cookie", line).await;
        assert_eq!(response.end_reason(), "unknown");
        let response = chrome
            .post("/api/sign_out")
            .header("cookie", line)
            .await
            .expect(200);
        assert_eq!(response.all("set-cookie"), Vec::<&str>::new());
    }
    let call = chrome.get("/api/v1/session_state").header("cookie", &ours);
    assert_eq!(
        call.added_header("cookie", theirs.as_bytes()).await.end_reason(),
        "unknown"
    );
    assert!(chrome.is_live().await && planted.is_live().await);
    // A cookie twice, or beside one that cannot be ours, counts as one.
    for line in [format!("{ours}; {ours}"), format!("portal_session=x; {ours}")] {
        chrome
            .get("/api/v1/session_state")
            .header("cookie", &line)
            .await
            .expect(200);
    }
}
