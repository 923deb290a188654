//! The commands that export and verify the audit log.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use broker_portal::server::{services::audit_chain::ChainHead, store::audit};
use chrono::TimeDelta;

use crate::audit_chain::{failure, sealed};
use crate::harness::*;

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

    let (succeeded, out, err) = portal.run(&["audit", "export"]).await;
    assert!(succeeded, "{err}");
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
        let (succeeded, out, err) = portal.run(&arguments).await;
        assert!(succeeded, "{err}");
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
        let (succeeded, out, err) = portal.run(&["audit", "export", wrong[0], wrong[1]]).await;
        assert!(!succeeded && out.is_empty() && err.contains(says), "{err}");
    }
}

#[tokio::test]
async fn export_fails_when_its_reader_disconnects() {
    let portal = Portal::start().await;
    portal
        .execute(
            "INSERT INTO audit_events (at, kind, reason) SELECT now(), 'signed_in', repeat('x', 200)
        FROM generate_series(1, 5000)",
        )
        .await;
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
    let (succeeded, _, err) = read_output(&ended.await.expect("ran"));
    assert!(!succeeded, "{err}");
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
    let (succeeded, out, err) = portal.run(&["audit", "verify"]).await;
    assert!(succeeded, "{out}{err}");
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
    let (succeeded, out, err) = portal.run(&["audit", "verify", "--head", &other]).await;
    assert_eq!((succeeded, out.lines().count()), (false, 1), "{out}");
    assert_eq!(err, "broker-portal: audit log verification failed: 1 problem\n");
    let (succeeded, _, err) = portal.run(&["audit", "verify", "--head", "5:abc"]).await;
    assert!(!succeeded && err.contains("POSITION:HASH"), "{err}");

    let id = portal.row_at(2).await;
    portal
        .tamper(&format!("UPDATE audit_events SET reason = 'x' WHERE id = {id}"))
        .await;
    let (succeeded, out, _) = portal.run(&["audit", "verify"]).await;
    assert!(!succeeded);
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
            let (succeeded, out, err) = read_output(&output.await.expect("ran").expect("started"));
            assert!(
                !succeeded && out.is_empty() && err.contains("no portal data in"),
                "{err}"
            );
            assert!(!folder.join("postgres").exists() && !site().join("nowhere").exists());
        }
        // A database of another application.
        let (server, _) = portal.database_url().rsplit_once('/').expect("a database");
        let mut command = portal.command(&arguments);
        command.env("DATABASE_URL", format!("{server}/portal?sslmode=disable"));
        let output = tokio::task::spawn_blocking(move || command.output());
        let (succeeded, out, err) = read_output(&output.await.expect("ran").expect("started"));
        assert!(
            !succeeded && out.is_empty() && err.contains("has no sealed audit log"),
            "{err}"
        );
    }
}

#[tokio::test]
async fn commands_seal_their_own_rows() {
    let portal = sealed().await;
    let (succeeded, _, err) = portal
        .run(&["user", "disable", "--email", "maria@broker.example"])
        .await;
    assert!(succeeded, "{err}");
    assert_eq!(portal.rows("audit_unsealed").await, 0);
    let verdict = portal.verify_audit_log(None).await;
    assert_eq!((verdict.problems, verdict.sealed), (vec![], 8));
}
