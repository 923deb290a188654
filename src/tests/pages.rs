//! Pages with and without JavaScript.

use crate::harness::*;

/// Returns the text without tags, with single spaces.
fn text(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        // Block elements separate words, inline elements do not.
        let inline = ["!", "/span", "span", "strong", "/strong", "/!"]
            .iter()
            .any(|name| tag.starts_with(name));
        if !inline {
            text.push(' ');
        }
        rest = tag.split_once('>').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn count(html: &str, part: &str) -> usize {
    html.matches(part).count()
}

#[tokio::test]
async fn private_pages_redirect_to_sign_in_and_back() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    for path in words(
        "/dashboard /dashboard/settings /dashboard/settings?a=b&c=d /dashboard/settings/sign-out-all
        /dashboard/settings/sign-out-others /dashboard/admin/sessions /dashboard/admin/people?q=a
        /dashboard/nowhere",
    ) {
        let chrome = portal.browser(CHROME).without_script();
        let response = chrome.get(path).await.expect(303);
        let next = domain::query::encode_query_value(path);
        assert_eq!(response.location(), format!("/login?next={next}"));
        assert!(response.body.is_empty(), "{}", response.body);
        let login = chrome.follow(&response).await.expect(200);
        let field = format!(r#"name="next" value="{}""#, path.replace('&', "&amp;"));
        assert!(login.body.contains(&field), "{}", login.body);

        let fields = [
            ("email", &*maria.email),
            ("password", &*maria.password),
            ("next", path),
        ];
        let response = chrome.submit("sign_in", &fields).await;
        assert_eq!(response.location(), path);
    }
    portal.anonymous().get("/").await.expect(303);
}

#[tokio::test]
async fn settings_show_the_users_sessions() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let firefox = portal.browser(FIREFOX).at("203.0.113.9").signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    portal.advance(seconds(7200)).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;

    let page = chrome.get("/dashboard/settings").await.expect(200);
    let words = text(&page.body);
    for part in [
        "Active sessions",
        "Chrome on Windows This browser",
        "Firefox on Linux",
        "The mac",
        "macOS 15",
        "macos-arm64",
        "203.0.113.9",
        "198.51.100.7",
        "2 hours ago",
        "Active now",
        "Sign out other devices",
        "Sign Out All Devices",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert_eq!(count(&page.body, ">This browser"), 1);
    // Notices with their own buttons are above the list.
    let (_, list) = page.body.split_once(r#"id="sessions""#).expect("the list");
    for (client, buttons) in [(&firefox, 1), (&mac, 1), (&chrome, 0)] {
        let button = format!(r#"name="session_id" value="{}""#, client.session());
        assert_eq!(count(list, &button), buttons, "{}", page.body);
    }
    assert_eq!(count(list, r#"action="/api/revoke_session""#), 2);
    let order = ["Chrome on Windows", "Firefox on Linux"].map(|name| page.body.find(name));
    assert!(order.is_sorted(), "{order:?}");
}

#[tokio::test]
async fn settings_show_the_number_of_devices() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    portal.desktop("mac").signed_in(&maria).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let words = text(&chrome.get_text("/dashboard/settings").await);
    assert!(words.contains("Active sessions 2 devices"), "{words}");
}

#[tokio::test]
async fn single_session_has_no_button_for_others() {
    let (_, _, chrome) = Portal::with_browser().await;
    let page = chrome.get("/dashboard/settings").await.expect(200);
    assert!(
        text(&page.body).contains("Only this browser is signed in."),
        "{}",
        page.body
    );
    assert!(!page.body.contains("/api/sign_out_other_devices") && !page.body.contains("/api/revoke_session"));
}

#[tokio::test]
async fn without_javascript_revoking_one_device_is_confirmed() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    let chrome = portal.browser(CHROME).without_script().signed_in(&maria).await;

    let id = firefox.session().to_string();
    let response = chrome
        .submit("revoke_session", &[("session_id", &id)])
        .await
        .expect(302);
    let page = chrome.follow(&response).await.expect(200);
    assert!(
        text(&page.body).contains("The device has been signed out."),
        "{}",
        page.body
    );
    assert!(!page.body.contains(&id));

    // A second click on the previous page shows the message for an ended session, and the list.
    let response = chrome
        .submit("revoke_session", &[("session_id", &id)])
        .await
        .expect(302);
    let back = response.location();
    let page = chrome.get(back).await.expect(200);
    assert!(
        text(&page.body).contains("That session no longer exists."),
        "{}",
        page.body
    );
    assert!(text(&page.body).contains("Chrome on Windows"), "{}", page.body);
}

#[tokio::test]
async fn without_javascript_revoking_other_devices_is_confirmed() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    let chrome = portal.browser(CHROME).without_script().signed_in(&maria).await;
    let response = chrome.post("/api/sign_out_other_devices").await.expect(302);
    let page = chrome.follow(&response).await.expect(200);
    assert!(
        text(&page.body).contains("All other devices have been signed out."),
        "{}",
        page.body
    );
    firefox.get("/dashboard").await.expect(303);
}

#[tokio::test]
async fn without_javascript_signing_out_others_asks_first() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    let chrome = portal.browser(CHROME).without_script().signed_in(&maria).await;
    let page = chrome.get("/dashboard/settings").await.expect(200);
    assert!(
        page.body
            .contains(r#"method="get" action="/dashboard/settings/sign-out-others""#),
        "{}",
        page.body
    );
    let question = chrome
        .get("/dashboard/settings/sign-out-others")
        .await
        .expect(200);
    let words = text(&question.body);
    for part in [
        "Sign out of other devices?",
        "This signs out 1 device. This browser stays signed in.",
        "Firefox on Linux",
        "Cancel",
        "Sign out of 1 device",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let (_, list) = question.body.split_once("device-list").expect("a list");
    let (list, _) = list.split_once("</ul>").expect("its end");
    assert!(!list.contains("Chrome on Windows"), "{list}");
    firefox.get("/dashboard").await.expect(200);

    firefox.sign_out().await;
    let question = chrome
        .get("/dashboard/settings/sign-out-others")
        .await
        .expect(200);
    assert!(text(&question.body).contains("There is nothing to confirm here"));
}

#[tokio::test]
async fn without_javascript_signing_out_everywhere_asks_first() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let chrome = portal.browser(CHROME).without_script().signed_in(&maria).await;

    let page = chrome.get("/dashboard/settings").await.expect(200);
    assert!(
        page.body
            .contains(r#"method="get" action="/dashboard/settings/sign-out-all""#),
        "{}",
        page.body
    );
    let question = chrome.get("/dashboard/settings/sign-out-all").await.expect(200);
    let words = text(&question.body);
    for part in [
        "Sign out of all devices?",
        "2 sessions, this browser included",
        "Chrome on Windows",
        "The mac",
        "Cancel",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(
        question
            .body
            .contains(r#"method="post" action="/api/sign_out_all_devices""#),
        "{}",
        question.body
    );
    mac.get("/api/session_state").await.expect(200);

    let response = chrome.post("/api/sign_out_all_devices").await.expect(302);
    assert_eq!(response.location(), "/login?reason=signed_out_everywhere&by=you");
    let login = chrome.follow(&response).await.expect(200);
    assert!(
        text(&login.body).contains("All your devices have been signed out."),
        "{}",
        login.body
    );
    assert_eq!(
        mac.get("/api/session_state").await.end_reason(),
        "signed_out_everywhere"
    );
}

#[tokio::test]
async fn without_javascript_signing_out_leads_to_sign_in() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).without_script().signed_in(&maria).await;
    let response = chrome.post("/api/sign_out").await.expect(302);
    let login = chrome.follow(&response).await.expect(200);
    assert!(
        text(&login.body).contains("You have signed out."),
        "{}",
        login.body
    );
    assert_eq!(chrome.cookie(), None);
    chrome.get("/dashboard").await.expect(303);
}

#[tokio::test]
async fn sign_in_explains_known_reasons_only() {
    let portal = Portal::start().await;
    let stranger = portal.browser(CHROME);
    for reason in EndReason::ALL {
        let page = stranger
            .get(&format!("/login?reason={}", reason.as_str()))
            .await
            .expect(200);
        assert!(
            text(&page.body).contains(reason.message()),
            "{reason:?}: {}",
            page.body
        );
    }
    for nonsense in [
        "nonsense",
        "%3Cscript%3Ealert(1)%3C/script%3E",
        "SIGNED_OUT",
        "%FF",
        "",
    ] {
        let page = stranger
            .get(&format!("/login?reason={nonsense}"))
            .await
            .expect(200);
        assert_eq!(count(&page.body, "class=\"notice"), 0, "{}", page.body);
        assert!(!page.body.contains("alert(1)"), "{}", page.body);
    }
}

#[tokio::test]
async fn guessed_addresses_lead_to_their_pages() {
    let portal = Portal::start().await;
    let root = portal.system_admin("root").await;
    let root = portal.browser(CHROME).signed_in(&root).await;
    for (guessed, page) in [
        ("/settings", "/dashboard/settings"),
        ("/dashboard/admin", "/dashboard/admin/sessions"),
    ] {
        assert_eq!(root.get(guessed).await.expect(303).location(), page);
        root.get(page).await.expect(200);
    }
}

#[tokio::test]
async fn no_text_of_a_url_reaches_a_page() {
    let (portal, _, chrome) = Portal::with_browser().await;
    let lure = "Call 555-1234 now";
    let forged = data_encoding::BASE64URL.encode(
        json!({ "code": "invalid_input", "field": lure, "problem": lure, "message": lure })
            .to_string()
            .as_bytes(),
    );
    let query = domain::query::encode_query_value(lure);
    for path in [
        "/dashboard/settings",
        "/dashboard/settings/sign-out-all",
        "/dashboard",
        "/login",
    ] {
        let client = if path == "/login" {
            portal.browser(SAFARI)
        } else {
            chrome.clone()
        };
        for suffix in [
            format!("__path=/api/revoke_session&__err={forged}"),
            format!("__err={query}"),
            format!("done={query}&reason={query}&message={query}"),
        ] {
            let page = client.get(&format!("{path}?{suffix}")).await;
            let page = if suffix.contains("__err") {
                assert_eq!(page.expect(303).location(), path);
                client.get(path).await
            } else {
                page
            };
            let page = page.expect(200);
            assert!(!page.body.contains("555-1234"), "{path}?{suffix}: {}", page.body);
        }
    }
}

#[tokio::test]
async fn form_errors_are_shown_only_to_their_browser() {
    const WRONG: &str = "The email or password is wrong.";
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let plain = portal.browser(CHROME).without_script();
    let fields = [("email", &*maria.email), ("password", "not it")];
    let origin = portal.state.config.public_url.origin();
    let failed = plain
        .post("/api/sign_in")
        .header("referer", &format!("{origin}/login?next=/dashboard"))
        .form(&fields)
        .await
        .expect(302);
    for cookie in ["portal_form_error", "portal_typed_email"] {
        let set = failed.all("set-cookie");
        let set = set.iter().find(|set| set.starts_with(cookie)).expect(cookie);
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=60"] {
            assert!(set.contains(attribute), "{set}");
        }
        assert!(!set.contains(&maria.email), "{set}");
    }
    let place = failed.location();
    let page = plain.follow(&failed).await.expect(200).body;
    assert!(page.contains(WRONG), "{page}");
    assert!(page.contains(&format!(r#"value="{}""#, maria.email)), "{page}");

    // The address tells nobody else anything, nor anything else to this browser.
    let encode = |code: &str| data_encoding::BASE64URL.encode(json!({ "code": code }).to_string().as_bytes());
    let forged = format!(
        "/login?__path=/api/sign_in&__err={}",
        encode("password_change_required")
    );
    let hidden = forged.replace("__err", "%5F_err").replace("__path", "__pat%68");
    let stranger = portal.browser(FIREFOX);
    for (client, address, clean) in [
        (&stranger, place, "/login?next=/dashboard"),
        (&plain, &*forged, "/login"),
        (&plain, &*hidden, "/login"),
        (&plain, "//evil.example/a?__err=b", "/login"),
        (&plain, "/\\evil.example?__err=b", "/login"),
        (
            &plain,
            &*format!("{place}&{}", &forged[7..]),
            "/login?next=/dashboard",
        ),
    ] {
        let response = client.get(address).await.expect(303);
        assert_eq!(response.location(), clean, "{address}");
        let page = client.follow(&response).await.expect(200).body;
        assert_eq!(count(&page, "class=\"notice"), 0, "{page}");
        assert!(!page.contains(&maria.email), "{page}");
    }
}

#[tokio::test]
async fn errors_in_the_return_path_are_not_shown() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let plain = portal.browser(CHROME).without_script();
    let error = data_encoding::BASE64URL.encode(br#"{"code":"password_change_required"}"#);
    let next = format!("/dashboard/settings?__path=/api/change_password&__err={error}");
    let fields = [
        ("email", &*maria.email),
        ("password", &*maria.password),
        ("next", &*next),
    ];
    let signed_in = plain.submit("sign_in", &fields).await.expect(302);
    assert_eq!(signed_in.location(), next);
    let cleaned = plain.follow(&signed_in).await.expect(303);
    assert_eq!(cleaned.location(), "/dashboard/settings");
}

#[tokio::test]
async fn sign_in_page_reports_blocked_cookies() {
    let portal = Portal::start().await;
    let blocked = data_encoding::BASE64URL.encode(br#"{"code":"cookies_required"}"#);
    let place = format!("/login?__path=/api/sign_in&__err={blocked}");
    let page = portal.anonymous().get_text(&place).await;
    assert!(page.contains("signing in needs cookies"), "{page}");
    let other = data_encoding::BASE64URL.encode(br#"{"code":"password_change_required"}"#);
    for name in ["__err", "%5F_err"] {
        let two = format!("{place}&{name}={other}");
        portal.anonymous().get(&two).await.expect(303);
    }
    let keeps = portal.browser(CHROME);
    keeps.get("/login").await.expect(200);
    keeps.get(&place).await.expect(303);
}

#[tokio::test]
async fn markup_in_names_and_user_agents_is_escaped() {
    let portal = Portal::start().await;
    let lure = r#"<script>alert(1)</script>"><img src=x onerror=alert(2)>'{{7*7}}"#;
    let maria = portal.named_member("maria", lure, &format!("{lure} Ltd")).await;
    let mac = portal
        .desktop("mac")
        .device("device_name", lure)
        .device("os", &lure[..60])
        .signed_in(&maria)
        .await;
    // The expressions determine the name of a browser; these parts are under the sender's control.
    for agent in [
        lure,
        "Mozilla/5.0 <script>alert(1)</script>/12.3 Firefox/<b>1</b>",
        "<svg/onload=alert(3)> Chrome/148",
    ] {
        portal.browser(agent).signed_in(&maria).await;
    }
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    for path in [
        "/dashboard",
        "/dashboard/settings",
        "/dashboard/settings/sign-out-all",
    ] {
        let page = chrome.get(path).await.expect(200);
        for tag in ["<script>", "<img", "<svg/onload", "onerror=alert(2)>\"", "<b>1"] {
            assert!(!page.body.contains(tag), "{path} holds {tag}: {}", page.body);
        }
        // Data for the page's script cannot end the script element.
        let scripts = page.body.matches("<script").count();
        assert_eq!(scripts, page.body.matches("</script>").count(), "{}", page.body);
    }
    let words = chrome.get("/dashboard/settings").await.body;
    assert!(words.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{words}");
    let list = mac.get("/api/v1/sessions").await.expect(200);
    assert_eq!(list.header("content-type"), Some("application/json"));
    assert!(
        list.json()["sessions"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|session| session["device_name"] == lure)
    );
}

#[tokio::test]
async fn unknown_paths_are_pages_with_404() {
    let (portal, _, chrome) = Portal::with_browser().await;
    for (client, path) in [
        (&chrome, "/dashboard/nowhere"),
        (&chrome, "/nowhere"),
        (&portal.browser(SAFARI), "/nowhere"),
        (&portal.browser(SAFARI), "/dashboards"),
        (&portal.browser(SAFARI), "/%3Cscript%3Ealert(1)%3C/script%3E"),
        (&portal.browser(SAFARI), "/pkg/../../etc/passwd"),
    ] {
        let page = client.get(path).await;
        assert_eq!(page.status, 404, "{path}: {page:#?}");
        assert!(!page.body.contains("<script>alert(1)"), "{}", page.body);
    }
    let page = portal.browser(SAFARI).get("/nowhere").await;
    assert!(
        text(&page.body).contains("This page does not exist"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn theme_is_kept_on_this_browser() {
    let portal = Portal::start().await;
    let chrome = portal.browser(CHROME);
    let response = chrome
        .submit("choose_theme", &[("theme", "dark")])
        .await
        .expect(200);
    assert_eq!(
        response.all("set-cookie"),
        ["portal_theme=dark; HttpOnly; SameSite=Lax; Path=/; Max-Age=31536000"]
    );
    let page = chrome.get("/login").await.expect(200);
    assert!(
        page.body.contains(r#"<html lang="en" data-theme="dark">"#),
        "{}",
        page.body
    );
    let response = chrome.submit("choose_theme", &[("theme", "\"><script>")]).await;
    assert!((400..500).contains(&response.status), "{response:#?}");
}

/// The framework's tasks of one page take locks in opposite orders. On several threads, some pages would deadlock, and
/// finally the whole server.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_page_requests_are_all_answered() {
    let portal = Portal::start().await;
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let person = portal.broker(&format!("reader-{number}")).await;
        let chrome = portal.browser(CHROME).signed_in(&person).await;
        readers.spawn(async move {
            for _ in 0..150 {
                chrome.get("/dashboard").await.expect(200);
            }
        });
    }
    tokio::time::timeout(std::time::Duration::from_secs(240), readers.join_all())
        .await
        .expect("every page");
}
