//! Metrics: each action changes only its own counters, on its own node, without personal data.

use std::{collections::BTreeSet, time::Duration};

use axum::http::Method;
use broker_portal::server::{
    database::Database,
    jobs::health_check,
    services::{cleanup, revoke},
    store::{audit::Actor, sessions::EndFilter, users},
};
use chrono::TimeDelta;

use crate::harness::*;

const EVENTS: &str = "/api/v1/session/events";

/// One scrape of `/metrics`.
struct Scrape(String);

impl Scrape {
    async fn fetch(client: &Client) -> Self {
        Self(client.get_text("/metrics").await)
    }

    /// Returns the value of a series, 0 if it is missing. `series` lacks the prefix `broker_portal_`.
    fn value(&self, series: &str) -> f64 {
        let line = self.0.lines().find_map(|line| {
            let (name, value) = line.strip_prefix("broker_portal_")?.rsplit_once(' ')?;
            (name == series).then(|| value.parse().expect("a number"))
        });
        line.unwrap_or_default()
    }

    /// Returns the series that increased since an earlier scrape, with their increase.
    fn increases_since(&self, before: &Scrape) -> Vec<(String, f64)> {
        let increases = self.0.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("broker_portal_")?.rsplit_once(' ')?;
            let increase = value.parse::<f64>().expect("a number") - before.value(name);
            (increase > 0.0).then(|| (name.to_owned(), increase))
        });
        increases.collect()
    }

    /// Returns the names of the metrics.
    fn names(&self) -> BTreeSet<String> {
        let types = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types
            .map(|line| line.split(' ').next().expect("a name").to_owned())
            .collect()
    }

    /// Returns the names of all series; a histogram has `_bucket`, `_sum` and `_count`.
    fn series_names(&self) -> BTreeSet<String> {
        let types = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names = types.flat_map(|line| {
            let (name, kind) = line.split_once(' ').expect("a name and a type");
            let suffixes: &[&str] = if kind == "histogram" {
                &["_bucket", "_sum", "_count"]
            } else {
                &[""]
            };
            suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
        });
        names.collect()
    }
}

/// Runs an action and returns the increased series of these metrics.
async fn increases_during(
    portal: &Portal,
    families: &[&str],
    action: impl AsyncFnOnce(),
) -> Vec<(String, f64)> {
    let before = Scrape::fetch(&portal.anonymous()).await;
    action().await;
    let after = Scrape::fetch(&portal.anonymous()).await;
    let of_families = |name: &str| {
        families
            .iter()
            .any(|family| name.split('{').next() == Some(*family))
    };
    after
        .increases_since(&before)
        .into_iter()
        .filter(|(name, _)| of_families(name))
        .collect()
}

fn once(series: &str) -> Vec<(String, f64)> {
    vec![(series.to_owned(), 1.0)]
}

const EVENT_COUNTERS: [&str; 4] = [
    "sign_ins_total",
    "refreshes_total",
    "sessions_ended_total",
    "cleanup_runs_total",
];

#[tokio::test]
async fn every_action_increments_only_its_counter() {
    let portal = Portal::with(&[("PORTAL_SIGN_IN_ATTEMPTS", "1")]).await;
    let maria = portal.broker("maria").await;
    let (chrome, mac) = (portal.browser(CHROME), portal.desktop("mac"));

    let signed_in = || once(r#"sign_ins_total{outcome="signed_in"}"#);
    for client in [&chrome, &mac] {
        let increases = increases_during(&portal, &EVENT_COUNTERS, async || {
            client.clone().signed_in(&maria).await;
        });
        assert_eq!(increases.await, signed_in());
    }
    let stranger = portal.browser(FIREFOX).at("203.0.113.9");
    for (status, outcome) in [(401, "refused"), (429, "throttled")] {
        let increases = increases_during(&portal, &EVENT_COUNTERS, async || {
            stranger.try_sign_in(&maria.email, "wrong").await.expect(status);
        });
        assert_eq!(
            increases.await,
            once(&format!(r#"sign_ins_total{{outcome="{outcome}"}}"#))
        );
    }

    let first = mac.refresh_token();
    let refreshed = |outcome: &str| once(&format!(r#"refreshes_total{{outcome="{outcome}"}}"#));
    for outcome in ["exchanged", "repeated"] {
        let increases = increases_during(&portal, &EVENT_COUNTERS, async || {
            let response = mac.exchange(&first).await.expect(200);
            mac.take_tokens(&response);
        });
        assert_eq!(increases.await, refreshed(outcome));
    }
    let increases = increases_during(&portal, &EVENT_COUNTERS, async || {
        mac.exchange("AAAAAAAAAAAAAAAAAAAAAA").await.expect(401);
    });
    assert_eq!(increases.await, refreshed("refused"));
    mac.refresh().await.expect(200);
    let increases = increases_during(&portal, &EVENT_COUNTERS, async || {
        mac.exchange(&first).await.expect(401);
    });
    let mut reused = refreshed("reused");
    reused.extend(once(r#"sessions_ended_total{reason="token_reuse"}"#));
    assert_eq!(increases.await, reused);

    let increases = increases_during(&portal, &EVENT_COUNTERS, async || {
        chrome.revoke_scope("all").await;
    });
    assert_eq!(
        increases.await,
        once(r#"sessions_ended_total{reason="signed_out_everywhere"}"#)
    );
}

#[tokio::test]
async fn ended_sessions_count_only_after_commit() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    portal.browser(CHROME).signed_in(&maria).await;
    let end = async |commit: bool| {
        let mut tx = portal.state.database.begin().await.expect("a transaction");
        users::lock(&mut tx, maria.id).await.expect("locked");
        let filter = EndFilter::All(maria.id);
        let (reason, actor) = (EndReason::RevokedByAdmin, Actor::default());
        let ended = revoke::revoke_matching(&mut tx, filter, reason, None, actor, portal.now()).await;
        assert_eq!(ended.expect("ended").len(), 1);
        if commit {
            tx.commit().await.expect("committed");
        }
    };
    let increases = increases_during(&portal, &EVENT_COUNTERS, async || end(false).await).await;
    assert_eq!(increases, []);
    let increases = increases_during(&portal, &EVENT_COUNTERS, async || end(true).await).await;
    assert_eq!(
        increases,
        once(r#"sessions_ended_total{reason="revoked_by_admin"}"#)
    );
}

#[tokio::test]
async fn credential_checks_are_counted_by_result() {
    let (portal, _, chrome) = Portal::with_browser().await;
    let replica = chrome.duplicate();
    let invented = portal.desktop("mac");
    invented.set_access_token("AAAAAAAAAAAAAAAAAAAAAA");
    let check = async |client: &Client, status: u16, outcome: &str| {
        let increases = increases_during(&portal, &["session_checks_total"], async || {
            client.get("/api/v1/session_state").await.expect(status);
        });
        assert_eq!(
            increases.await,
            once(&format!(r#"session_checks_total{{outcome="{outcome}"}}"#))
        );
    };
    check(&chrome, 200, "live").await;
    check(&portal.anonymous(), 401, "anonymous").await;
    check(&invented, 401, "unknown").await;
    chrome.revoke_scope("current").await;
    check(&replica, 401, "ended").await;
}

#[tokio::test]
async fn requests_are_counted_by_route_pattern() {
    let (portal, _, chrome) = Portal::with_browser().await;
    let families = ["http_requests_total", "http_request_duration_seconds_count"];
    let request = async |method: &str, path: &str, pattern: &str, status: u16| {
        let known = Method::from_bytes(method.as_bytes()).expect("a method");
        let increases = increases_during(&portal, &families, async || {
            chrome.call(known, path).await.expect(status);
        });
        let method = if method == "BREW" { "other" } else { method };
        let labels = format!(r#"method="{method}",route="{pattern}""#);
        let expected = [
            (format!("http_request_duration_seconds_count{{{labels}}}"), 1.0),
            (
                format!(r#"http_requests_total{{{labels},status="{status}"}}"#),
                1.0,
            ),
        ];
        // The scrape before was counted in between.
        let increases: Vec<_> = increases.await;
        let increases: Vec<_> = increases
            .into_iter()
            .filter(|(name, _)| !name.contains(r#"route="/metrics""#))
            .collect();
        assert_eq!(increases, expected);
    };
    let one = format!("/api/v1/sessions/{}", uuid::Uuid::new_v4());
    request("DELETE", &one, "/api/v1/sessions/{id}", 404).await;
    request("GET", "/dashboard/settings", "/dashboard/settings", 200).await;
    request("GET", "/nowhere/maria@broker.example", "other", 404).await;
    request("GET", "/robots.txt?x=1", "/robots.txt", 200).await;
    request("BREW", "/healthz", "/healthz", 405).await;
    let pkg = chrome.get("/pkg/nothing-here.js").await.expect(404);
    assert!(
        !Scrape::fetch(&chrome).await.0.contains("nothing-here"),
        "{pkg:?}"
    );
}

#[tokio::test]
async fn revocation_and_stream_close_count_per_node() {
    let portal = Portal::start().await;
    let node = portal.second_node().await;
    let _listening = (portal.start_listener().await, node.start_listener().await);
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await.via(&node.router);
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let streams = [mac.get(EVENTS).stream().await, mac.get(EVENTS).stream().await];
    let (here, there) = (portal.anonymous(), portal.anonymous().via(&node.router));
    assert_eq!(Scrape::fetch(&here).await.value("open_streams"), 0.0);
    assert_eq!(Scrape::fetch(&there).await.value("open_streams"), 2.0);

    chrome.revoke_scope("others").await;
    let closed = "session_end_to_streams_closed_seconds_count";
    let [first, last] = streams;
    first.until_closed().await;
    // The other stream is not read yet, so it is not closed.
    assert_eq!(Scrape::fetch(&there).await.value(closed), 0.0);
    last.until_closed().await;
    let (here, there) = (Scrape::fetch(&here).await, Scrape::fetch(&there).await);
    let ended = r#"sessions_ended_total{reason="revoked"}"#;
    assert_eq!((here.value(ended), there.value(ended)), (1.0, 0.0));
    // Once per session, with its last stream.
    assert_eq!((here.value(closed), there.value(closed)), (0.0, 1.0));
    assert!(there.value("event_age_seconds_count") >= 2.0, "{}", there.0);
    assert_eq!(there.value("open_streams"), 0.0);
}

#[tokio::test]
async fn event_age_uses_the_portals_clock() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let listening = portal.start_listener().await;
    let stream = mac.get(EVENTS).stream().await;
    drop(listening);
    chrome.revoke_scope("others").await;
    // The listener was disconnected and reads the event forty seconds late.
    portal.advance(seconds(40)).await;
    let mut position = broker_portal::server::realtime::listener::LogPosition::after(0);
    let state = &portal.state;
    position
        .deliver_new(&state.database, &state.clock, &state.hub)
        .await
        .expect("read");
    stream.until_closed().await;
    let scrape = Scrape::fetch(&portal.anonymous()).await;
    for name in ["event_age_seconds", "session_end_to_streams_closed_seconds"] {
        let within = |limit: &str| scrape.value(&format!(r#"{name}_bucket{{le="{limit}"}}"#));
        assert_eq!(within("15"), 0.0, "{}", scrape.0);
        assert!(within("60") >= 1.0, "{}", scrape.0);
    }
}

#[tokio::test]
async fn scrape_reports_database_outage() {
    let portal = Portal::start().await;
    let _listening = portal.start_listener().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    health_check::update_metrics(&portal.state).await;
    let scrape = Scrape::fetch(&portal.anonymous()).await;
    for check in ["database", "migrations", "listener", "cleanup", "audit_seal"] {
        assert_eq!(
            scrape.value(&format!(r#"check_ok{{check="{check}"}}"#)),
            1.0,
            "{check}"
        );
    }
    assert_eq!(scrape.value("ready"), 1.0);
    assert!(scrape.value("database_connection_wait_seconds_count") > 0.0);
    assert_eq!(scrape.value("database_connections_max"), 16.0);
    // A connection becomes idle shortly after its response.
    let idle = async || {
        let scrape = Scrape::fetch(&portal.anonymous()).await;
        scrape.value(r#"database_connections{state="idle"}"#) >= 1.0
    };
    tokio::time::timeout(Duration::from_secs(20), async { while !idle().await {} })
        .await
        .expect("an idle connection");

    let outage = portal.disconnect_database().await;
    let before = Scrape::fetch(&portal.anonymous()).await;
    // The first requests get broken connections.
    for _ in 0..Database::MAX_CONNECTIONS {
        chrome.get("/api/v1/session_state").await.expect(503);
    }
    let increases = Scrape::fetch(&portal.anonymous()).await.increases_since(&before);
    let by = |series: &str| {
        increases
            .iter()
            .find(|(name, _)| name == series)
            .map(|(_, by)| *by)
    };
    assert_eq!(
        by(r#"session_checks_total{outcome="unavailable"}"#),
        Some(16.0),
        "{increases:?}"
    );
    assert!(
        by(r#"database_connection_failures_total{reason="unreachable"}"#) >= Some(1.0),
        "{increases:?}"
    );
    health_check::update_metrics(&portal.state).await;
    let scrape = Scrape::fetch(&portal.anonymous()).await;
    assert_eq!(scrape.value("ready"), 0.0);
    assert_eq!(scrape.value(r#"check_ok{check="database"}"#), 0.0);
    outage.end().await;
}

#[tokio::test]
async fn delayed_jobs_are_reported_but_keep_readiness() {
    let portal = Portal::start().await;
    let _listening = portal.start_listener().await;
    let maria = portal.broker("maria").await;
    portal.browser(CHROME).signed_in(&maria).await;
    portal.seal().await;
    let retention = TimeDelta::days(30);
    let clean_up = async || {
        let (database, clock) = (&portal.state.database, &portal.clock);
        cleanup::run_unless_recent(database, clock, retention, TimeDelta::zero()).await
    };
    clean_up().await.expect("cleaned up").expect("our turn");
    let look = async || {
        health_check::update_metrics(&portal.state).await;
        let ready = portal.anonymous().get_json("/readyz").await;
        assert_eq!(ready["ready"], true);
        let checks = ready["checks"].as_array().expect("checks").clone();
        let wrong: Vec<_> = checks
            .iter()
            .filter(|check| check["ok"] == false)
            .map(|check| {
                assert_eq!(check["required"], false, "{check}");
                assert!(check["problem"].as_str().is_some_and(|line| !line.contains('\n')));
                check["name"].as_str().expect("a name").to_owned()
            })
            .collect();
        (wrong, Scrape::fetch(&portal.anonymous()).await)
    };
    let (wrong, scrape) = look().await;
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(scrape.value("cleanup_last_finished_age_seconds"), 0.0);

    portal.broker("jonas").await;
    portal.browser(FIREFOX).fail_to_sign_in(&maria.email).await;
    portal.advance(seconds(61)).await;
    let (wrong, scrape) = look().await;
    assert_eq!(wrong, ["audit_seal"]);
    assert!(scrape.value("audit_unsealed_rows") >= 1.0);
    assert_eq!(scrape.value("audit_unsealed_age_seconds"), 61.0);
    portal.seal().await;

    portal.advance(seconds(7200)).await;
    let (wrong, scrape) = look().await;
    assert_eq!(wrong, ["cleanup"]);
    assert_eq!(scrape.value("cleanup_last_finished_age_seconds"), 7261.0);
    assert_eq!(scrape.value("audit_unsealed_rows"), 0.0);
    assert_eq!(scrape.value(r#"check_ok{check="cleanup"}"#), 0.0);

    // An interrupted run does not hide it.
    portal
        .tamper("UPDATE job_runs SET started_at = started_at + interval '7261 seconds' WHERE job = 'cleanup'")
        .await;
    assert_eq!(look().await.0, ["cleanup"]);
    clean_up().await.expect("cleaned up").expect("our turn");
    assert_eq!(look().await.0, Vec::<String>::new());
}

#[tokio::test]
async fn health_command_prints_the_readiness_checks() {
    let portal = Portal::start().await;
    let (well, lines, _) = portal.run(&["health"]).await;
    assert!(well, "{lines}");
    assert_eq!(
        lines,
        "database: ok\nmigrations: ok\nlistener: warning: no server listens to this database\ncleanup: ok\n\
         audit_seal: ok\n"
    );
    let _listening = portal.start_listener().await;
    let (well, lines, _) = portal.run(&["health"]).await;
    assert!(well && lines.contains("listener: ok\n"), "{lines}");

    let day = "INSERT INTO job_runs (job, started_at, finished_at) SELECT 'cleanup', day, day
        FROM (SELECT now() - interval '1 day' AS day) AS yesterday";
    portal.execute(day).await;
    let (well, lines, _) = portal.run(&["health"]).await;
    assert!(
        well && lines.contains("cleanup: warning: the last clean-up finished 864"),
        "{lines}"
    );

    portal
        .tamper("DELETE FROM _sqlx_migrations WHERE version = 3")
        .await;
    let (well, lines, errors) = portal.run(&["health"]).await;
    assert!(
        !well && lines.contains("migrations: 1 not applied; run `broker-portal migrate`\n"),
        "{lines}"
    );
    assert_eq!(errors, "broker-portal: not ready\n");
}

#[tokio::test]
async fn scrape_is_uncached_and_needs_no_database() {
    let portal = Portal::start().await;
    let (statements, response) = portal
        .statements_of(async { portal.browser(CHROME).get("/metrics").await.expect(200) })
        .await;
    assert_eq!(statements, 0);
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.all("set-cookie"), Vec::<&str>::new());
    for line in response.body.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a series and a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap_or_default();
        assert!(
            name.strip_prefix("broker_portal_")
                .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')),
            "{line}"
        );
    }
    let version = format!(r#"build_info{{version="{}"}}"#, env!("CARGO_PKG_VERSION"));
    assert_eq!(Scrape(response.body).value(&version), 1.0);
}

/// Exercises every metric.
async fn busy(portal: &Portal) -> (Scrape, Vec<String>) {
    let _listening = portal.start_listener().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).at("203.0.113.77").signed_in(&maria).await;
    let mac = portal.desktop("mac-of-maria").signed_in(&maria).await;
    let mut seen = vec![
        maria.email.clone(),
        maria.id.to_string(),
        "203.0.113.77".to_owned(),
        "198.51.100.7".to_owned(),
        "mac-of-maria".to_owned(),
        chrome.session().to_string(),
        mac.session().to_string(),
        chrome.cookie().expect("a cookie"),
        mac.access_token(),
        mac.refresh_token(),
    ];
    let stream = mac.get(EVENTS).stream().await;
    chrome
        .get("/dashboard?next=maria@broker.example")
        .await
        .expect(200);
    chrome.get("/dashboard/settings").await.expect(200);
    chrome
        .get(&format!("/nowhere/{}/maria@broker.example", mac.session()))
        .await
        .expect(404);
    chrome
        .get(&format!("/pkg/{}/maria@broker.example", mac.session()))
        .await
        .expect(404);
    portal
        .browser(FIREFOX)
        .fail_to_sign_in("nobody@broker.example")
        .await;
    mac.refresh().await.expect(200);
    seen.push(mac.access_token());
    chrome.revoke(mac.session()).await;
    stream.until_closed().await;
    let unknown_method = Method::from_bytes(b"MARIA").expect("a method");
    chrome.call(unknown_method, "/dashboard").await;
    health_check::update_metrics(&portal.state).await;
    (Scrape::fetch(&portal.anonymous()).await, seen)
}

#[tokio::test]
async fn metrics_contain_no_personal_data() {
    let portal = Portal::start().await;
    let (scrape, seen) = busy(&portal).await;
    for trace in seen {
        assert!(!scrape.0.contains(&trace), "{trace} stands in\n{}", scrape.0);
    }
    let text = scrape.0.to_lowercase();
    for trace in ["@", "maria", "broker.example", "198.51", "203.0.113", "?"] {
        assert!(!text.contains(trace), "{trace} stands in\n{text}");
    }
    // No ids: labels are words, patterns, statuses and bounds.
    for label in text.split('"').skip(1).step_by(2) {
        let hexadecimal = label.bytes().filter(u8::is_ascii_hexdigit).count();
        assert!(
            uuid::Uuid::parse_str(label).is_err() && (label.contains('/') || hexadecimal < 16),
            "{label}"
        );
        assert!(label.bytes().filter(u8::is_ascii_digit).count() <= 5, "{label}");
    }
}

#[tokio::test]
async fn metric_names_have_units_and_are_documented() {
    let portal = Portal::start().await;
    let (scrape, _) = busy(&portal).await;
    // For `scripts/check-operations.sh`, which validates them with promtool.
    let said = concat!(env!("CARGO_TARGET_TMPDIR"), "/metrics.txt");
    std::fs::write(said, &scrape.0).expect("written");
    let units = [
        "_total",
        "_seconds",
        "_info",
        "_rows",
        "_sessions",
        "_streams",
        "_connections",
        "_connections_max",
    ];
    for name in scrape.names() {
        let is_yes_or_no = ["broker_portal_ready", "broker_portal_check_ok"].contains(&&*name);
        assert!(
            is_yes_or_no || units.iter().any(|unit| name.ends_with(unit)),
            "{name}"
        );
        assert!(scrape.0.contains(&format!("# HELP {name} ")), "{name}");
    }
    let documented: BTreeSet<String> = include_str!("../../docs/operations/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split(['`', '{']).next())
        .filter(|name| name.starts_with("broker_portal_"))
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, scrape.names());
}

#[tokio::test]
async fn dashboard_and_alerts_use_existing_metrics() {
    let portal = Portal::start().await;
    let offered = busy(&portal).await.0.series_names();
    let dashboard: Value =
        serde_json::from_str(include_str!("../../docs/operations/grafana-dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let queries: Vec<&str> = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten()
        .map(|target| target["expr"].as_str().expect("a query"))
        .collect();
    let rules = include_str!("../../docs/operations/prometheus-rules.yml");
    for (name, text) in [("dashboard", &*queries.join("\n")), ("rules", rules)] {
        let asked: BTreeSet<String> = text
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with("broker_portal_"))
            .map(str::to_owned)
            .collect();
        let missing: Vec<_> = asked.difference(&offered).collect();
        assert!(missing.is_empty(), "{name} asks for {missing:?}");
        assert!(asked.len() > 10, "{name} asks for {asked:?} only");
    }
}
