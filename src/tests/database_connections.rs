//! Database connections: deadlines, and what a failed request claims about its changes.

use std::time::Duration;

use broker_portal::{error::AppError, server::database::committed_changes};
use tokio::time::timeout;

use crate::harness::*;

/// Connections return to the pool in background tasks.
async fn until_none_in_use(portal: &Portal) {
    let waiting = async {
        while portal.state.database.connections().in_use > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), waiting)
        .await
        .expect("no connection is in use");
}

/// A connection that returned to the pool would stay open.
async fn until_closed(portal: &Portal, pid: i32) {
    let closing = async {
        while sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)")
            .bind(pid)
            .fetch_one(&portal.sql)
            .await
            .expect("pg_stat_activity")
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), closing)
        .await
        .expect("the connection is closed");
}

/// Runs a statement that outlasts its deadline, but ends before the pool would give up waiting for the connection.
async fn sleep_on(portal: &Portal, quick: bool) -> (i32, sqlx::Result<String>) {
    let mut conn = portal.state.database.connection().await.expect("a connection");
    if quick {
        conn = conn.quick();
    }
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut *conn)
        .await
        .expect("a response");
    let seconds = if quick { 5.0 } else { 2.0 };
    let slept = sqlx::query_scalar("SELECT pg_sleep($1)::text")
        .bind(seconds)
        .fetch_one(&mut *conn);
    if quick {
        return (pid, slept.await);
    }
    let slept = timeout(Duration::from_millis(200), slept).await;
    (pid, slept.unwrap_or(Err(sqlx::Error::PoolTimedOut)))
}

#[tokio::test]
async fn cancelled_statement_closes_its_connection() {
    let portal = Portal::start().await;
    let (cancelled, slept) = sleep_on(&portal, false).await;
    assert!(slept.is_err());
    until_none_in_use(&portal).await;
    until_closed(&portal, cancelled).await;
}

#[tokio::test]
async fn missed_deadline_closes_its_connection() {
    let portal = Portal::start().await;
    let (hung, slept) = sleep_on(&portal, true).await;
    assert!(matches!(slept, Err(sqlx::Error::Io(_))), "{slept:?}");
    until_none_in_use(&portal).await;
    until_closed(&portal, hung).await;
}

#[tokio::test]
async fn transaction_with_failed_statement_cannot_commit() {
    let portal = Portal::start().await;
    let mut tx = portal.state.database.begin().await.expect("a transaction");
    assert!(sqlx::query("SELECT 1 / 0").execute(&mut *tx).await.is_err());
    assert!(tx.commit().await.is_err());
    // The connection works, and no transaction is open on it.
    let tx = portal.state.database.begin().await.expect("a transaction");
    tx.commit().await.expect("committed");
}

#[tokio::test]
async fn failure_after_commit_never_claims_no_change() {
    let portal = Portal::start().await;
    let database = &portal.state.database;
    committed_changes::track(async {
        let tx = database.begin().await.expect("a transaction");
        tx.commit_side_record().await.expect("committed");
        assert_eq!(AppError::from(sqlx::Error::PoolTimedOut), AppError::Unavailable);
        let tx = database.begin().await.expect("a transaction");
        tx.commit().await.expect("committed");
        assert_eq!(
            AppError::from(sqlx::Error::PoolTimedOut),
            AppError::OutcomeUnknown
        );
    })
    .await;
    // Another request has changed nothing.
    let other = committed_changes::track(async { AppError::from(sqlx::Error::PoolTimedOut) }).await;
    assert_eq!(other, AppError::Unavailable);
}

#[tokio::test]
async fn idle_jobs_take_no_transaction_number() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let (taken, _) = portal
        .verified_transactions_of(portal.browser(CHROME).signed_in(&maria))
        .await;
    assert!(taken >= 1, "a sign-in is verified");
    portal.seal().await;
    let (taken, sealed) = portal.verified_transactions_of(portal.seal()).await;
    assert_eq!((taken, sealed), (0, 0));

    let database = &portal.state.database;
    let mut tx = database.begin_unverified().await.expect("a transaction");
    let number = sqlx::query_scalar::<_, Option<String>>("SELECT pg_current_xact_id_if_assigned()::text");
    assert_eq!(number.fetch_one(&mut *tx).await.expect("the request task"), None);
    tx.commit().await.expect("committed");
}
