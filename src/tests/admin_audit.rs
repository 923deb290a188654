//! Administrators read the audit log.

use crate::harness::*;

async fn events(client: &Client, query: &str) -> Vec<Value> {
    let response = client.get_json(&format!("/api/v1/admin/audit?{query}")).await;
    response["events"].as_array().expect("events").clone()
}

fn of(events: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events
        .iter()
        .map(|event| (text(&event["kind"]), text(&event["user_email"])))
        .collect()
}

#[tokio::test]
async fn every_filter_applies_to_page_and_export() {
    let portal = Portal::start().await;
    let ada = portal.admin("ada", "Northgate").await;
    let nora = portal.member("nora", "Northgate").await;
    let chrome = portal.browser(CHROME).at("203.0.113.7").signed_in(&nora).await;
    portal
        .browser(CHROME)
        .at("203.0.113.9")
        .try_sign_in(&nora.email, "guess")
        .await;
    portal.advance(seconds(3600)).await;
    let admin = portal.browser(CHROME).signed_in(&ada).await;
    let body = json!({ "ids": [chrome.session()], "reason": "A test." });
    admin
        .post("/api/v1/admin/sessions/revoke")
        .json(&body)
        .await
        .expect(200);

    let pair = |kind: &str, email: &str| (kind.to_owned(), email.to_owned());
    assert_eq!(
        of(&events(&admin, "kind=session_ended").await),
        [pair("session_ended", "nora@broker.example")]
    );
    assert_eq!(
        of(&events(&admin, "actor=ada&person=nora").await),
        [pair("session_ended", "nora@broker.example")]
    );
    let failed = [pair("sign_in_failed", "nora@broker.example")];
    assert_eq!(of(&events(&admin, "address=203.0.113.9").await), failed);
    assert_eq!(
        of(&events(&admin, "address=203.0.113.0/24&kind=sign_in_failed").await),
        failed
    );
    let noon = portal.now() - chrono::TimeDelta::minutes(30);
    let noon = noon.format("%Y-%m-%dT%H:%M").to_string();
    let late = of(&events(&admin, &format!("since={noon}")).await);
    assert_eq!(late.len(), 2, "{late:?}");
    let early = of(&events(&admin, &format!("until={noon}&kind=session_ended")).await);
    assert_eq!(early, []);
    assert_eq!(
        events(&admin, &format!("person={}", nora.id)).await.len(),
        events(&admin, "person=NORA").await.len()
    );
    for query in ["", "kind=signed_in", "person=nora"] {
        let mut listed: Vec<Value> = events(&admin, &format!("limit=200&{query}")).await;
        listed.reverse();
        let lines = admin
            .get_text(&format!("/api/v1/admin/audit.jsonl?{query}"))
            .await;
        let exported: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            // The row of this export itself.
            .filter(|row| row["kind"] != "audit_exported")
            .collect();
        assert_eq!(exported, listed, "{query}");
    }
    for query in words("kinds=x kind=x since=then address=home limit=0 after=x") {
        admin
            .get(&format!("/api/v1/admin/audit?{query}"))
            .await
            .expect(422);
    }
}

#[tokio::test]
async fn paging_back_in_time_loses_nothing() {
    let portal = Portal::start().await;
    let ada = portal.system_admin("ada").await;
    for name in ["a", "b", "c", "d"] {
        portal.member(name, "Northgate").await;
    }
    let admin = portal.browser(CHROME).signed_in(&ada).await;
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = admin
            .get_json(&format!("/api/v1/admin/audit?limit=2&after={after}"))
            .await;
        found.extend(
            page["events"]
                .as_array()
                .expect("events")
                .iter()
                .map(|event| event["id"].as_i64().expect("an id")),
        );
        match page["next"].as_i64() {
            Some(next) => after = next.to_string(),
            None => break,
        }
    }
    let mut expected: Vec<i64> = portal
        .column("SELECT id FROM audit_events ORDER BY id DESC")
        .await;
    expected.retain(|id| found.contains(id) || *id <= found[0]);
    assert_eq!(found, expected);
    let html = admin.get_text("/dashboard/admin/audit?kind=user_created").await;
    assert!(
        html.contains("Account created")
            && html.contains("a@broker.example")
            && html.contains("Export as JSON lines")
    );
}

#[tokio::test]
async fn only_system_administrators_see_failures_without_account() {
    let portal = Portal::start().await;
    let ada = portal.admin("ada", "Northgate").await;
    let root = portal.system_admin("root").await;
    portal
        .browser(CHROME)
        .try_sign_in("nobody@broker.example", "guess")
        .await;
    let ada = portal.browser(CHROME).signed_in(&ada).await;
    let root = portal.browser(CHROME).signed_in(&root).await;
    assert_eq!(events(&ada, "kind=sign_in_failed").await.len(), 0);
    assert_eq!(events(&root, "kind=sign_in_failed").await.len(), 1);
}

#[tokio::test]
async fn actors_outside_the_organization_cannot_be_searched() {
    let portal = Portal::start().await;
    let ada = portal.admin("ada", "Northgate").await;
    let nora = portal.member("nora", "Northgate").await;
    let root = portal.system_admin("root").await;
    let chrome = portal.browser(CHROME).signed_in(&nora).await;
    let root_browser = portal.browser(CHROME).signed_in(&root).await;
    let body = json!({ "ids": [chrome.session()] });
    root_browser
        .post("/api/v1/admin/sessions/revoke")
        .json(&body)
        .await
        .expect(200);
    let ada = portal.browser(CHROME).signed_in(&ada).await;
    assert_eq!(events(&ada, "kind=session_ended&person=nora").await.len(), 1);
    for name in ["root", "root%40broker", &root.id.to_string()] {
        assert_eq!(
            events(&ada, &format!("kind=session_ended&actor={name}"))
                .await
                .len(),
            0,
            "{name}"
        );
    }
}

/// A row's own time, as the log writes it and in another notation.
#[tokio::test]
async fn filter_accepts_the_logs_times() {
    let portal = Portal::start().await;
    let ada = portal.system_admin("ada").await;
    let admin = portal.browser(CHROME).signed_in(&ada).await;
    portal
        .advance(std::time::Duration::from_micros(3_600_123_456))
        .await;
    portal.browser(CHROME).try_sign_in(&ada.email, "wrong").await;
    let failed = events(&admin, "kind=sign_in_failed").await;
    let at = failed[0]["at"].as_str().expect("a time").to_owned();
    assert!(at.ends_with("123456Z"), "{at}");
    let time: chrono::DateTime<chrono::FixedOffset> = at.parse().expect("a time");
    let in_berlin = time.with_timezone(&chrono::FixedOffset::east_opt(3600).expect("an offset"));
    for text in [at.clone(), in_berlin.to_rfc3339()] {
        for since in [text.clone(), domain::query::encode_query_value(&text)] {
            for (query, rows) in [
                (format!("since={since}&kind=sign_in_failed"), 1),
                (format!("until={since}&kind=sign_in_failed"), 0),
                (format!("since={since}&until={since}&kind=sign_in_failed"), 0),
            ] {
                assert_eq!(events(&admin, &query).await.len(), rows, "{query}");
                let page = format!("/dashboard/admin/audit?{query}");
                let html = admin.get_text(&page).await;
                assert!(!html.contains("is not understood"), "{query}: {html}");
                assert_eq!(html.contains("<tbody>"), rows > 0, "{query}");
                // The link on the page selects the same rows, to the microsecond.
                let (_, link) = html.split_once("/api/v1/admin/audit.jsonl?").expect("a link");
                let link = link.split('"').next().expect("its end").replace("&amp;", "&");
                let lines = admin.get_text(&format!("/api/v1/admin/audit.jsonl?{link}")).await;
                assert_eq!(lines.lines().count(), rows, "{link}");
            }
        }
    }
}

#[tokio::test]
async fn unreadable_filter_is_named_by_its_label() {
    let portal = Portal::start().await;
    let root = portal.system_admin("root").await;
    let root = portal.browser(CHROME).signed_in(&root).await;
    for (query, label) in [
        ("address=home", "From address"),
        ("since=yesterday", "Since (UTC)"),
        ("until=2026-13-01", "Until (UTC)"),
    ] {
        let html = root.get_text(&format!("/dashboard/admin/audit?{query}")).await;
        let html = html.replace("<!>", "");
        assert!(html.contains(&format!("“{label}” is not understood.")), "{html}");
        assert!(html.contains(&format!(">{label}</label>")), "{html}");
        // Its export would be of the whole log.
        assert!(!html.contains("audit.jsonl"), "{html}");
        // The field keeps its value and names its error.
        let (field, value) = query.split_once('=').expect("a field");
        let (_, input) = html
            .split_once(&format!("id=\"filter-{field}\""))
            .expect("its input");
        let (input, _) = input.split_once('>').expect("its end");
        assert!(input.contains(&format!("value=\"{value}\"")), "{input}");
        assert!(input.contains("aria-invalid=\"true\""), "{input}");
        let error = format!("filter-{field}-problem");
        assert!(
            input.contains(&format!("aria-describedby=\"{error}\"")),
            "{input}"
        );
        assert!(html.contains(&format!("id=\"{error}\"")), "{html}");
    }
}

#[tokio::test]
async fn since_after_until_is_rejected() {
    let portal = Portal::start().await;
    let ada = portal.system_admin("ada").await;
    let admin = portal.browser(CHROME).signed_in(&ada).await;
    for query in [
        "since=2026-11-21&until=2026-11-20",
        "since=2026-11-20T17:42:03.000001Z&until=2026-11-20T17:42:03Z",
        "since=2026-11-20T17:42:03-01:00&until=2026-11-20T17:42:03Z",
    ] {
        for path in ["audit", "audit.jsonl"] {
            let response = admin
                .get(&format!("/api/v1/admin/{path}?{query}"))
                .await
                .expect(422);
            let problem = response.json();
            assert_eq!(problem["field"], "since", "{query}");
            assert!(
                problem["detail"].as_str().expect("words").contains("until"),
                "{problem}"
            );
        }
        let html = admin.get_text(&format!("/dashboard/admin/audit?{query}")).await;
        assert!(
            html.contains("later than “until”") && !html.contains("<tbody>"),
            "{html}"
        );
    }
}
