//! `broker-portal maintenance`: reports problems and, with `--apply`, solves them.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::harness::*;

/// Runs statements on a connection whose statistics are visible at once.
async fn execute(portal: &Portal, statements: &[&str]) {
    let mut conn = PgConnection::connect(portal.database_url())
        .await
        .expect("connected");
    for statement in statements {
        conn.execute(AssertSqlSafe((*statement).to_owned()))
            .await
            .expect(statement);
        conn.execute("SELECT pg_stat_force_next_flush()")
            .await
            .expect("flushed");
    }
    conn.close().await.expect("closed");
}

/// Returns the advice as subject and action, without advice about autovacuum, which is off in tests.
async fn advised(portal: &Portal) -> Vec<(String, String)> {
    let (succeeded, out, err) = portal.run(&["maintenance", "--json"]).await;
    assert!(succeeded, "{out}{err}");
    let report: Value = serde_json::from_str(&out).expect("one object");
    assert!(report["database"]["bytes"].as_i64() > Some(1 << 20), "{report}");
    let advice = report["advice"].as_array().expect("advice").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    advice
        .map(|advice| (text(&advice["subject"]), text(&advice["action"])))
        .filter(|(subject, _)| subject != "autovacuum")
        .collect()
}

fn pair(subject: &str, action: &str) -> (String, String) {
    (subject.to_owned(), action.to_owned())
}

#[tokio::test]
async fn applying_advice_resolves_dead_rows_and_cleanup() {
    let (portal, _, chrome) = Portal::with_browser().await;
    chrome.sign_out().await;
    portal.clean_up().await;
    execute(
        &portal,
        &[
            "INSERT INTO password_attempts SELECT sha256(n::text::bytea), now() + interval '1 day', 1
                FROM generate_series(1, 1500) n",
            "DELETE FROM password_attempts",
            "INSERT INTO job_runs VALUES ('cleanup', now() - interval '3 hours', now() - interval '3 hours')",
            "UPDATE sessions SET ended_at = now() - interval '31 days'",
            "ALTER TABLE audit_events DISABLE TRIGGER only_added_to",
            "UPDATE audit_events SET at = now() - interval '1 hour'",
            "ALTER TABLE audit_events ENABLE TRIGGER only_added_to",
        ],
    )
    .await;
    let vacuum = pair("password_attempts", "VACUUM (ANALYZE) password_attempts");
    let expected = [
        pair("clean-up", "run the clean-up"),
        pair("audit log", "seal the audit log"),
        vacuum,
    ];
    assert_eq!(advised(&portal).await, expected);
    let (succeeded, out, _) = portal.run(&["maintenance"]).await;
    assert!(succeeded, "advice is no failure");
    assert!(
        out.contains("1 ended session and 0 events past retention"),
        "{out}"
    );
    // The portal's own connections report their statistics up to ten seconds later.
    let dead: i64 = out
        .lines()
        .find_map(|line| {
            line.strip_prefix("- password_attempts: ")?
                .split_once(" rows dead and ")
        })
        .and_then(|(dead, _)| dead.parse().ok())
        .unwrap_or_else(|| panic!("{out}"));
    assert!((1500..1510).contains(&dead), "{out}");
    assert_eq!(
        portal.rows("sessions").await,
        1,
        "without --apply nothing is done"
    );

    let (succeeded, out, err) = portal.run(&["maintenance", "--apply"]).await;
    assert!(succeeded, "{out}{err}");
    for step in [
        "run the clean-up",
        "seal the audit log",
        "VACUUM (ANALYZE) password_attempts",
    ] {
        assert!(out.contains(&format!("\n{step} ...\n  done in ")), "{out}");
    }
    assert_eq!(advised(&portal).await, []);
    assert_eq!(
        (portal.rows("sessions").await, portal.rows("audit_unsealed").await),
        (0, 0)
    );
}

#[tokio::test]
async fn open_transaction_is_reported_and_left_alone() {
    let portal = Portal::start().await;
    portal.clean_up().await;
    let mut held = PgConnection::connect(portal.database_url())
        .await
        .expect("connected");
    held.execute("SET application_name = 'somebody''s report'")
        .await
        .expect("named");
    held.execute("BEGIN; SELECT count(*) FROM sessions")
        .await
        .expect("begun");
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut held)
        .await
        .expect("a pid");

    let (succeeded, out, err) = portal.run(&["maintenance", "--apply"]).await;
    assert!(succeeded, "{out}{err}");
    for line in ["Oldest transaction", "Oldest idle in transaction"] {
        assert!(out.contains(&format!("{line}: somebody's report of ")), "{out}");
    }
    // Passes a later time, as if the transaction had been open for long.
    let mut conn = portal
        .state
        .database
        .connect_without_limits()
        .await
        .expect("connected");
    let settings = broker_portal::server::services::maintenance::MaintenanceSettings {
        cleanup_interval: seconds(86_400),
        retention: seconds(86_400),
    };
    let later = portal.now() + chrono::TimeDelta::minutes(10);
    let report = broker_portal::server::services::maintenance::inspect(&mut conn, settings, later).await;
    let advice = report.expect("a report").advice;
    let about = advice
        .iter()
        .find(|advice| advice.subject == format!("connection {pid}"));
    let about = about.expect("advice");
    assert!(
        about.action.is_none() && about.why.contains(&format!("pg_terminate_backend({pid})")),
        "{about:?}"
    );
    held.execute("COMMIT").await.expect("nobody ended it");
}

#[tokio::test]
async fn empty_and_invalid_indexes_are_rebuilt() {
    let portal = Portal::start().await;
    portal.clean_up().await;
    execute(
        &portal,
        &[
            "INSERT INTO job_runs VALUES ('cleanup', now(), now())",
            "INSERT INTO password_attempts SELECT sha256(n::text::bytea), now() + interval '1 day', 1
                FROM generate_series(1, 30000) n",
            "DELETE FROM password_attempts WHERE get_byte(bucket, 0) > 2",
            "VACUUM (ANALYZE) password_attempts",
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_email'::regclass",
            "CREATE INDEX memberships_organization_ccnew ON memberships (organization_id)",
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'memberships_organization_ccnew'::regclass",
        ],
    )
    .await;
    let reindex = |index: &str| pair(index, &format!("REINDEX INDEX CONCURRENTLY {index}"));
    let leftover = "memberships_organization_ccnew";
    let expected = [
        reindex("password_attempts_pkey"),
        reindex("users_email"),
        pair(leftover, &format!("DROP INDEX CONCURRENTLY {leftover}")),
    ];
    let mut found = advised(&portal).await;
    found.sort_by_key(|(subject, _)| expected.iter().position(|(known, _)| known == subject));
    assert_eq!(found, expected);
    let (succeeded, out, err) = portal.run(&["maintenance", "--apply", "--json"]).await;
    assert!(succeeded, "{out}{err}");
    let report: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!(report["applied"].as_array().map(Vec::len), Some(3), "{out}");
    assert_eq!(advised(&portal).await, []);
}

#[tokio::test]
async fn failed_step_is_reported_and_others_run() {
    let portal = Portal::start().await;
    portal
        .browser(CHROME)
        .signed_in(&portal.broker("maria").await)
        .await;
    execute(
        &portal,
        &[
            "UPDATE sessions SET last_active_at = now() - interval '2 days', created_at = now() - interval '2 days'",
            "ALTER TABLE audit_events ADD CONSTRAINT refused CHECK (kind <> 'session_ended') NOT VALID",
            "INSERT INTO password_attempts SELECT sha256(n::text::bytea), now() + interval '1 day', 1
                FROM generate_series(1, 1500) n",
            "DELETE FROM password_attempts",
        ],
    )
    .await;
    let (succeeded, out, err) = portal.run(&["maintenance", "--apply"]).await;
    assert!(!succeeded && err.contains("1 of the steps failed"), "{out}{err}");
    let (_, steps) = out.split_once("run the clean-up ...\n").expect("the step");
    assert!(
        steps.starts_with("  failed after ") && steps.contains("refused"),
        "{out}"
    );
    assert!(
        steps.contains("VACUUM (ANALYZE) password_attempts ...\n  done in"),
        "{out}"
    );
}

#[tokio::test]
async fn foreign_database_is_reported_in_one_line() {
    let portal = Portal::start().await;
    execute(&portal, &["DROP TABLE _sqlx_migrations"]).await;
    let (succeeded, out, err) = portal.run(&["maintenance", "--apply"]).await;
    assert!(!succeeded && out.is_empty(), "{out}");
    assert!(
        err.ends_with("run `broker-portal migrate` to update it\n"),
        "{err}"
    );
}
