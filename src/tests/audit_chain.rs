//! Sealing of the audit log, and detection of tampering.

use std::{borrow::Cow, net::Ipv4Addr, time::Duration};

use broker_portal::server::{
    jobs::seal::SealAuditLog,
    services::{
        audit_chain,
        audit_verification::{ChainProblem, MAX_LISTED},
        demo,
    },
    store::audit::{self, AuditEvent},
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, Executor as _, PgPool, Row as _};

use crate::harness::*;

/// Creates six sealed rows of three users.
pub(crate) async fn sealed() -> Portal {
    let portal = Portal::start().await;
    for name in ["maria", "jonas", "aiko"] {
        let person = portal.broker(name).await;
        portal.browser(CHROME).signed_in(&person).await;
        portal.advance(seconds(1)).await;
    }
    assert_eq!(portal.seal().await, 6);
    portal
}

pub(crate) fn failure(number: i64) -> AuditEvent<'static> {
    let mut event = AuditEvent::sign_in_failed(Ipv4Addr::LOCALHOST.into(), None, "wrong_password");
    event.detail = json!({ "number": number });
    event
}

#[tokio::test]
async fn rows_are_sealed_in_order_and_verify() {
    let portal = sealed().await;
    let verdict = portal.verify_audit_log(None).await;
    assert_eq!(verdict.problems, []);
    assert_eq!((verdict.sealed, verdict.waiting), (6, 0));
    assert_eq!(
        verdict.span,
        Some((
            portal.now() - TimeDelta::seconds(3),
            portal.now() - TimeDelta::seconds(1)
        ))
    );
    let head = verdict.head.expect("a head");
    assert_eq!(head.position, 6);
    assert_eq!(portal.rows("audit_unsealed").await, 0);
    assert_eq!(portal.seal().await, 0);

    // Later rows do not affect a saved head.
    let stranger = portal.browser(CHROME);
    stranger
        .try_sign_in("nobody@broker.example", "x")
        .await
        .expect(401);
    let verdict = portal.verify_audit_log(Some(head)).await;
    assert_eq!((verdict.problems.len(), verdict.waiting), (0, 1));
    assert_eq!(portal.seal().await, 1);
    let verdict = portal.verify_audit_log(Some(head)).await;
    assert_eq!((verdict.problems, verdict.sealed), (vec![], 7));
    assert_eq!(portal.verify_audit_log(verdict.head).await.problems, []);
}

#[tokio::test]
async fn changes_of_any_column_are_found() {
    let portal = sealed().await;
    let position = 4;
    let id = portal.row_at(position).await;
    // Reads the columns from the schema, so that new ones are covered.
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT column_name::text, data_type::text FROM information_schema.columns
        WHERE table_name = 'audit_events' AND column_name <> 'id'",
    )
    .fetch_all(&portal.sql)
    .await
    .expect("the columns");
    assert_eq!(columns.len(), 10);
    for (column, of_type) in columns {
        let changed = match of_type.as_str() {
            "uuid" => "gen_random_uuid()".to_owned(),
            "inet" => "'192.0.2.77'".to_owned(),
            "text" => "'something else'".to_owned(),
            "jsonb" => format!("{column} || '{{\"a\": null}}'"),
            "timestamp with time zone" => format!("{column} + interval '1 microsecond'"),
            other => panic!("how is a {other} changed?"),
        };
        portal
            .tamper("CREATE TABLE kept AS SELECT * FROM audit_events")
            .await;
        portal
            .tamper(&format!(
                "UPDATE audit_events SET {column} = {changed} WHERE id = {id}"
            ))
            .await;
        assert_eq!(
            portal.audit_problems().await,
            [ChainProblem::RowChanged { id, position }],
            "{column}"
        );
        portal
            .tamper(&format!(
                "UPDATE audit_events e SET {column} = k.{column} FROM kept k WHERE e.id = k.id AND e.id = {id}"
            ))
            .await;
        assert_eq!(portal.audit_problems().await, [], "{column}");
        portal.sql.execute("DROP TABLE kept").await.expect("dropped");
    }
}

#[tokio::test]
async fn removed_row_is_found_with_or_without_entry() {
    let portal = sealed().await;
    let id = portal.row_at(3).await;
    portal
        .tamper(&format!("DELETE FROM audit_events WHERE id = {id}"))
        .await;
    assert_eq!(
        portal.audit_problems().await,
        [ChainProblem::RowRemoved { id, position: 3 }]
    );
    portal.tamper("DELETE FROM audit_chain WHERE position = 3").await;
    assert_eq!(
        portal.audit_problems().await,
        [ChainProblem::EntriesRemoved { from: 3, to: 3 }]
    );
    // Closing the gap does not help.
    portal
        .tamper("UPDATE audit_chain SET position = position - 1 WHERE position > 3")
        .await;
    assert!(!portal.audit_problems().await.is_empty());
    // The same for the first row.
    portal.tamper("DELETE FROM audit_chain WHERE position = 1").await;
    let found = portal.audit_problems().await;
    assert_eq!(found[0], ChainProblem::EntriesRemoved { from: 1, to: 1 });
}

#[tokio::test]
async fn saved_head_reveals_truncated_rows() {
    let portal = sealed().await;
    let head = portal.verify_audit_log(None).await.head.expect("a head");
    portal
        .tamper("DELETE FROM audit_events WHERE id IN (SELECT event_id FROM audit_chain WHERE position > 4)")
        .await;
    portal.tamper("DELETE FROM audit_chain WHERE position > 4").await;
    let verdict = portal.verify_audit_log(Some(head)).await;
    assert_eq!(verdict.problems, [ChainProblem::CutOff { noted: 6, last: 4 }]);
    // The database alone cannot reveal this.
    assert_eq!(portal.audit_problems().await, []);

    // A chain that grows again is different.
    portal.broker("eve").await;
    portal.broker("mallory").await;
    portal.seal().await;
    let verdict = portal.verify_audit_log(Some(head)).await;
    assert_eq!(
        (verdict.sealed, &*verdict.problems),
        (6, &[ChainProblem::WrittenAnew { noted: 6 }][..])
    );
}

#[tokio::test]
async fn row_inserted_past_the_queue_is_found() {
    let portal = sealed().await;
    portal
        .tamper("INSERT INTO audit_events (at, kind) SELECT max(at), 'signed_in' FROM audit_events")
        .await;
    let id: i64 = portal.scalar("SELECT max(id) FROM audit_events").await;
    assert_eq!(portal.seal().await, 0);
    assert_eq!(portal.audit_problems().await, [ChainProblem::NeverSealed { id }]);

    // Removed from the queue, which the server role may do.
    let portal = sealed().await;
    portal.broker("eve").await;
    let mut conn = portal.state.database.connection().await.expect("a connection");
    conn.execute("DELETE FROM audit_unsealed").await.expect("deleted");
    assert!(matches!(
        *portal.audit_problems().await,
        [ChainProblem::NeverSealed { .. }]
    ));
}

#[tokio::test]
async fn row_removed_before_sealing_blocks_no_other() {
    let portal = sealed().await;
    portal.broker("eve").await;
    let id: i64 = portal.scalar("SELECT event_id FROM audit_unsealed").await;
    portal
        .tamper(&format!("DELETE FROM audit_events WHERE id = {id}"))
        .await;
    portal.broker("mallory").await;
    assert_eq!(portal.seal().await, 1);
    assert_eq!(
        portal.audit_problems().await,
        [ChainProblem::RowRemovedUnsealed { id }]
    );
}

#[tokio::test]
async fn backdated_row_is_found() {
    let portal = sealed().await;
    portal.advance(seconds(3600)).await;
    portal.broker("eve").await;
    portal.seal().await;
    // As the server role may do.
    let insert = async |at: DateTime<Utc>| -> i64 {
        let mut conn = portal.state.database.connection().await.expect("a connection");
        let row = sqlx::query("INSERT INTO audit_events (at, kind) VALUES ($1, 'signed_in') RETURNING id")
            .bind(at)
            .fetch_one(&mut *conn)
            .await
            .expect("a row");
        row.get("id")
    };
    // A transaction may take a moment.
    insert(portal.now() - TimeDelta::seconds(59)).await;
    portal.seal().await;
    assert_eq!(portal.audit_problems().await, []);

    let (at, after) = (portal.now() - TimeDelta::seconds(61), portal.now());
    let id = insert(at).await;
    portal.seal().await;
    let backdated = ChainProblem::Backdated { id, at, after };
    assert_eq!(portal.audit_problems().await, std::slice::from_ref(&backdated));
    // A future time does not make all later rows look backdated.
    let (at, sealed_at) = (portal.now() + TimeDelta::days(9), portal.now());
    let id = insert(at).await;
    insert(sealed_at).await;
    portal.seal().await;
    let postdated = ChainProblem::Postdated { id, at, sealed_at };
    assert_eq!(portal.audit_problems().await, [backdated, postdated]);
}

#[tokio::test]
async fn changed_entry_differs_from_changed_row() {
    for (change, found) in [
        ("hash = sha256(hash)", "entry"),
        ("sealed_at = sealed_at - interval '1 day'", "row"),
    ] {
        let portal = sealed().await;
        let id = portal.row_at(2).await;
        portal
            .tamper(&format!("UPDATE audit_chain SET {change} WHERE position = 2"))
            .await;
        let problems = portal.audit_problems().await;
        match found {
            "entry" => assert_eq!(problems, [ChainProblem::EntryChanged { id, position: 2 }]),
            _ => assert!(
                problems.contains(&ChainProblem::RowChanged { id, position: 2 }),
                "{problems:?}"
            ),
        }
    }
    // The last row has no later one to compare with.
    let portal = sealed().await;
    let id = portal.row_at(6).await;
    portal
        .tamper("UPDATE audit_chain SET hash = sha256(hash) WHERE position = 6")
        .await;
    assert_eq!(
        portal.audit_problems().await,
        [ChainProblem::RowOrEntryChanged { id, position: 6 }]
    );
}

#[tokio::test]
async fn swapped_rows_are_found() {
    // Swap rows in the log, or in the chain.
    for statement in [
        "UPDATE audit_events e SET at = o.at, kind = o.kind, actor_id = o.actor_id, user_id = o.user_id,
            actor_session_id = o.actor_session_id, session_id = o.session_id, ip_address = o.ip_address,
            detail = o.detail
        FROM audit_chain c, audit_chain d, audit_events o
        WHERE c.event_id = e.id AND d.event_id = o.id AND (c.position, d.position) IN ((2, 3), (3, 2))",
        "UPDATE audit_chain c SET event_id = CASE c.position WHEN 2 THEN second ELSE first END
        FROM (SELECT min(event_id) AS first, max(event_id) AS second FROM audit_chain WHERE position IN (2, 3)) s
        WHERE c.position IN (2, 3)",
    ] {
        let portal = sealed().await;
        portal
            .sql
            .execute(
                "ALTER TABLE audit_chain DROP CONSTRAINT audit_chain_event_id_key,
                ADD UNIQUE (event_id) DEFERRABLE INITIALLY DEFERRED",
            )
            .await
            .expect("altered");
        portal.tamper(statement).await;
        let found = portal.audit_problems().await;
        let [ChainProblem::RowOrEntryChanged { position: 2, .. }, ChainProblem::RowChanged { position: 3, .. }] = *found
        else {
            panic!("{found:?}");
        };
    }
}

#[tokio::test]
async fn overdue_rows_and_forged_queues_are_found() {
    let portal = sealed().await;
    portal.broker("eve").await;
    let since = portal.now();
    portal.advance(seconds(60)).await;
    assert_eq!(portal.audit_problems().await, []);
    portal.advance(seconds(1)).await;
    let found = portal.audit_problems().await;
    assert!(
        matches!(*found, [ChainProblem::Behind { count: 1, since: found, .. }] if found == since),
        "{found:?}"
    );
    assert!(
        found[0]
            .to_string()
            .starts_with("sealing is late: 1 row unsealed")
    );
    portal.seal().await;
    assert_eq!(portal.audit_problems().await, []);

    let id = portal.row_at(1).await;
    portal
        .sql
        .execute(AssertSqlSafe(format!("INSERT INTO audit_unsealed VALUES ({id})")))
        .await
        .expect("inserted");
    assert_eq!(
        portal.audit_problems().await,
        [ChainProblem::SealedAndWaiting { id }]
    );
}

#[tokio::test]
async fn times_outside_the_calendar_are_found() {
    let portal = sealed().await;
    for infinity in ["infinity", "-infinity"] {
        portal
            .tamper(&format!("UPDATE audit_events SET at = '{infinity}'"))
            .await;
        assert!(!portal.audit_problems().await.is_empty());
        let (succeeded, out, _) = portal.run(&["audit", "export"]).await;
        assert_eq!((succeeded, out.lines().count()), (true, 6));
    }
    // It does not stop sealing either.
    portal
        .tamper("UPDATE audit_chain SET sealed_at = 'infinity'")
        .await;
    portal.broker("eve").await;
    assert_eq!(portal.seal().await, 1);
}

#[tokio::test]
async fn first_problems_are_listed_and_others_counted() {
    let portal = sealed().await;
    for number in 0..30 {
        record(&portal, number).await;
    }
    portal.seal().await;
    portal.tamper("UPDATE audit_events SET reason = 'x'").await;
    let verdict = portal.verify_audit_log(None).await;
    assert_eq!(
        (verdict.problems.len(), verdict.unlisted),
        (MAX_LISTED, 36 - MAX_LISTED)
    );
    let positions: Vec<_> = verdict
        .problems
        .iter()
        .map(|problem| match problem {
            ChainProblem::RowChanged { position, .. } | ChainProblem::RowOrEntryChanged { position, .. } => {
                *position
            }
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(positions, (1..=20).collect::<Vec<_>>());
}

async fn record(portal: &Portal, number: i64) {
    let mut tx = portal.state.database.begin().await.expect("a transaction");
    audit::record(&mut tx, failure(number), portal.now())
        .await
        .expect("recorded");
    tx.commit().await.expect("commit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_sealing_leaves_one_complete_chain() {
    let portal = Portal::start().await;
    let node = portal.second_node().await;
    let mut sealed = 0;
    for round in 0..50 {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let portal = portal.clone();
                tokio::spawn(async move { record(&portal, round * 8 + writer).await })
            })
            .collect();
        let sealers: Vec<_> = [&portal.state, &node.state, &portal.state, &node.state]
            .into_iter()
            .map(|state| {
                let (database, clock) = (state.database.clone(), state.clock.clone());
                tokio::spawn(async move { audit_chain::seal_all(&database, &clock).await })
            })
            .collect();
        for writer in writers {
            writer.await.expect("written");
        }
        for sealer in sealers {
            sealed += sealer.await.expect("ran").expect("sealed");
        }
    }
    sealed += portal.seal().await;
    assert_eq!(sealed, 400);
    let verdict = portal.verify_audit_log(None).await;
    assert_eq!(
        (verdict.problems, verdict.sealed, verdict.waiting),
        (vec![], 400, 0)
    );
    let head = verdict.head.expect("a head");
    assert_eq!(head.position, 400);
}

#[tokio::test]
async fn one_run_seals_more_than_a_batch() {
    let portal = Portal::start().await;
    let now = portal.now();
    sqlx::query("INSERT INTO audit_events (at, kind) SELECT $1, 'signed_in' FROM generate_series(1, 2500)")
        .bind(now)
        .execute(&portal.sql)
        .await
        .expect("rows");
    assert_eq!(portal.seal().await, 2500);
    let verdict = portal.verify_audit_log(None).await;
    assert_eq!((verdict.problems, verdict.sealed), (vec![], 2500));
}

#[tokio::test]
async fn late_commits_with_lower_ids_are_sealed() {
    let portal = sealed().await;
    let mut slow = portal.state.database.begin().await.expect("a transaction");
    audit::record(&mut slow, failure(1), portal.now())
        .await
        .expect("recorded");
    portal.clock.advance(Duration::from_secs(10));
    record(&portal, 2).await;
    assert_eq!(portal.seal().await, 1);
    assert_eq!(portal.audit_problems().await, []);
    slow.commit().await.expect("commit");
    assert_eq!(portal.seal().await, 1);
    assert!(portal.row_at(7).await > portal.row_at(8).await);
    assert_eq!(portal.audit_problems().await, []);
}

#[tokio::test]
async fn rows_of_older_versions_are_sealed() {
    let cluster = private_cluster("upgrade").await;
    let url = cluster.url("portal");
    let older_server = PgPool::connect(&url).await.expect("connected");
    let mut older = sqlx::migrate!();
    let known = older.iter().filter(|migration| migration.version <= 3).cloned();
    older.migrations = Cow::Owned(known.collect());
    older.run(&older_server).await.expect("migrated");
    let write = async || {
        sqlx::query("INSERT INTO audit_events (at, kind) VALUES (now(), 'signed_in')")
            .execute(&older_server)
            .await
            .expect("written");
    };
    write().await;
    write().await;

    let portal = Portal::on_cluster(&url).await;
    write().await;
    portal.clock.advance(seconds(1));
    assert_eq!(portal.seal().await, 3);
    let verdict = portal.verify_audit_log(None).await;
    assert_eq!((verdict.problems, verdict.sealed), (vec![], 3));
    older_server.close().await;
    drop(portal);
    cluster.stop().await.expect("stopped");
}

#[tokio::test]
async fn sealing_and_sign_ins_never_block_each_other() {
    let portal = sealed().await;
    let maria = portal.broker("eve").await;
    // Another node is sealing now.
    let mut sealing = portal.sql.begin().await.expect("a transaction");
    sealing
        .execute("SELECT pg_advisory_xact_lock(7022750921764881202); DELETE FROM audit_unsealed")
        .await
        .expect("as the sealer does");
    portal.browser(CHROME).signed_in(&maria).await;
    assert_eq!(portal.seal().await, 0);
    sealing.rollback().await.expect("rolled back");
    assert_eq!(portal.seal().await, 2);
}

#[tokio::test]
async fn sealing_continues_after_an_outage() {
    let portal = Portal::start().await;
    portal.state.jobs.start(SealAuditLog {
        clock: portal.clock.clone(),
        database: portal.state.database.clone(),
    });
    let sealed = async || {
        for _ in 0..200 {
            if portal.rows("audit_unsealed").await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nothing was sealed in ten seconds");
    };
    record(&portal, 1).await;
    sealed().await;
    let log = CapturedLog::default();
    let guard = log.capture();
    let outage = portal.disconnect_database().await;
    // It meets the outage, whenever its second comes.
    log.wait_for("audit rows not sealed").await;
    outage.end().await;
    drop(guard);
    record(&portal, 2).await;
    sealed().await;
    assert_eq!(portal.verify_audit_log(None).await.sealed, 2);
    portal.state.jobs.stop().await;
}

#[tokio::test]
async fn demo_history_passes_verification() {
    let portal = Portal::start().await;
    for _ in 0..2 {
        demo::create_accounts(&portal.accounts()).await.expect("the demo");
        assert_eq!(portal.audit_problems().await, []);
        portal.broker(&format!("maria{}", portal.now().timestamp())).await;
        portal.seal().await;
        assert_eq!(portal.audit_problems().await, []);
        // Long enough for the sessions to expire.
        portal.advance(seconds(8 * 24 * 3600)).await;
    }
}
