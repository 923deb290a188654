//! Flash messages: shown once by their page, and never taken from the URL.

use axum::http::Method;
use domain::flash::{Flash, FlashCode};

use crate::harness::*;

const PEOPLE: &str = "/dashboard/admin/people";
const SESSIONS: &str = "/dashboard/admin/sessions";
const SETTINGS: &str = "/dashboard/settings";

/// A system administrator in a browser without JavaScript, and a broker.
struct Office {
    portal: Portal,
    root: Client,
    nora: TestUser,
}

impl Office {
    async fn open() -> Self {
        let portal = Portal::start().await;
        let root = portal.system_admin("root").await;
        let nora = portal.member("nora", "Northgate").await;
        Self {
            root: portal.browser(CHROME).signed_in(&root).await.without_script(),
            portal,
            nora,
        }
    }

    /// Disables Nora with the form on the list of users.
    async fn disable(&self) -> TestResponse {
        let fields = [("user_id", &*self.nora.id.to_string()), ("next", PEOPLE)];
        self.root
            .submit("admin_disable_person", &fields)
            .await
            .expect(302)
    }

    /// Returns the stored messages.
    async fn stored_message(&self) -> Option<Value> {
        self.portal
            .scalar(&format!(
                "SELECT flash FROM sessions WHERE id = '{}'",
                self.root.session()
            ))
            .await
    }
}

const DISABLED: &str = "The account is disabled";

#[tokio::test]
async fn forged_parameters_show_no_message() {
    let office = Office::open().await;
    let Office { portal, root, nora } = &office;
    portal.desktop("mac").signed_in(nora).await;
    let person = format!(
        "{PEOPLE}?person={}&ask=end_person&begun_by=2099-01-01T00:00:00.000Z",
        nora.id
    );
    let pages = [
        "/login",
        "/dashboard",
        SETTINGS,
        "/dashboard/settings/sign-out-all",
        "/dashboard/confirm-password?for=sign_out_all_devices",
        SESSIONS,
        "/dashboard/admin/sessions?ask=end_listed&begun_by=2099-01-01T00:00:00.000Z",
        PEOPLE,
        &person,
        "/dashboard/admin/audit",
        "/dashboard/admin/health",
        "/dashboard/nowhere",
    ];
    let old = "ended disabled enabled password_asked role_changed test_sent password_changed signed_out_one signed_out_others";
    let mut codes: Vec<String> = old.split(' ').map(str::to_owned).collect();
    codes.extend(FlashCode::ALL.map(|code| Flash { code, count: 41 }.to_string()));
    let words = FlashCode::ALL.map(|code| Flash { code, count: 41 }.message());
    let stranger = portal.browser(SAFARI);
    for page in pages {
        let client = if page == "/login" { &stranger } else { root };
        let mark = if page.contains('?') { '&' } else { '?' };
        for code in &codes {
            let forged = format!("{page}{mark}done={code}&ended=41&flash={code}&message={code}");
            let html = client.get(&forged).await.body;
            for words in words.iter().map(String::as_str).chain([
                "41 ended",
                "notice success",
                "Your password has been changed.",
            ]) {
                assert!(!html.contains(words), "{words} in {forged}: {html}");
            }
        }
    }
}

#[tokio::test]
async fn message_is_shown_once_by_its_page() {
    let office = Office::open().await;
    let root = &office.root;
    let plain = office
        .portal
        .statements_of(root.get(PEOPLE).into_future())
        .await
        .0;
    let response = office.disable().await;
    assert_eq!(response.location(), PEOPLE);
    // Other requests for a page do not consume the message: another tab, a background request, a prefetch, a program.
    for path in [SESSIONS, SETTINGS, "/dashboard", "/dashboard/admin/audit"] {
        assert!(!root.get_text(path).await.contains(DISABLED), "{path}");
    }
    for (name, value) in [
        ("x-portal-background", "1"),
        ("sec-purpose", "prefetch;anonymous-client-ip"),
    ] {
        let page = root.get(PEOPLE).header(name, value).await.expect(200);
        assert!(!page.body.contains(DISABLED), "{name}");
    }
    root.call(Method::HEAD, PEOPLE).await.expect(200);
    let fragment = root.submit("draw_admin", &[("place", PEOPLE)]).await;
    assert!(!fragment.body.contains(DISABLED));
    root.get("/api/v1/sessions").await.expect(200);

    let (statements, page) = office
        .portal
        .statements_of(root.follow(&response).into_future())
        .await;
    assert!(page.expect(200).body.contains(DISABLED));
    assert_eq!(statements, plain + 1);
    assert_eq!(office.stored_message().await, None);
    let (statements, page) = office.portal.statements_of(root.get(PEOPLE).into_future()).await;
    assert!(!page.expect(200).body.contains(DISABLED));
    assert_eq!(statements, plain);
}

#[tokio::test]
async fn each_page_keeps_its_own_last_message() {
    let office = Office::open().await;
    let (root, id) = (&office.root, office.nora.id.to_string());
    office.disable().await;
    for page in [PEOPLE, SESSIONS] {
        let next = format!("{page}?q=nora");
        let response = root
            .submit("admin_enable_person", &[("user_id", &*id), ("next", &*next)])
            .await;
        assert_eq!(response.location(), next);
    }
    for page in [PEOPLE, SESSIONS] {
        let html = root.get_text(page).await;
        assert!(
            html.contains("The account can sign in again.") && !html.contains(DISABLED),
            "{page}"
        );
    }
    assert_eq!(office.stored_message().await, None);
}

#[tokio::test]
async fn message_survives_cookie_rotation() {
    let office = Office::open().await;
    let root = &office.root;
    office.portal.advance(seconds(1801)).await;
    let before = root.cookie();
    let fields = [
        ("user_id", &*office.nora.id.to_string()),
        ("next", PEOPLE),
        ("password", "the password of root"),
    ];
    let response = root.submit("admin_disable_person", &fields).await.expect(302);
    assert_ne!(root.cookie(), before, "the check was renewed");
    assert!(root.follow(&response).await.expect(200).body.contains(DISABLED));
}

#[tokio::test]
async fn settings_show_a_forms_result_once() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await.without_script();
    let passwords = [
        ("current_password", &*maria.password),
        ("new_password", "a fresh and long one"),
    ];
    let one = portal
        .desktop("mac")
        .signed_in(&maria)
        .await
        .session()
        .to_string();
    portal.desktop("thinkpad").signed_in(&maria).await;
    for (path, fields, words) in [
        (
            "revoke_session",
            vec![("session_id", &*one)],
            "The device has been signed out.",
        ),
        (
            "sign_out_other_devices",
            vec![],
            "All other devices have been signed out.",
        ),
        (
            "change_password",
            passwords.to_vec(),
            "No other device was signed in.",
        ),
    ] {
        let response = chrome
            .post(&format!("/api/{path}"))
            .form(&fields)
            .await
            .expect(302);
        assert_eq!(response.location(), SETTINGS);
        let html = chrome.follow(&response).await.expect(200).body;
        assert!(html.contains(words), "{path}: {html}");
        assert_eq!(html.matches("notice success").count(), 1, "{path}");
        let html = chrome.get_text(SETTINGS).await;
        assert!(!html.contains(words), "{path}");
    }
}

#[tokio::test]
async fn scripted_page_leaves_no_message() {
    let office = Office::open().await;
    let scripted = office.portal.browser(CHROME);
    scripted.set_cookie(&office.root.cookie().expect("a cookie"));
    let fields = [("user_id", &*office.nora.id.to_string()), ("next", PEOPLE)];
    let response = scripted
        .submit("admin_disable_person", &fields)
        .await
        .expect(200)
        .json();
    assert!(
        response["message"]
            .as_str()
            .is_some_and(|text| text.starts_with(DISABLED))
    );
    assert_eq!(response["next"], PEOPLE);
    assert_eq!(office.stored_message().await, None);
}

#[tokio::test]
async fn follow_up_dialog_says_how_many_ended() {
    let office = Office::open().await;
    let Office { portal, root, nora } = &office;
    portal.desktop("mac").signed_in(nora).await;
    let keep = async || {
        sqlx::query(
            "UPDATE sessions SET flash = jsonb_build_object($2::text, 'sessions_left:41') WHERE id = $1",
        )
        .bind(root.session().0)
        .bind(SESSIONS)
        .execute(&portal.sql)
        .await
        .expect("a message");
    };
    let ask = format!("{SESSIONS}?ask=end_listed");
    keep().await;
    assert!(root.get_text(&ask).await.contains("41 ended so far, 1 left."));
    assert!(!root.get_text(&ask).await.contains("41 ended"));
    keep().await;
    let html = root.get_text(SESSIONS).await;
    assert!(
        html.contains("41 sessions ended. More sessions remain."),
        "{html}"
    );
}

#[tokio::test]
async fn messages_of_newer_servers_are_ignored() {
    let office = Office::open().await;
    for kept in [
        r#"{"/dashboard/settings": "something_new:1"}"#,
        r#"{"/dashboard/settings": [1]}"#,
        "[]",
    ] {
        sqlx::query("UPDATE sessions SET flash = $2::text::jsonb WHERE id = $1")
            .bind(office.root.session().0)
            .bind(kept)
            .execute(&office.portal.sql)
            .await
            .expect("a message");
        let html = office.root.get_text(SETTINGS).await;
        assert!(!html.contains("notice success"), "{kept}: {html}");
    }
}
