//! Administrators revoke sessions, and who may not.

use domain::{filter::Filter as _, session_filter::SessionFilter};

use crate::admin_sessions::{Brokerages, page, portal_admin, revoke};
use crate::harness::*;

#[tokio::test]
async fn users_see_actor_and_note_and_streams_close() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal,
        admin,
        north,
        both,
        ..
    } = &brokerages;
    let _listening = portal.start_listener().await;
    let stream = north[0].get("/api/v1/session/events").stream().await;
    let desktop = both[1].get("/api/v1/session/events").stream().await;
    let response = revoke(
        admin,
        json!({ "filter": { "state": "live" }, "reason": "The office moves tonight." }),
    )
    .await
    .expect(200)
    .json();
    assert_eq!((&response["ended"], &response["left"]), (&json!(5), &json!(0)));
    for stream in [stream, desktop] {
        let told = stream.until_closed().await;
        let last = told.last().expect("an end");
        assert_eq!(
            (last.kind.as_str(), &last.data["reason"]),
            ("session_ended", &json!("revoked_by_admin"))
        );
    }
    let login = north[0].get_text("/login").await;
    assert!(login.contains("An administrator ended your session. Reason given: The office moves tonight."));
    assert!(
        admin.is_live().await,
        "one's own session stays unless it is asked for"
    );
    let row = &portal.ends_of(north[0].session()).await[0];
    assert_eq!(
        (row.actor_session, row.detail["note"].as_str()),
        (Some(admin.session()), Some("The office moves tonight."))
    );
    let whole = &portal.audit("sessions_ended_by_filter").await[0];
    assert_eq!(
        (&whole.detail["listed"], &whole.detail["filter"]),
        (&json!(5), &json!("state=live"))
    );
    // Repeating is harmless.
    assert_eq!(
        revoke(admin, json!({ "filter": { "state": "live" } }))
            .await
            .expect(200)
            .json()["ended"],
        0
    );
}

#[tokio::test]
async fn sign_ins_after_the_question_stay() {
    let brokerages = Brokerages::open().await;
    let Brokerages { portal, admin, .. } = &brokerages;
    let first = revoke(admin, json!({ "ids": [brokerages.north[0].session()] }))
        .await
        .expect(200)
        .json();
    portal.advance(seconds(5)).await;
    let again = portal.browser(FIREFOX).signed_in(&brokerages.bea).await;
    let body = json!({ "filter": { "state": "live" }, "begun_by": first["begun_by"] });
    assert_eq!(revoke(admin, body).await.expect(200).json()["ended"], 4);
    assert!(again.is_live().await);
}

#[tokio::test]
async fn revoking_a_user_rejects_sign_ins_in_progress() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal,
        admin,
        bea,
        both,
        ..
    } = &brokerages;
    let before = portal.epoch(bea.id).await;
    let response = revoke(admin, json!({ "user_id": bea.id }))
        .await
        .expect(200)
        .json();
    assert_eq!(response["ended"], 2);
    assert_eq!(
        portal.epoch(bea.id).await,
        before + 1,
        "a password that was already checked is rejected"
    );
    for client in both {
        assert_eq!(client.end_reason().await, "revoked_by_admin");
    }
}

#[tokio::test]
async fn revocation_asks_for_a_recent_password_check() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal, admin, bea, ..
    } = &brokerages;
    portal.advance(seconds(1801)).await;
    let body = json!({ "user_id": bea.id });
    revoke(admin, body).await.assert_problem(403, "reauth_required");
    let id = bea.id.to_string();
    let fields = [
        ("which", "end_person"),
        ("user_id", &*id),
        ("begun_by", "2099-01-01T00:00:00.000Z"),
    ];
    let asked = admin.submit("admin_end_sessions", &fields).await;
    asked.assert_code(403, "reauth_required");
    brokerages.assert_live(&brokerages.both).await;
    let wrong = [&fields[..], &[("password", "guess")]].concat();
    admin
        .submit("admin_end_sessions", &wrong)
        .await
        .assert_code(401, "invalid_credentials");
    let right = [&fields[..], &[("password", "the password of ada")]].concat();
    let done = admin
        .submit("admin_end_sessions", &right)
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&done["ended"], &done["left"], &done["next"]),
        (&json!(2), &json!(0), &json!("/dashboard/admin/sessions"))
    );
    assert!(admin.is_live().await, "with its new cookie");
}

#[tokio::test]
async fn former_administrator_ends_no_session() {
    let brokerages = Brokerages::open().await;
    let Brokerages { portal, admin, .. } = &brokerages;
    let replica = admin.duplicate();
    // Demote the administrator while the request waits for the lock of the demotion.
    let ada = portal_admin(portal).await;
    let mut tx = portal.sql.begin().await.expect("a transaction");
    sqlx::query("SELECT 1 FROM users WHERE id = $1 FOR UPDATE")
        .bind(ada.id.0)
        .execute(&mut *tx)
        .await
        .expect("a lock");
    let asking =
        tokio::spawn(async move { revoke(&replica, json!({ "filter": { "state": "live" } })).await });
    portal.until_waiting(1).await;
    sqlx::query("UPDATE memberships SET role = 'broker' WHERE user_id = $1")
        .bind(ada.id.0)
        .execute(&mut *tx)
        .await
        .expect("a demotion");
    tx.commit().await.expect("a commit");
    asking.await.expect("a response").assert_problem(403, "forbidden");
    assert_eq!(portal.audit("session_ended").await, []);
}

#[tokio::test]
async fn revocation_runs_in_batches_and_resumes_after_failure() {
    let portal = Portal::start().await;
    let admin = portal.admin("ada", "Northgate").await;
    let nora = portal.member("nora", "Northgate").await;
    let desktop = portal.desktop("one").signed_in(&nora).await;
    let admin = portal.browser(CHROME).signed_in(&admin).await;
    // More than two batches, for one user and for many.
    portal.execute("INSERT INTO users (id, email, display_name, role, password_hash, password_changed_at, created_at)
        SELECT gen_random_uuid(), 'many' || n || '@broker.example', 'Many', 'broker', 'x', now(), now()
        FROM generate_series(1, 300) n").await;
    portal.execute("INSERT INTO memberships SELECT u.id, o.id, 'broker', now() FROM users u, organizations o WHERE u.email LIKE 'many%'").await;
    portal.execute("INSERT INTO sessions (id, user_id, organization_id, kind, credential_hash, epoch, created_at, authenticated_at,
            last_active_at, last_seen_at, ip_address, user_agent)
        SELECT gen_random_uuid(), u.id, m.organization_id, 'browser', sha256((u.id::text || n)::bytea), 0, s.created_at,
            s.created_at, s.last_active_at, s.last_active_at, s.ip_address, 'x'
        FROM users u JOIN memberships m ON m.user_id = u.id, generate_series(1, 2) n,
            (SELECT * FROM sessions WHERE kind = 'desktop') s WHERE u.email LIKE 'many%'").await;
    assert_eq!(page(&admin, "").await["total"], 602);
    let mut ended = 0;
    let mut body = json!({ "filter": { "role": "broker" } });
    loop {
        let response = revoke(&admin, body.clone()).await.expect(200).json();
        ended += response["ended"].as_i64().expect("a number");
        body["begun_by"] = response["begun_by"].clone();
        if response["left"] == 0 {
            break;
        }
    }
    assert_eq!(ended, 601);
    assert_eq!(page(&admin, "").await["total"], 1);
    assert_eq!(desktop.end_reason().await, "revoked_by_admin");
    let rows: i64 = portal
        .scalar("SELECT count(*) FROM audit_events WHERE kind = 'session_ended'")
        .await;
    assert_eq!(rows, 601, "each with its row");
}

#[tokio::test]
async fn callers_session_stays_unless_included() {
    let brokerages = Brokerages::open().await;
    let admin = &brokerages.admin;
    let (state, own) = (admin.get("/api/v1/session_state").await.json(), admin.session());
    let body = json!({ "user_id": state["user"]["id"] });
    let ended = revoke(admin, body.clone()).await.expect(200).json();
    assert_eq!((&ended["ended"], &ended["left"]), (&json!(0), &json!(0)));
    assert!(admin.is_live().await);

    let body = json!({ "user_id": body["user_id"], "own_too": true });
    assert_eq!(revoke(admin, body).await.expect(200).json()["ended"], 1);
    assert_eq!(admin.end_reason().await, "revoked_by_admin");
    assert_eq!(
        brokerages.portal.end_reason(own).await.as_deref(),
        Some("revoked_by_admin")
    );
}

#[tokio::test]
async fn revoking_a_user_names_the_administrator_every_time() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal,
        admin,
        bea,
        both,
        ..
    } = &brokerages;
    let body = json!({ "user_id": bea.id, "begun_by": "2000-01-01T00:00:00.000Z", "reason": "A test." });
    assert_eq!(revoke(admin, body).await.expect(200).json()["ended"], 2);
    for client in both {
        let row = &portal.ends_of(client.session()).await[0];
        assert_eq!(
            (
                row.actor_session,
                row.reason.as_deref(),
                row.detail["note"].as_str()
            ),
            (Some(admin.session()), Some("revoked_by_admin"), Some("A test."))
        );
    }
}

#[tokio::test]
async fn signed_out_administrator_signs_nobody_out() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal,
        admin,
        bea,
        both,
        ..
    } = &brokerages;
    let lock = HeldLock::of_user(portal, bea).await;
    let asking = admin.duplicate();
    let body = json!({ "user_id": bea.id });
    let asking = tokio::spawn(async move { revoke(&asking, body).await });
    lock.until_waiting(1).await;
    portal
        .execute(&format!(
            "UPDATE sessions SET ended_at = now(), end_reason = 'signed_out' WHERE id = '{}'",
            admin.session()
        ))
        .await;
    lock.release().await;
    asking.await.expect("a response").expect(401);
    for client in both {
        assert_eq!(portal.end_reason(client.session()).await, None);
    }
}

/// Every notation of a filter without conditions, as API, form and service receive it.
#[tokio::test]
async fn revocation_rejects_every_empty_filter() {
    let brokerages = Brokerages::open().await;
    let Brokerages { portal, admin, .. } = &brokerages;
    let mut bodies = vec![
        json!({ "filter": {} }),
        json!({ "filter": null }),
        json!({ "filter": "" }),
        json!({ "filter": [] }),
        json!({ "filter": { "q": null } }),
        json!({ "filter": { "all": "true" } }),
        json!({ "filter": { "kind": "", "role": " ", "user": "" } }),
        json!({ "ids": [] }),
        json!({ "ids": null }),
        json!({ "ids": [""] }),
        json!({ "user_id": "" }),
        json!({ "user_id": null }),
        json!({ "filter": {}, "ids": [], "user_id": null }),
    ];
    let blanks = [
        "",
        " ",
        "\t",
        "\u{a0}",
        "\u{200b}",
        "\u{ad}\u{2060}",
        "\u{feff}",
        "\u{3164}",
        "\u{e0041}",
    ];
    for blank in blanks {
        for &field in SessionFilter::FIELDS {
            bodies.push(json!({ "filter": { field: blank } }));
            bodies.push(json!({ "filter": { field: blank, "state": "live" } }));
        }
    }
    // A repeated state cannot be expressed in JSON.
    bodies.retain(|body| {
        body["filter"]
            .as_object()
            .is_none_or(|filter| filter.get("state") != Some(&json!("live")) || filter.len() > 1)
    });
    for mut body in bodies {
        body["own_too"] = json!(true);
        let response = revoke(admin, body.clone()).await.expect(422);
        assert_eq!(response.problem(), "invalid_input", "{body}");
    }
    for filter in [
        "",
        "&",
        "q=",
        "q=+",
        "q=%E2%80%8B",
        "q=&kind=&state=",
        "kind=&q=%C2%AD",
        "q=&state=live",
        "after=1",
    ] {
        let fields = [
            ("which", "end_listed"),
            ("begun_by", "2099-01-01T00:00:00.000Z"),
            ("filter", filter),
        ];
        admin.submit("admin_end_sessions", &fields).await.expect(422);
    }
    assert_eq!(portal.audit("session_ended").await, []);
    assert_eq!(portal.audit("sessions_ended_by_filter").await, []);
    // The list accepts what the revocation rejects.
    for query in ["", "q=", "q=%E2%80%8B"] {
        assert_eq!(page(admin, query).await["total"], 6, "{query}");
    }
    let response = revoke(admin, json!({ "filter": { "state": "live" } }))
        .await
        .expect(200);
    assert_eq!(response.json()["ended"], 5);
}

#[tokio::test]
async fn form_without_a_valid_filter_ends_nothing() {
    let brokerages = Brokerages::open().await;
    let Brokerages { portal, admin, .. } = &brokerages;
    let base = [("which", "end_listed"), ("begun_by", "2099-01-01T00:00:00.000Z")];
    for more in [
        &[][..],
        &[("filter", "")],
        &[("filter", "knd=desktop")],
        &[("filter", "kind=phone")],
        &[("filter", "kind=%FF")],
        &[("filter", "kind=%zz")],
        &[("filter", "user")],
        &[("filter", "kind=desktop&kind=browser")],
    ] {
        let fields = [&base[..], more].concat();
        admin.submit("admin_end_sessions", &fields).await.expect(422);
    }
    assert_eq!(portal.audit("session_ended").await, []);
    for query in [
        "kind=phone&ask=end_listed",
        "rolle=x&ask=end_listed",
        "kind=%FF&ask=end_listed",
        "kind&ask=end_listed",
    ] {
        let html = admin
            .get_text(&format!("/dashboard/admin/sessions?{query}"))
            .await;
        assert!(
            html.contains("in the address") && html.contains("0 sessions"),
            "{query}"
        );
        assert!(
            !html.contains("nora@") && !html.contains("<dialog class=\"dialog fragment"),
            "{query}"
        );
    }
    for query in ["kind=%FF", "kind", "kind=desktop&kind=browser"] {
        for path in ["sessions", "sessions.csv"] {
            let path = format!("/api/v1/admin/{path}?{query}");
            admin.get(&path).await.expect(422);
        }
    }
}

/// Returns the hidden fields of a rendered form.
fn drawn_fields(html: &str) -> Vec<(&str, &str)> {
    let form = html
        .split("<form method=\"post\" action=\"/api/admin_end_sessions\"")
        .nth(1);
    let form = form
        .and_then(|rest| rest.split("</form>").next())
        .expect("the question");
    form.split("<input type=\"hidden\"")
        .skip(1)
        .filter_map(|tag| {
            let value_of = |name: &str| {
                let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
                rest.split('"').next()
            };
            Some((value_of("name")?, value_of("value").unwrap_or_default()))
        })
        .collect()
}

#[tokio::test]
async fn rendered_form_ends_exactly_what_it_names() {
    let brokerages = Brokerages::open().await;
    let Brokerages {
        portal,
        admin,
        north,
        both,
        harbour,
        ..
    } = &brokerages;
    // The test's clock is fixed, so no session is newer.
    let html = admin.get_text("/dashboard/admin/sessions?ask=end_listed").await;
    assert!(html.contains("End 5 sessions?"), "{html}");
    let fields = drawn_fields(&html);
    assert!(fields.contains(&("filter", "state=live")), "{fields:?}");
    let response = admin.submit("admin_end_sessions", &fields).await.expect(200);
    assert_eq!(response.json()["ended"], 5);
    for client in north.iter().chain(both) {
        assert_eq!(client.end_reason().await, "revoked_by_admin");
    }
    assert!(admin.is_live().await && harbour[0].is_live().await);
    assert_eq!(portal.audit("session_ended").await.len(), 5);
    // A dialog about the own user does not name the session that stays.
    let state = admin.get_json("/api/v1/session_state").await;
    let own = state["user"]["id"].as_str().expect("an id").to_owned();
    let path =
        format!("/dashboard/admin/people?person={own}&ask=end_person&begun_by=2020-01-01T00:00:00.000Z");
    let html = admin.get_text(&path).await.replace("<!>", "");
    assert!(
        html.contains("This ends 1 session of") && html.contains("own_too"),
        "{html}"
    );
}
