//! Audit rows and session events: one for each change, and none without a change.

use std::time::Duration;

use sqlx::{Executor as _, postgres::PgListener};

use crate::harness::*;

#[tokio::test]
async fn each_sign_in_writes_one_complete_row() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).at("203.0.113.9").signed_in(&maria).await;
    portal.advance(seconds(60)).await;
    let mac = portal.desktop("mac").at("2001:db8::7").signed_in(&maria).await;

    let row = |client: &Client, ip_address: &str, detail: Value| AuditRow {
        at: portal.now(),
        kind: "signed_in".to_owned(),
        actor: Some(maria.id),
        actor_session: Some(client.session()),
        user: Some(maria.id),
        session: Some(client.session()),
        ip_address: Some(ip_address.to_owned()),
        reason: None,
        detail,
    };
    let browser = json!({ "kind": "browser", "device_name": "Chrome on Windows" });
    let mut first = row(&chrome, "203.0.113.9", browser);
    first.at -= seconds(60);
    let second = row(
        &mac,
        "2001:db8::7",
        json!({ "kind": "desktop", "device_name": "The mac" }),
    );
    assert_eq!(portal.audit("signed_in").await, [first, second]);
    let changed = portal.events("sessions_changed").await;
    assert_eq!(changed.len(), 2);
    assert!(
        changed
            .iter()
            .all(|event| event.user == maria.id && event.session.is_none())
    );
}

#[tokio::test]
async fn each_refused_sign_in_writes_its_reason() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let gone = portal.broker("gone").await;
    portal.accounts().disable(&gone.email).await.expect("disabled");
    let endless = "x".repeat(2000);
    let attempts = [
        (&*maria.email, "not it", Some(maria.id), "wrong_password"),
        ("nobody@broker.example", "not it", None, "unknown_email"),
        ("evil\nsigned_in maria@x", "not it", None, "unknown_email"),
        (&gone.email, &gone.password, Some(gone.id), "account_disabled"),
        (&maria.email, &endless, Some(maria.id), "password_too_long"),
    ];
    for (email, password, ..) in attempts {
        portal
            .browser(CHROME)
            .at("203.0.113.9")
            .try_sign_in(email, password)
            .await
            .expect(401);
        portal
            .desktop("mac")
            .at("203.0.113.9")
            .try_sign_in(email, password)
            .await
            .expect(401);
    }
    let rows = portal.audit("sign_in_failed").await;
    assert_eq!(rows.len(), 2 * attempts.len());
    for (rows, (email, _, user, reason)) in rows.chunks(2).zip(attempts) {
        for row in rows {
            assert_eq!(
                (row.user, row.reason.as_deref()),
                (user, Some(reason)),
                "{email:?}"
            );
            assert_eq!(
                (row.actor, row.session, row.ip_address.as_deref()),
                (None, None, Some("203.0.113.9"))
            );
            assert_eq!(row.detail, json!({}));
        }
    }
}

#[tokio::test]
async fn each_ended_session_writes_one_row_and_event() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).at("203.0.113.9").signed_in(&maria).await;
    let [one, two, three] = [FIREFOX, SAFARI, CHROME].map(|agent| portal.browser(agent));
    let (one, two, three) = (
        one.signed_in(&maria).await,
        two.signed_in(&maria).await,
        three.signed_in(&maria).await,
    );

    three.sign_out().await;
    chrome
        .submit("revoke_session", &[("session_id", &one.session().to_string())])
        .await
        .expect(200);
    chrome.post("/api/sign_out_other_devices").await.expect(200);
    chrome.post("/api/sign_out_all_devices").await.expect(200);

    let ends = [
        (&three, &three, "198.51.100.7", "signed_out"),
        (&chrome, &one, "203.0.113.9", "revoked"),
        (&chrome, &two, "203.0.113.9", "revoked"),
        (&chrome, &chrome, "203.0.113.9", "signed_out_everywhere"),
    ];
    let rows = portal.audit("session_ended").await;
    let events = portal.events("session_ended").await;
    assert_eq!((rows.len(), events.len()), (ends.len(), ends.len()));
    for ((row, event), (by, of, ip_address, reason)) in rows.iter().zip(&events).zip(ends) {
        let expected = AuditRow {
            at: portal.now(),
            kind: "session_ended".to_owned(),
            actor: Some(maria.id),
            actor_session: Some(by.session()),
            user: Some(maria.id),
            session: Some(of.session()),
            ip_address: Some(ip_address.to_owned()),
            reason: Some(reason.to_owned()),
            detail: json!({}),
        };
        assert_eq!(*row, expected);
        let expected = EventRow {
            kind: "session_ended".to_owned(),
            user: maria.id,
            session: Some(of.session()),
            reason: Some(reason.to_owned()),
        };
        assert_eq!(*event, expected);
        let session = portal.session_row(of.session()).await;
        assert_eq!(
            (session.ended_at, session.end_reason.as_deref()),
            (Some(portal.now()), Some(reason))
        );
        assert_eq!(
            (session.ended_by, session.ended_by_session),
            (Some(maria.id), Some(by.session()))
        );
    }
    // Four sign-ins and four revocations changed the list.
    assert_eq!(portal.events("sessions_changed").await.len(), 8);
}

#[tokio::test]
async fn revocations_without_effect_write_no_row() {
    let portal = Portal::start().await;
    let (maria, jonas) = (portal.broker("maria").await, portal.broker("jonas").await);
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let of_jonas = portal.browser(FIREFOX).signed_in(&jonas).await;
    let before = (
        portal.rows("audit_events").await,
        portal.rows("session_events").await,
    );
    chrome.revoke_scope("others").await;
    chrome.delete("/api/v1/sessions").await.expect(400);
    chrome
        .post("/api/sign_out")
        .header("sec-fetch-site", "cross-site")
        .await
        .expect(403);
    assert_eq!(
        (
            portal.rows("audit_events").await,
            portal.rows("session_events").await
        ),
        before
    );

    // Attempts on ids of others are recorded, although the response reveals nothing.
    let of_jonas = of_jonas.session();
    chrome
        .delete(&format!("/api/v1/sessions/{of_jonas}"))
        .await
        .expect(404);
    chrome
        .delete("/api/v1/sessions/00000000-0000-4000-8000-000000000000")
        .await
        .expect(404);
    let denied = &portal.audit("denied").await[..];
    assert_eq!(denied.len(), 1);
    assert_eq!(
        (
            denied[0].actor,
            denied[0].reason.as_deref(),
            &denied[0].detail["session_id"]
        ),
        (Some(maria.id), Some("not_theirs"), &json!(of_jonas))
    );
}

/// Makes every insert into a table fail with this SQLSTATE.
async fn refuse_rows(portal: &Portal, table: &str, sqlstate: &str) {
    let statements = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '{sqlstate}'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()"
    );
    portal
        .sql
        .execute(sqlx::AssertSqlSafe(statements))
        .await
        .expect("a trigger");
}

#[tokio::test]
async fn failed_audit_write_prevents_start_and_end() {
    // A full disk is an outage, anything else an internal error. Neither is "ok".
    for (table, sqlstate, status) in [
        ("audit_events", "53100", 503),
        ("session_events", "53100", 503),
        ("audit_events", "P0001", 500),
    ] {
        let (portal, maria, chrome) = Portal::with_browser().await;
        let firefox = portal.browser(FIREFOX).signed_in(&maria).await;
        refuse_rows(&portal, table, sqlstate).await;

        let one = format!("/api/v1/sessions/{}", firefox.session());
        for path in [
            &one,
            "/api/v1/sessions?scope=others",
            "/api/v1/sessions?scope=all",
        ] {
            chrome.delete(path).await.expect(status);
        }
        for path in [
            "/api/sign_out",
            "/api/sign_out_other_devices",
            "/api/sign_out_all_devices",
        ] {
            let response = chrome.post(path).await.expect(status);
            assert_eq!(response.all("set-cookie"), Vec::<&str>::new(), "{path}");
            assert!(!response.body.contains("no room"), "{}", response.body);
        }
        portal.browser(SAFARI).sign_in(&maria).await.expect(status);
        assert!(portal.accounts().revoke_user(&maria.email, None).await.is_err());
        for client in [&chrome, &firefox] {
            client.get("/api/session_state").await.expect(200);
        }
        assert_eq!(
            (portal.rows("sessions").await, portal.epoch(maria.id).await),
            (2, 0)
        );
    }
}

#[tokio::test]
async fn ended_sessions_and_audit_rows_match() {
    let portal = Portal::start().await;
    for name in ["maria", "jonas", "aiko"] {
        let person = portal.broker(name).await;
        let chrome = portal.browser(CHROME).signed_in(&person).await;
        portal.desktop("mac").signed_in(&person).await;
        portal.desktop("mac").signed_in(&person).await;
        let firefox = portal
            .browser(FIREFOX)
            .signed_in(&person)
            .await
            .signed_in(&person)
            .await;
        chrome.revoke(firefox.session()).await;
        portal.browser(SAFARI).signed_in(&person).await;
        match name {
            "maria" => drop(chrome.revoke_scope("all").await),
            "jonas" => drop(portal.accounts().disable(&person.email).await.expect("disabled")),
            _ => drop(portal.accounts().revoke_everyone(None).await.expect("revoked")),
        }
    }
    let wrong: i64 = portal.scalar("SELECT count(*) FROM (
            SELECT id, end_reason, 1 AS n FROM sessions WHERE ended_at IS NOT NULL
        ) s FULL JOIN (
            SELECT session_id, min(reason) AS reason, count(*) AS n FROM audit_events WHERE kind = 'session_ended'
            GROUP BY 1
        ) a ON a.session_id = s.id
        FULL JOIN (
            SELECT session_id, min(reason) AS reason, count(*) AS n FROM session_events WHERE kind = 'session_ended'
            GROUP BY 1
        ) e ON e.session_id = s.id
        WHERE (s.n, a.n, e.n) IS DISTINCT FROM (1, 1, 1) OR (s.end_reason, s.end_reason) <> (a.reason, e.reason)").await;
    let ended: i64 = portal
        .scalar("SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL")
        .await;
    assert_eq!((wrong, ended), (0, 18));
}

#[tokio::test]
async fn commits_wake_the_listeners() {
    let (portal, _, chrome) = Portal::with_browser().await;
    let mut listener = PgListener::connect_with(&portal.sql).await.expect("a listener");
    listener.listen("session_events").await.expect("listening");

    chrome.revoke_scope("others").await;
    chrome.revoke_scope("all").await;
    let woken = tokio::time::timeout(Duration::from_secs(10), listener.recv()).await;
    let notification = woken.expect("woken").expect("connected");
    assert_eq!(
        (notification.channel(), notification.payload()),
        ("session_events", "")
    );
    assert_eq!(portal.events("session_ended").await.len(), 1);
}

#[tokio::test]
async fn records_contain_no_line_breaks_or_escape_codes() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let evil = portal
        .browser("Evil\t\u{9b}31m Chrome/148 \u{85}2026 signed_in")
        .signed_in(&maria)
        .await;
    let agent = portal.session_row(evil.session()).await.user_agent;
    assert!(!agent.chars().any(char::is_control), "{agent:?}");
    let long = "x".repeat(5000);
    let long = portal.browser(&long).signed_in(&maria).await;
    assert_eq!(portal.session_row(long.session()).await.user_agent.len(), 512);
    portal
        .browser("")
        .signed_in(&maria)
        .await
        .get("/dashboard/settings")
        .await
        .expect(200);
}
