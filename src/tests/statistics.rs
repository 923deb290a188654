//! Statistics by hour and day, for the portal and for an organization.

use domain::{
    ids::OrganizationId,
    statistics::{Chart, Period, Statistics},
};

use broker_portal::server::{jobs::samples, services::statistics};
use uuid::Uuid;

use crate::harness::*;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

async fn figures(portal: &Portal, period: Period) -> Statistics {
    statistics::load_statistics(&portal.state.database, period, None, portal.now())
        .await
        .expect("figures")
}

async fn figures_of(portal: &Portal, period: Period, organization: &str) -> Statistics {
    let id: Uuid = sqlx::query_scalar("SELECT id FROM organizations WHERE name = $1")
        .bind(organization)
        .fetch_one(&portal.sql)
        .await
        .expect("an organization");
    let scope = Some(OrganizationId(id));
    statistics::load_statistics(&portal.state.database, period, scope, portal.now())
        .await
        .expect("figures")
}

/// Returns the last points of each line of a chart, in order.
fn ends(chart: &Chart, points: usize) -> Vec<(&str, Vec<Option<f64>>)> {
    let end = |values: Vec<Option<f64>>| values[values.len() - points..].to_vec();
    let series = chart.series.iter().map(|series| {
        let values = series.points.iter().map(|point| point.value).collect();
        (&*series.name, end(values))
    });
    series.collect()
}

async fn sample(portal: &Portal) -> bool {
    samples::once(&portal.state.database, &portal.clock)
        .await
        .expect("counted")
}

/// Advances to the middle of a step, so that the test stays within it.
async fn to_the_middle(portal: &Portal, step: u64) {
    let into = u64::try_from(portal.now().timestamp()).expect("after 1970") % step;
    portal.advance(seconds((step + step / 2 - into) % step)).await;
}

#[tokio::test]
async fn live_sessions_come_from_the_hours_last_sample() {
    let portal = Portal::start().await;
    to_the_middle(&portal, HOUR).await;
    let maria = portal.broker("maria").await;
    let admin = portal.user("admin").role(Role::Admin).create().await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    portal.desktop("mac").signed_in(&maria).await;
    assert!(sample(&portal).await);
    portal.browser(FIREFOX).signed_in(&maria).await;
    portal.browser(SAFARI).signed_in(&admin).await;
    assert!(!sample(&portal).await, "another node has just counted");
    portal.advance(seconds(300)).await;
    assert!(sample(&portal).await);
    // An hour without a sample.
    portal.advance(seconds(2 * HOUR)).await;
    chrome.sign_out().await;
    assert!(sample(&portal).await);
    let statistics = figures(&portal, Period::Day).await;
    assert_eq!(
        ends(&statistics.live_sessions, 4),
        [
            ("broker_browser", vec![None, Some(2.0), None, Some(1.0)]),
            ("broker_desktop", vec![None, Some(1.0), None, Some(1.0)]),
            ("admin_browser", vec![None, Some(1.0), None, Some(1.0)]),
        ]
    );
    assert_eq!(statistics.live_sessions.series[1].label, "Broker, desktop");
    assert_eq!(statistics.live_sessions.series[0].points.len(), 24);

    // All have expired, and none is recorded.
    portal.advance(seconds(2 * DAY)).await;
    assert!(sample(&portal).await);
    let statistics = figures(&portal, Period::Month).await;
    let of_admin = &ends(&statistics.live_sessions, 3)[2];
    assert_eq!(*of_admin, ("admin_browser", vec![Some(1.0), None, Some(0.0)]));
    assert_eq!(statistics.live_sessions.series[0].points.len(), 30);
}

#[tokio::test]
async fn organization_sees_its_members_by_their_role_there() {
    let portal = Portal::start().await;
    to_the_middle(&portal, HOUR).await;
    let maria = portal.member("maria", "Northgate").await;
    let admin = portal.admin("admin", "Northgate").await;
    let jonas = portal.member("jonas", "Harbour").await;
    let aiko = portal.broker("aiko").await;
    for person in [&jonas, &aiko] {
        portal.browser(CHROME).signed_in(person).await;
        portal.browser(CHROME).fail_to_sign_in(&person.email).await;
    }
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    portal.browser(SAFARI).signed_in(&admin).await;
    portal.browser(CHROME).fail_to_sign_in(&maria.email).await;
    portal.advance(seconds(HOUR)).await;
    chrome.sign_out().await;
    mac.refresh().await.expect(200);
    portal.advance(seconds(HOUR)).await;

    let statistics = figures_of(&portal, Period::Day, "Northgate").await;
    assert_eq!(
        ends(&statistics.live_sessions, 4),
        [
            ("broker_browser", vec![Some(0.0), Some(1.0), Some(0.0), Some(0.0)]),
            ("broker_desktop", vec![Some(0.0), Some(1.0), Some(1.0), Some(1.0)]),
            ("admin_browser", vec![Some(0.0), Some(1.0), Some(1.0), Some(1.0)]),
        ]
    );
    assert_eq!(
        ends(&statistics.sign_ins, 3),
        [
            ("succeeded", vec![Some(3.0), Some(0.0), Some(0.0)]),
            ("failed", vec![Some(1.0), Some(0.0), Some(0.0)])
        ]
    );
    assert_eq!(
        ends(&statistics.ended_sessions, 3),
        [("signed_out", vec![Some(0.0), Some(1.0), Some(0.0)])]
    );
    assert_eq!(
        ends(&statistics.session_length, 3),
        [
            ("average", vec![None, Some(3600.0), None]),
            ("median", vec![None, Some(3600.0), None])
        ]
    );
    assert!(
        statistics.refreshes.is_none()
            && statistics.revocation.is_none()
            && statistics.open_alerts.is_empty()
    );

    // The administrator's session has expired unnoticed.
    portal.advance(seconds(4 * HOUR)).await;
    let statistics = figures_of(&portal, Period::Day, "Northgate").await;
    let of_admin = &ends(&statistics.live_sessions, 5)[2];
    assert_eq!(
        of_admin.1,
        [Some(1.0), Some(1.0), Some(0.0), Some(0.0), Some(0.0)]
    );
    let harbour = figures_of(&portal, Period::Month, "Harbour").await;
    let succeeded: f64 = harbour.sign_ins.series[0]
        .points
        .iter()
        .filter_map(|point| point.value)
        .sum();
    assert!((succeeded - 1.0).abs() < f64::EPSILON, "{harbour:?}");
}

#[tokio::test]
async fn samples_agree_with_the_sessions_table() {
    let portal = Portal::start().await;
    to_the_middle(&portal, HOUR).await;
    let roles = [Role::Broker, Role::Admin, Role::Guest];
    let mut people = Vec::new();
    for (number, role) in roles.into_iter().enumerate() {
        let person = portal
            .user(&format!("person{number}"))
            .role(role)
            .member_of("Northgate");
        people.push(person.create().await);
    }
    for hour in 0..20 {
        let person = &people[hour % 3];
        let client = portal.browser(CHROME).signed_in(person).await;
        if hour % 4 == 0 {
            portal.advance(seconds(60)).await;
            client.sign_out().await;
        }
        if hour % 7 == 0 {
            portal.clean_up().await;
        }
        assert!(sample(&portal).await);
        portal.advance(seconds(HOUR)).await;
    }
    assert!(sample(&portal).await);
    // Equal for each hour only if nothing changes between the sample and the end of its hour. Expiry does.
    let whole = figures(&portal, Period::Day).await;
    let of_members = figures_of(&portal, Period::Day, "Northgate").await;
    assert_eq!(ends(&whole.live_sessions, 1), ends(&of_members.live_sessions, 1));
    assert_eq!(ends(&whole.sign_ins, 24), ends(&of_members.sign_ins, 24));
    assert_eq!(
        ends(&whole.ended_sessions, 24),
        ends(&of_members.ended_sessions, 24)
    );
    assert_eq!(
        ends(&whole.session_length, 24),
        ends(&of_members.session_length, 24)
    );
}

#[tokio::test]
async fn sign_ins_and_ends_count_in_their_step() {
    let portal = Portal::start().await;
    to_the_middle(&portal, DAY).await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
    portal
        .browser(CHROME)
        .try_sign_in("nobody@broker.example", "not it")
        .await;
    portal.advance(seconds(600)).await;
    chrome.sign_out().await;
    let safari = portal.browser(SAFARI).signed_in(&maria).await;
    portal.advance(seconds(DAY / 2)).await;
    // Both unused for twelve hours.
    portal.clean_up().await;
    assert!(!firefox.is_live().await && !safari.is_live().await);

    let statistics = figures(&portal, Period::Day).await;
    let sum = |chart: &Chart, name: &str| -> f64 {
        let series = chart.series.iter().find(|series| series.name == name);
        let points = series.expect("a line").points.iter();
        points.filter_map(|point| point.value).sum()
    };
    assert_eq!(
        ["succeeded", "failed"].map(|name| sum(&statistics.sign_ins, name)),
        [3.0, 1.0]
    );
    assert_eq!(
        ["signed_out", "idle_timeout"].map(|name| sum(&statistics.ended_sessions, name)),
        [1.0, 2.0]
    );
    assert_eq!(statistics.ended_sessions.series.len(), 2);
    assert_eq!(
        ends(&statistics.session_length, 13),
        [
            ("average", {
                let mut values = vec![None; 13];
                values[0] = Some(600.0);
                values[12] = Some(43_200.0);
                values
            }),
            ("median", {
                let mut values = vec![None; 13];
                values[0] = Some(600.0);
                values[12] = Some(43_200.0);
                values
            }),
        ]
    );

    // Nothing is reported beyond the period.
    portal.advance(seconds(2 * DAY)).await;
    let day = figures(&portal, Period::Day).await;
    assert_eq!(ends(&day.ended_sessions, 1), []);
    assert_eq!(ends(&day.sign_ins, 24)[0].1, vec![Some(0.0); 24]);
    let month = figures(&portal, Period::Month).await;
    assert_eq!(["succeeded"].map(|name| sum(&month.sign_ins, name)), [3.0]);
    assert_eq!(["signed_out"].map(|name| sum(&month.ended_sessions, name)), [1.0]);
}

#[tokio::test]
async fn every_node_writes_refresh_counts_each_minute() {
    let portal = Portal::start().await;
    to_the_middle(&portal, HOUR).await;
    let second = portal.second_node().await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    let there = mac.clone().via(&second.router);
    for _ in 0..3 {
        mac.refresh().await.expect(200);
        there.refresh().await.expect(200);
    }
    mac.exchange("AAAAAAAAAAAAAAAAAAAAAA").await.expect(401);
    assert_eq!(portal.rows("node_minutes").await, 0);
    let database = &portal.state.database;
    for _ in 0..2 {
        portal.state.minutes.flush(database, "a").await.expect("written");
        second.state.minutes.flush(database, "b").await.expect("written");
    }
    // In the same minute, after a flush.
    mac.refresh().await.expect(200);
    portal.state.minutes.flush(database, "a").await.expect("written");
    assert_eq!(portal.rows("node_minutes").await, 2);
    let statistics = figures(&portal, Period::Day).await;
    assert_eq!(
        ends(statistics.refreshes.as_ref().expect("of the portal"), 2),
        [
            ("exchanged", vec![Some(0.0), Some(7.0)]),
            ("refused", vec![Some(0.0), Some(1.0)])
        ]
    );
}

#[tokio::test]
async fn counts_during_an_outage_are_written_later() {
    let portal = Portal::start().await;
    to_the_middle(&portal, HOUR).await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    mac.refresh().await.expect(200);
    let database = &portal.state.database;
    let outage = portal.disconnect_database().await;
    portal
        .state
        .minutes
        .flush(database, "a")
        .await
        .expect_err("the database is gone");
    outage.end().await;
    // The pool may first try broken connections.
    while portal.state.minutes.flush(database, "a").await.is_err() {}
    let statistics = figures(&portal, Period::Day).await;
    let refreshes = statistics.refreshes.expect("of the portal");
    assert_eq!(ends(&refreshes, 1)[0], ("exchanged", vec![Some(1.0)]));
}

#[tokio::test]
async fn slowest_revocation_latency_is_stored() {
    let portal = Portal::start().await;
    to_the_middle(&portal, HOUR).await;
    let _listening = portal.start_listener().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    // For each end: when its streams are notified.
    for (user_agent, told_after) in [(FIREFOX, &[100_u64, 400][..]), (SAFARI, &[50]), (CHROME, &[7, 7])] {
        let ended = portal.browser(user_agent).signed_in(&maria).await;
        let mut streams = Vec::new();
        for _ in told_after {
            streams.push(ended.get("/api/v1/session/events").stream().await);
        }
        let path = format!("/api/v1/sessions/{}", ended.session());
        chrome.delete(&path).await.expect(204);
        let mut passed = 0;
        for (stream, after) in streams.iter_mut().zip(told_after) {
            // The stream is notified when its client reads.
            portal
                .clock
                .advance(std::time::Duration::from_millis(after - passed));
            passed = *after;
            while stream
                .next()
                .await
                .is_some_and(|told| told.kind != "session_ended")
            {}
        }
    }
    let database = &portal.state.database;
    portal.state.minutes.flush(database, "a").await.expect("written");
    let statistics = figures(&portal, Period::Day).await;
    assert_eq!(
        ends(statistics.revocation.as_ref().expect("of the portal"), 2),
        [
            ("median", vec![None, Some(50.0)]),
            ("slowest", vec![None, Some(400.0)])
        ]
    );
}

#[tokio::test]
async fn statistics_are_deleted_after_their_longest_period() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    mac.refresh().await.expect(200);
    let database = &portal.state.database;
    portal.state.minutes.flush(database, "a").await.expect("written");
    assert!(sample(&portal).await);
    portal.advance(seconds(31 * DAY)).await;
    assert!(sample(&portal).await);
    // The minute started before counting did.
    assert!(portal.clean_up().await.figures_deleted <= 1);
    portal.advance(seconds(60)).await;
    portal.clean_up().await;
    // One for each role and kind.
    assert_eq!(
        (
            portal.rows("session_samples").await,
            portal.rows("node_minutes").await
        ),
        (12, 0)
    );
}

#[tokio::test]
async fn reason_of_a_newer_server_keeps_statistics_working() {
    let portal = Portal::start().await;
    to_the_middle(&portal, HOUR).await;
    let maria = portal.broker("maria").await;
    portal.browser(CHROME).signed_in(&maria).await.sign_out().await;
    for statement in [
        "ALTER TABLE sessions DROP CONSTRAINT sessions_end_reason_check",
        "UPDATE sessions SET end_reason = 'from_a_newer_server'",
    ] {
        sqlx::query(statement)
            .execute(&portal.sql)
            .await
            .expect(statement);
    }
    let statistics = figures(&portal, Period::Day).await;
    assert!(statistics.ended_sessions.series.is_empty());
    assert!(!statistics.session_length.series.is_empty());
}
