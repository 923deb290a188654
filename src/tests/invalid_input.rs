//! No input makes the portal panic or return a server error.

use axum::http::Method;
use domain::query::encode_query_value;
use proptest::{prelude::*, sample::select};

use crate::harness::*;

/// Asserts that the response is no server error.
#[track_caller]
fn assert_no_fault_of_ours(response: &TestResponse) {
    assert!(response.status < 500, "{response:#?}");
}

/// Generates text for a header, and bytes that are not text.
fn header() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\t'), 0x20..=0x7e_u8, 0x80..=0xff_u8];
    prop_oneof![
        prop::collection::vec(byte, 0..80),
        "[ -~]{0,60}".prop_map(String::into_bytes),
        "\\PC{0,40}".prop_map(String::into_bytes),
    ]
}

/// Generates random User-Agents from common parts.
fn user_agent() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: [&str; 24] = [
        "Mozilla/5.0 ",
        "(Windows NT 10.0; Win64; x64) ",
        "(iPhone; CPU iPhone OS 18_1 like Mac OS X) ",
        "(Linux; Android 15; ",
        ") ",
        "; ",
        "AppleWebKit/537.36 (KHTML, like Gecko) ",
        "Chrome/148.0.0.0 ",
        "Chrome/",
        "Mobile Safari/604.1",
        "Mobile ",
        "Mobile/15E148 ",
        " iOS",
        " WebView",
        "Version/18.1 ",
        "Edg/148.0",
        "Firefox/140.0",
        "Opera Mini/",
        "Tablet",
        "bot/1.0",
        "BrokerPortalDesktop/3.2.1",
        "\u{202e}",
        "é",
        "/",
    ];
    let parts = prop::collection::vec(select(PARTS.as_slice()), 0..8);
    prop_oneof![
        3 => parts.prop_map(|parts| parts.concat().into_bytes()),
        1 => header(),
        1 => header().prop_map(|part| part.repeat(20)),
    ]
}

/// Generates cookies and tokens that may look valid.
fn credential() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[A-Za-z0-9_-]{22}".prop_map(String::into_bytes),
        "[A-Za-z0-9_=+/-]{20,24}".prop_map(String::into_bytes),
        header(),
    ]
}

/// Generates text that is known to break programs.
fn hostile() -> impl Strategy<Value = Value> {
    const HOSTILE: [&str; 9] = [
        "\0",
        "a\0b",
        "\u{1b}[31m",
        "' OR 1=1 --",
        "<script>",
        "\u{202e}",
        "\u{feff}",
        "all",
        "keep",
    ];
    select(HOSTILE.as_slice()).prop_map(Value::from)
}

/// Generates any JSON.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,30}".prop_map(Value::from),
        ".{0,10}".prop_map(Value::from),
        hostile(),
        (0..3000_usize).prop_map(|length| Value::from("x".repeat(length))),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// The correct password, so that fields beside it are stored and not only validated.
const RIGHT: &str = "the password of maria";

/// Every route that takes a body, with a valid body. Only the sign-in has the correct password.
fn routes() -> Vec<(Method, String, Value)> {
    let post = |path: &str, body: Value| (Method::POST, path.to_owned(), body);
    let id = "00000000-0000-4000-8000-000000000000";
    let device =
        json!({ "device_id": "a", "device_name": "b", "os": "c", "platform": "d", "app_version": "1" });
    let email = "maria@broker.example";
    vec![
        post(
            "/api/sign_in",
            json!({ "email": email, "password": "not it", "next": "/dashboard" }),
        ),
        post("/api/sign_out", json!({})),
        post("/api/sign_in_notice", json!({})),
        post("/api/list_active_sessions", json!({})),
        post(
            "/api/revoke_session",
            json!({ "session_id": id, "password": "not it" }),
        ),
        post("/api/sign_out_other_devices", json!({ "password": "not it" })),
        post("/api/sign_out_all_devices", json!({ "password": "not it" })),
        post(
            "/api/change_password",
            json!({ "current_password": "not it", "new_password": "a new one of words", "other_sessions": "keep" }),
        ),
        post("/api/extend_session", json!({})),
        post("/api/list_security_notices", json!({})),
        post("/api/dismiss_security_notice", json!({ "notice_id": id })),
        post("/api/show_viewer", json!({})),
        post("/api/show_overview", json!({})),
        post("/api/choose_theme", json!({ "theme": "dark" })),
        post(
            "/api/v1/sessions",
            json!({ "email": email, "password": "not it", "device": device }),
        ),
        post(
            "/api/v1/sessions",
            json!({ "email": email, "password": RIGHT, "device": device }),
        ),
        post(
            "/api/v1/sessions",
            json!({ "email": email, "password": RIGHT, "device": device }),
        ),
        post(
            "/api/sign_in",
            json!({ "email": email, "password": RIGHT, "next": "/dashboard" }),
        ),
        post(
            "/api/v1/sessions/refresh",
            json!({ "refresh_token": "AAAAAAAAAAAAAAAAAAAAAA" }),
        ),
        post("/api/v1/session/extend", json!({})),
        post("/api/v1/session/reauthenticate", json!({ "password": "not it" })),
        post("/api/v1/devices/heartbeat", json!({})),
        (Method::DELETE, format!("/api/v1/sessions/{id}"), json!({})),
        (
            Method::DELETE,
            "/api/v1/sessions?scope=others".to_owned(),
            json!({}),
        ),
    ]
}

/// Pages and other routes without a body.
const READ: [&str; 9] = [
    "/dashboard",
    "/dashboard/settings",
    "/login",
    "/login?reason=idle_timeout",
    "/nowhere",
    "/api/session_state",
    "/api/v1/session_state",
    "/api/v1/sessions",
    "/api/v1/nowhere",
];

/// How a body is changed.
#[derive(Clone, Debug)]
enum Mangling {
    None,
    Field(usize, Value),
    /// A field of the inner object, if there is one.
    Inner(usize, Value),
    Missing(usize),
    Whole(Value),
    CutAt(usize),
    Bytes(Vec<u8>),
    ByteAt(usize, u8),
    AsForm,
    ContentType(String),
}

fn mangling() -> impl Strategy<Value = Mangling> {
    prop_oneof![
        1 => Just(Mangling::None),
        6 => (0..8_usize, json_value()).prop_map(|(at, value)| Mangling::Field(at, value)),
        6 => (0..8_usize, prop_oneof![3 => hostile(), 1 => json_value()])
            .prop_map(|(at, value)| Mangling::Inner(at, value)),
        2 => (0..8_usize).prop_map(Mangling::Missing),
        2 => json_value().prop_map(Mangling::Whole),
        2 => (0..200_usize).prop_map(Mangling::CutAt),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Mangling::Bytes),
        2 => (0..200_usize, any::<u8>()).prop_map(|(at, byte)| Mangling::ByteAt(at, byte)),
        1 => Just(Mangling::AsForm),
        1 => "[ -~]{0,30}".prop_map(Mangling::ContentType),
    ]
}

impl Mangling {
    fn apply(&self, call: Call, body: &Value) -> Call {
        let mut body = body.clone();
        let name = |body: &Value, at: usize| {
            let fields = body.as_object().expect("an object");
            let name = fields.keys().nth(at % fields.len().max(1));
            name.cloned().unwrap_or_else(|| "a".to_owned())
        };
        match self {
            Mangling::None => call.json(&body),
            Mangling::Field(at, value) => {
                let name = name(&body, *at);
                body[name] = value.clone();
                call.json(&body)
            }
            Mangling::Inner(at, value) => {
                if let Some(device) = body.get_mut("device") {
                    let name = name(device, *at);
                    device[name] = value.clone();
                }
                call.json(&body)
            }
            Mangling::Missing(at) => {
                let name = name(&body, *at);
                body.as_object_mut().expect("an object").remove(&name);
                call.json(&body)
            }
            Mangling::Whole(value) => call.json(value),
            Mangling::CutAt(at) => {
                let mut text = body.to_string().into_bytes();
                text.truncate(*at);
                call.body("application/json", text)
            }
            Mangling::Bytes(bytes) => call.body("application/json", bytes.clone()),
            Mangling::ByteAt(at, byte) => {
                let mut text = body.to_string().into_bytes();
                let at = at % text.len();
                text[at] = *byte;
                call.body("application/json", text)
            }
            Mangling::AsForm => call.body("application/x-www-form-urlencoded", body.to_string()),
            Mangling::ContentType(kind) => call.body(kind, body.to_string()),
        }
    }
}

/// Starts a portal with a user, a browser and a desktop.
async fn portal_with_maria() -> (Portal, TestUser) {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    (portal, maria)
}

#[test]
fn no_body_causes_a_server_error() {
    let portal = tokio::sync::OnceCell::new();
    let values = (select(routes()), mangling(), 0..4_usize);
    for_all(400, &values, async |((method, path, body), mangling, who)| {
        let (portal, maria) = portal.get_or_init(portal_with_maria).await;
        portal.advance(seconds(1)).await;
        let client = match who {
            0 => portal.anonymous(),
            1 => portal.desktop("mac").signed_in(maria).await,
            2 => portal.browser(CHROME).signed_in(maria).await,
            _ => portal.browser(CHROME).signed_in(maria).await.without_script(),
        };
        let response = mangling.apply(client.call(method, &path), &body).await;
        assert_no_fault_of_ours(&response);
        if path.starts_with("/api/v1/") && response.status >= 400 {
            assert!(!response.problem().is_empty());
        }
    });
}

#[test]
fn no_header_causes_a_server_error() {
    let proxies = [("PORTAL_TRUSTED_PROXIES", "198.51.100.0/24")];
    let portal = tokio::sync::OnceCell::new();
    let address = prop_oneof![
        header(),
        select(
            [
                "203.0.113.7",
                "2001:db8::1",
                "::ffff:203.0.113.7",
                "fe80::1%eth0",
                "203.0.113.7:443",
                "[2001:db8::1]",
                "unknown",
                "198.51.100.9, 198.51.100.8",
                ",,,",
                "999.1.1.1",
            ]
            .as_slice()
        )
        .prop_map(|address| address.as_bytes().to_vec()),
    ];
    let values = (
        select(READ.as_slice()),
        0..4_usize,
        credential(),
        address,
        user_agent(),
    );
    for_all(
        400,
        &values,
        async |(path, place, credential, address, user_agent)| {
            let portal = portal.get_or_init(|| Portal::with(&proxies)).await;
            let name = portal.state.config.cookie_name();
            let with = |start: &str| [start.as_bytes(), &credential].concat();
            let call = portal
                .anonymous()
                .get(path)
                .bytes_header("x-forwarded-for", &address)
                .bytes_header("user-agent", &user_agent);
            let call = match place {
                0 => call.bytes_header("cookie", &with(&format!("{name}="))),
                1 => call.bytes_header("cookie", &with("a=b; portal_browser=")),
                2 => call.bytes_header("authorization", &with("Bearer ")),
                _ => call.bytes_header("authorization", &credential),
            };
            let response = call.await;
            assert_no_fault_of_ours(&response);
            if path.contains("session_state") {
                response.expect(401);
            }
        },
    );
}

#[test]
fn every_user_agent_signs_in_and_is_listed() {
    let portal = tokio::sync::OnceCell::new();
    let values = (user_agent(), user_agent(), any::<bool>());
    for_all(200, &values, async |(began_in, seen_in, desktop)| {
        let (portal, maria) = portal.get_or_init(portal_with_maria).await;
        let client = if desktop {
            portal.desktop("mac")
        } else {
            portal.browser(CHROME)
        };
        let call = if desktop {
            let device = json!({ "device_id": "mac", "device_name": "b", "os": "c", "platform": "d" });
            let body = json!({ "email": maria.email, "password": maria.password, "device": device });
            client.post("/api/v1/sessions").json(&body)
        } else {
            let fields = [("email", &*maria.email), ("password", &*maria.password)];
            client.submit("sign_in", &fields)
        };
        let response = call.bytes_header("user-agent", &began_in).await;
        assert!(response.status < 300, "{response:#?}");
        if desktop {
            client.take_tokens(&response);
        }
        let list = client
            .get("/api/v1/sessions")
            .bytes_header("user-agent", &began_in)
            .await
            .expect(200);
        let list = list.json()["sessions"].clone();
        for session in list.as_array().expect("a list") {
            let name = session["device_name"].as_str().expect("a name");
            assert!((1..=120).contains(&name.chars().count()), "{session}");
        }
        // Later in another one: the session continues or ends, but no request fails.
        for path in ["/dashboard/settings", "/api/v1/sessions"] {
            let response = client.get(path).bytes_header("user-agent", &seen_in).await;
            assert_no_fault_of_ours(&response);
        }
    });
}

#[test]
fn next_never_leaves_the_portal() {
    let portal = tokio::sync::OnceCell::new();
    let parts: &[&str] = &[
        "/",
        "//",
        "\\",
        "/\\",
        "dashboard",
        "http:",
        "https:",
        "javascript:",
        "evil.example",
        "@",
        "?",
        "#",
        "%2F",
        "%09",
        "\t",
        "\r\n",
        "\0",
        ".",
        "..",
        ";",
        "login",
        "api",
        "é",
        "\u{2028}",
        "&next=",
        ":80",
        " ",
    ];
    let pieces = prop::collection::vec(select(parts.to_vec()), 0..7).prop_map(|parts| parts.concat());
    let next = prop_oneof![3 => pieces, 1 => ".{0,40}", 1 => "/[ -~]{0,40}"];
    for_all(150, &next, async |next| {
        let (portal, maria) = portal.get_or_init(portal_with_maria).await;
        // Later than the previous ones, so that the session limit ends those first.
        portal.advance(seconds(1)).await;
        let chrome = portal.browser(CHROME);
        let assert_here = |place: &str| {
            let rest = place.strip_prefix('/').unwrap_or_else(|| panic!("{place:?}"));
            assert!(!rest.starts_with(['/', '\\']), "{place:?}");
            assert!(
                !place.contains(|c: char| c.is_control() || c == '\\'),
                "{place:?}"
            );
        };
        let fields = [
            ("email", &*maria.email),
            ("password", &*maria.password),
            ("next", &*next),
        ];
        let response = chrome.submit("sign_in", &fields).await.expect(200);
        assert_here(response.json().as_str().expect("a path"));
        let plain = portal.browser(CHROME).without_script();
        let response = plain.submit("sign_in", &fields).await.expect(302);
        assert_here(response.location());
        let response = chrome
            .get(&format!("/login?next={}", encode_query_value(&next)))
            .await
            .expect(303);
        assert_here(response.location());
        let wrong = [("email", &*maria.email), ("password", "not it"), ("next", &*next)];
        let response = portal
            .browser(CHROME)
            .without_script()
            .submit("sign_in", &wrong)
            .await;
        assert_here(response.expect(302).location());
    });
}
