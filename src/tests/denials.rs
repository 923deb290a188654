//! Refusals: what they say and what they leave in the audit log.

use axum::http::Method;

use crate::admin_permissions::Organizations;
use crate::harness::*;

#[tokio::test]
async fn method_not_allowed_has_code_and_allow_header() {
    let portal = Portal::start().await;
    let nora = portal.broker("nora").await;
    let desktop = portal.desktop("mac").signed_in(&nora).await;
    let description = portal.anonymous().get_json("/api/openapi.json").await;
    let paths = description["paths"].as_object().expect("paths");
    let mut not_allowed = 0;
    for path in paths
        .keys()
        .map(String::as_str)
        .chain(["/api/v1/nowhere", "/api/v1", "/api/session_state"])
    {
        let path_with_id = path.replace("{id}", "nonsense");
        for method in [
            Method::PUT,
            Method::PATCH,
            Method::OPTIONS,
            Method::POST,
            Method::DELETE,
            Method::GET,
        ] {
            if path_with_id.ends_with("/events") && method == Method::GET {
                continue;
            }
            let response = desktop.call(method.clone(), &path_with_id).await;
            if response.status >= 400 {
                let code = response.problem();
                assert_eq!(
                    response.status == 405,
                    code == "method_not_allowed",
                    "{method} {path_with_id}: {response:#?}"
                );
                if response.status == 405 {
                    assert!(
                        response.header("allow").is_some(),
                        "{method} {path_with_id}: {response:#?}"
                    );
                    not_allowed += 1;
                }
            }
        }
    }
    assert!(not_allowed > 10, "{not_allowed}");
}

#[tokio::test]
async fn not_found_names_the_missing_resource() {
    let organizations = Organizations::open().await;
    let Organizations {
        portal,
        ada,
        hugo,
        harbour,
        ..
    } = &organizations;
    let hugo_session = portal.browser(CHROME).signed_in(hugo).await.session();
    let hugo = hugo.id.to_string();
    let words = |response: TestResponse| {
        let response = response.expect(404).json();
        assert_eq!(response["code"], "not_found");
        response["detail"]
            .as_str()
            .map_or(response["what"].to_string(), str::to_owned)
    };
    assert!(words(ada.get("/api/v1/nowhere").await).contains("This address does not exist"));
    assert!(words(ada.delete(&format!("/api/v1/sessions/{hugo_session}")).await).contains("That session"));
    let body = json!({ "user_id": hugo });
    let response = ada.post("/api/v1/admin/sessions/revoke").json(&body).await;
    assert!(words(response).contains("That user"));
    for (path, field, id, what) in [
        ("admin_disable_person", "user_id", &hugo, "person"),
        ("switch_organization", "organization_id", harbour, "organization"),
        ("dismiss_security_notice", "notice_id", &hugo, "notice"),
        (
            "draw_admin",
            "path_with_id",
            &"/dashboard/admin/nowhere".to_owned(),
            "address",
        ),
    ] {
        let response = ada.post(&format!("/api/{path}")).form(&[(field, id)]).await;
        assert_eq!(words(response), format!("\"{what}\""), "{path}");
    }
}

/// Every route that takes an id, with another user's id.
#[tokio::test]
async fn requests_with_foreign_ids_are_recorded() {
    let organizations = Organizations::open().await;
    let Organizations {
        portal,
        ada,
        hugo,
        harbour,
        ..
    } = &organizations;
    let hugo_session = portal.browser(CHROME).signed_in(hugo).await;
    let notice = portal
        .notices()
        .await
        .iter()
        .find(|row| row.user == hugo.id)
        .map(|row| row.id);
    let (user, session) = (hugo.id.to_string(), hugo_session.session().to_string());
    let mut calls = vec![
        ada.delete(&format!("/api/v1/sessions/{session}")),
        ada.submit("revoke_session", &[("session_id", &session)]),
        ada.submit("switch_organization", &[("organization_id", harbour)]),
    ];
    for action in ["disable_person", "enable_person", "require_password"] {
        calls.push(ada.submit(&format!("admin_{action}"), &[("user_id", &user)]));
    }
    for path in [
        format!("/dashboard/admin/sessions?session={session}"),
        format!("/dashboard/admin/sessions?user={user}"),
        format!("/dashboard/admin/sessions?user={user}&age=bogus"),
        format!("/dashboard/admin/people?person={user}"),
        format!("/api/v1/admin/sessions?user={user}"),
        format!("/api/v1/admin/sessions.csv?user={user}"),
    ] {
        calls.push(ada.get(&path));
    }
    for body in [
        json!({ "user_id": user }),
        json!({ "ids": [session] }),
        json!({ "filter": { "user": user } }),
    ] {
        calls.push(ada.post("/api/v1/admin/sessions/revoke").json(&body));
    }
    if let Some(notice) = notice {
        let notice = notice.to_string();
        calls.push(ada.submit("dismiss_security_notice", &[("notice_id", &notice)]));
    }
    for (rows, call) in (1..).zip(calls) {
        let response = call.await;
        let denied = portal.audit("denied").await;
        assert_eq!(denied.len(), rows, "{response:#?}");
        let last = denied.last().expect("a row");
        assert_eq!(
            (last.reason.as_deref(), last.actor_session),
            (Some("not_theirs"), Some(ada.session())),
            "{response:#?}"
        );
        // The first ten of a window have a row each, so start another window.
        portal.advance(seconds(901)).await;
        ada.post("/api/v1/session/reauthenticate")
            .json(&json!({ "password": "the password of ada" }))
            .await
            .expect(200);
    }
    assert!(hugo_session.is_live().await);
}

#[tokio::test]
async fn refused_own_role_change_is_recorded() {
    let organizations = Organizations::open().await;
    let Organizations {
        portal,
        ada,
        northgate,
        ..
    } = &organizations;
    let state = ada.get_json("/api/v1/session_state").await;
    let own = state["user"]["id"].as_str().expect("an id");
    let fields = [
        ("user_id", own),
        ("role", "broker"),
        ("organization_id", northgate),
    ];
    ada.submit("admin_change_role", &fields).await.expect(403);
    let rows = portal.audit("denied").await;
    let [denied] = &rows[..] else {
        panic!("one row: {rows:?}");
    };
    assert_eq!(
        (denied.reason.as_deref(), &denied.detail),
        (
            Some("not_permitted"),
            &json!({ "action": "change_role", "person_id": own })
        )
    );
}

#[tokio::test]
async fn repeated_denials_are_recorded_sparsely() {
    let organizations = Organizations::open().await;
    let Organizations {
        portal, hugo, bea, ..
    } = &organizations;
    let hugo_session = portal.browser(CHROME).signed_in(hugo).await.session();
    let bea = portal.desktop("mac").signed_in(bea).await;
    for _ in 0..120 {
        bea.delete(&format!("/api/v1/sessions/{hugo_session}"))
            .await
            .expect(404);
    }
    let denied = portal.audit("denied").await;
    assert_eq!(denied.len(), 11, "ten, and the hundredth");
    assert_eq!(denied[10].detail["refusals"], 100);
}
