//! Reports of failed client applications.

use crate::harness::*;

const PATH: &str = "/api/client_failure";

const REPORT: [(&str, &str); 6] = [
    ("stage", "hydration"),
    ("error", "RuntimeError"),
    ("offsets", "wasm-function[12]:0x34ab wasm-function[7]:0x1"),
    ("path", "/dashboard/settings"),
    ("build", "portal.0123456789abcdef.js"),
    ("foreign_nodes", "1"),
];

async fn count(portal: &Portal, stage: &str) -> String {
    let text = portal.anonymous().get_text("/metrics").await;
    let series = format!(r#"broker_portal_client_failures_total{{stage="{stage}"}} "#);
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    line.expect("the series").to_owned()
}

#[tokio::test]
async fn report_is_counted_with_or_without_session() {
    let (portal, _, chrome) = Portal::with_browser().await;
    chrome.post(PATH).form(&REPORT).await.expect(204);
    let stranger = portal.browser(FIREFOX).at("203.0.113.9");
    stranger.post(PATH).form(&REPORT).await.expect(204);
    assert_eq!(count(&portal, "hydration").await, "2");
    assert_eq!(count(&portal, "running").await, "0");
}

#[tokio::test]
async fn failure_report_is_not_activity() {
    let (portal, _, chrome) = Portal::with_browser().await;
    let before = portal.session_row(chrome.session()).await.last_active_at;
    portal.advance(seconds(600)).await;
    chrome.post(PATH).form(&REPORT).await.expect(204);
    portal.write_activity().await;
    assert_eq!(portal.session_row(chrome.session()).await.last_active_at, before);
}

#[tokio::test]
async fn reports_are_refused_when_foreign_malformed_or_long() {
    let portal = Portal::start().await;
    let client = portal.browser(CHROME);
    let foreign = client
        .post(PATH)
        .form(&REPORT)
        .header("sec-fetch-site", "cross-site");
    foreign.await.expect(403);
    client
        .post(PATH)
        .form(&[("stage", "maria@broker.example")])
        .await
        .expect(422);
    client
        .post(PATH)
        .form(&[("error", "RuntimeError")])
        .await
        .expect(422);
    let long = "x".repeat(3000);
    client
        .post(PATH)
        .form(&[("stage", "running"), ("offsets", &long)])
        .await
        .expect(413);
    client.get(PATH).await.expect(405);
    for stage in ["load", "hydration", "running"] {
        assert_eq!(count(&portal, stage).await, "0", "{stage}");
    }
}

#[tokio::test]
async fn too_many_reports_are_counted_but_not_logged() {
    let portal = Portal::start().await;
    let client = portal.browser(CHROME);
    for _ in 0..5 {
        client.post(PATH).form(&REPORT).await.expect(204);
    }
    client.post(PATH).form(&REPORT).await.expect(429);
    portal
        .browser(CHROME)
        .at("203.0.113.9")
        .post(PATH)
        .form(&REPORT)
        .await
        .expect(204);
    assert_eq!(count(&portal, "hydration").await, "6");
    assert_eq!(count(&portal, "not_logged").await, "1");
}

#[tokio::test]
async fn reports_of_one_ipv6_network_share_a_limit() {
    let portal = Portal::start().await;
    let report = async |address: &str| {
        let client = portal.browser(CHROME).at(address);
        client.post(PATH).form(&REPORT).await.status
    };
    for last in 1..=5 {
        assert_eq!(report(&format!("2001:db8::{last}")).await, 204);
    }
    assert_eq!(report("2001:db8::6").await, 429);
    assert_eq!(report("2001:db8:0:1::1").await, 204);
    portal.advance(seconds(60)).await;
    assert_eq!(report("2001:db8::6").await, 204);
}

#[tokio::test]
async fn reports_of_all_addresses_share_a_limit() {
    let portal = Portal::start().await;
    let mut allowed = 0;
    for address in 1..=70 {
        let client = portal.browser(CHROME).at(&format!("203.0.113.{address}"));
        allowed += usize::from(client.post(PATH).form(&REPORT).await.status == 204);
    }
    assert_eq!(allowed, 60);
}

#[tokio::test]
async fn every_page_guards_its_client_application() {
    let (portal, _, chrome) = Portal::with_browser().await;
    for (client, path) in [
        (&portal.browser(FIREFOX), "/login"),
        (&chrome, "/dashboard"),
        (&chrome, "/dashboard/settings"),
    ] {
        let page = client.get_text(path).await;
        let guard = page
            .find("data-client")
            .or(page.find("clientFailed"))
            .expect("the guard");
        let module = page.find(r#"<script type="module""#).expect("the module");
        assert!(guard < module, "{path}: the guard runs first");
        assert!(
            !page.contains("Runs in every page"),
            "{path}: comments are not sent"
        );
    }
}
