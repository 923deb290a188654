//! Sealing of the audit log, and detection of tampering.

use std::{
    borrow::Cow,
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    process::Stdio,
    time::Duration,
};

use broker_portal::server::{
    jobs::seal::SealAuditLog,
    services::{
        audit_chain::{self, ChainHead},
        audit_verification::{ChainProblem, MAX_LISTED},
        demo,
    },
    store::audit::{self, AuditEvent},
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, Executor as _, PgPool, Row as _};

use crate::harness::*;

/// Creates six sealed rows of three users.
async fn sealed() -> Portal {
    let portal = Portal::start().await;
    for name in ["maria", "jonas", "aiko"] {
        let person = portal.broker(name).await;
        portal.browser(CHROME).signed_in(&person).await;
        portal.advance(seconds(1)).await;
    }
    assert_eq!(portal.seal().await, 6);
    portal
}

fn failure(number: i64) -> AuditEvent<'static> {
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
    let id: i64 = sqlx::query_scalar("SELECT max(id) FROM audit_events")
        .fetch_one(&portal.sql)
        .await
        .expect("an id");
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
    let id: i64 = sqlx::query_scalar("SELECT event_id FROM audit_unsealed")
        .fetch_one(&portal.sql)
        .await
        .expect("an id");
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
        let (content, out, _) = portal.run(&["audit", "export"]).await;
        assert_eq!((content, out.lines().count()), (true, 6));
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

#[tokio::test]
async fn export_holds_every_row_on_one_line() {
    let portal = sealed().await;
    let mut hostile = failure(7);
    hostile.reason = Some("a\nb\u{2028}\u{9b}31m\"\\");
    hostile.detail = json!({ "agent": "x\r\ny\u{85}", "n": null, "list": [1, "zwei"] });
    let mut tx = portal.state.database.begin().await.expect("a transaction");
    audit::record(&mut tx, hostile, portal.now())
        .await
        .expect("recorded");
    tx.commit().await.expect("commit");

    let (content, out, err) = portal.run(&["audit", "export"]).await;
    assert!(content, "{err}");
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(!out.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{2028}'));
    // All columns of each row, read by SQL.
    let rows: Vec<Value> = sqlx::query_scalar(
        "SELECT to_jsonb(e) || jsonb_build_object(
            'at', to_char(e.at, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), 'ip_address', host(e.ip_address),
            'user_email', u.email, 'actor_email', a.email, 'position', c.position, 'hash', encode(c.hash, 'hex'),
            'sealed_at', to_char(c.sealed_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))
        FROM audit_events e LEFT JOIN users u ON u.id = e.user_id LEFT JOIN audit_chain c ON c.event_id = e.id
        LEFT JOIN users a ON a.id = e.actor_id ORDER BY e.id",
    )
    .fetch_all(&portal.utc_pool().await)
    .await
    .expect("the rows");
    assert_eq!(lines, rows);
    assert_eq!(lines.len(), 7);
    assert_eq!(lines[6]["hash"], Value::Null);
}

#[tokio::test]
async fn export_filters_by_time_user_and_kind() {
    let portal = sealed().await;
    let time = |ago: i64| (portal.now() - TimeDelta::seconds(ago)).to_rfc3339();
    let count = async |arguments: &[&str]| -> usize {
        let arguments: Vec<_> = ["audit", "export"].iter().chain(arguments).copied().collect();
        let (content, out, err) = portal.run(&arguments).await;
        assert!(content, "{err}");
        out.lines().count()
    };
    assert_eq!(count(&["--since", &time(2)]).await, 4);
    assert_eq!(count(&["--until", &time(2)]).await, 2);
    assert_eq!(count(&["--since", &time(2), "--until", &time(1)]).await, 2);
    assert_eq!(count(&["--user", "MARIA@broker.example"]).await, 2);
    assert_eq!(count(&["--kind", "signed_in"]).await, 3);
    assert_eq!(
        count(&["--kind", "signed_in", "--user", "maria@broker.example"]).await,
        1
    );
    assert_eq!(count(&["--kind", "denied"]).await, 0);
    for (wrong, says) in [
        (["--user", "nobody@broker.example"], "there is no account"),
        (["--since", "yesterday"], "a time is written like"),
        (["--kind", "nonsense"], "kinds are signed_in, "),
    ] {
        let (content, out, err) = portal.run(&["audit", "export", wrong[0], wrong[1]]).await;
        assert!(!content && out.is_empty() && err.contains(says), "{err}");
    }
}

#[tokio::test]
async fn export_fails_when_its_reader_disconnects() {
    let portal = Portal::start().await;
    sqlx::query(
        "INSERT INTO audit_events (at, kind, reason) SELECT now(), 'signed_in', repeat('x', 200)
        FROM generate_series(1, 5000)",
    )
    .execute(&portal.sql)
    .await
    .expect("rows");
    let mut command = portal.command(&["audit", "export"]);
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut first = String::new();
        // Closed with the pipe.
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut first)
            .expect("a line");
        assert!(first.starts_with("{\"id\":"), "{first}");
        child.wait_with_output().expect("ended")
    });
    // A partial export must not look complete.
    let (content, _, err) = read_output(&ended.await.expect("ran"));
    assert!(!content, "{err}");
    assert!(
        err.starts_with("broker-portal: cannot write the output: Broken pipe"),
        "{err}"
    );
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[tokio::test]
async fn operator_verification_names_every_problem() {
    let portal = sealed().await;
    let head = portal.verify_audit_log(None).await.head.expect("a head");
    let (content, out, err) = portal.run(&["audit", "verify"]).await;
    assert!(content, "{out}{err}");
    assert!(
        out.starts_with("The audit log is intact: 6 rows sealed, from 2"),
        "{out}"
    );
    assert!(
        out.ends_with(&format!("Waiting to be sealed: 0.\nHead: {head}\n")),
        "{out}"
    );
    let noted = head.to_string();
    assert!(portal.run(&["audit", "verify", "--head", &noted]).await.0);

    let other = ChainHead { position: 5, ..head }.to_string();
    let (content, out, err) = portal.run(&["audit", "verify", "--head", &other]).await;
    assert_eq!((content, out.lines().count()), (false, 1), "{out}");
    assert_eq!(err, "broker-portal: audit log verification failed: 1 problem\n");
    let (content, _, err) = portal.run(&["audit", "verify", "--head", "5:abc"]).await;
    assert!(!content && err.contains("POSITION:HASH"), "{err}");

    let id = portal.row_at(2).await;
    portal
        .tamper(&format!("UPDATE audit_events SET reason = 'x' WHERE id = {id}"))
        .await;
    let (content, out, _) = portal.run(&["audit", "verify"]).await;
    assert!(!content);
    assert_eq!(
        out,
        format!("row {id} was changed after it was sealed at position 2\n")
    );
}

#[tokio::test]
async fn audit_commands_never_create_a_database() {
    let portal = Portal::start().await;
    for arguments in [["audit", "verify"], ["audit", "export"]] {
        // A directory that does not exist, and one without a cluster.
        for folder in [site().join("nowhere"), site()] {
            let mut command = broker_portal();
            command.env("PORTAL_DATA_DIR", &folder).args(arguments);
            let output = tokio::task::spawn_blocking(move || command.output());
            let (content, out, err) = read_output(&output.await.expect("ran").expect("started"));
            assert!(
                !content && out.is_empty() && err.contains("no portal data in"),
                "{err}"
            );
            assert!(!folder.join("postgres").exists() && !site().join("nowhere").exists());
        }
        // A database of another application.
        let url = portal.database_url().replace("/test_", "/portal?was=/test_");
        let (url, _) = url.split_once("?was=").expect("replaced");
        let mut command = portal.command(&arguments);
        command.env("DATABASE_URL", format!("{url}?sslmode=disable"));
        let output = tokio::task::spawn_blocking(move || command.output());
        let (content, out, err) = read_output(&output.await.expect("ran").expect("started"));
        assert!(
            !content && out.is_empty() && err.contains("has no sealed audit log"),
            "{err}"
        );
    }
}

#[tokio::test]
async fn commands_seal_their_own_rows() {
    let portal = sealed().await;
    let (content, _, err) = portal
        .run(&["user", "disable", "--email", "maria@broker.example"])
        .await;
    assert!(content, "{err}");
    assert_eq!(portal.rows("audit_unsealed").await, 0);
    let verdict = portal.verify_audit_log(None).await;
    assert_eq!((verdict.problems, verdict.sealed), (vec![], 8));
}
