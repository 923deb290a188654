//! `/readyz`.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use crate::harness::*;

#[tokio::test]
async fn hung_job_fails_readiness_by_name() {
    let portal = Portal::start().await;
    let _listening = portal.start_listener().await;
    portal.anonymous().get("/readyz").await.expect(200);
    let jobs = portal.state.jobs.clone();
    let hanging = tokio::spawn(async move { jobs.round("activity", Duration::ZERO, pending::<()>()).await });
    let reported = async {
        while portal.state.jobs.hung().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let reported = tokio::time::timeout(Duration::from_secs(10), reported).await;
    reported.expect("a hung job is reported");
    let ready = portal.anonymous().get("/readyz").await.expect(503).json();
    let checks = ready["checks"].as_array().expect("checks");
    let jobs = checks
        .iter()
        .find(|check| check["name"] == "jobs")
        .expect("a check");
    let problem = jobs["problem"].as_str().expect("a problem");
    assert!(problem.starts_with("activity has not finished"), "{problem}");
    hanging.abort();
}

#[tokio::test]
async fn readiness_waits_for_no_locked_table() {
    let portal = Portal::start().await;
    let mut locking = portal.sql.begin().await.expect("a transaction");
    // With the lock timeout alone each check would wait for five seconds.
    sqlx::query("LOCK TABLE _sqlx_migrations, job_runs IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *locking)
        .await
        .expect("locked");
    let began = Instant::now();
    let ready = portal.anonymous().get("/readyz").await.expect(503).json();
    let taken = began.elapsed();
    assert_eq!(ready["checks"][0]["ok"], true, "{ready}");
    assert_eq!(ready["checks"][1]["problem"], "not known", "{ready}");
    assert!(taken < Duration::from_secs(6), "{taken:?}");
}
