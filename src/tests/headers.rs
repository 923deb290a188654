//! Headers of every response, including errors and redirects.

use crate::harness::*;

/// Returns one response of each kind.
async fn responses(portal: &Portal) -> Vec<(&'static str, TestResponse)> {
    let maria = portal.broker("maria").await;
    let stranger = portal.browser(SAFARI);
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    vec![
        ("sign-in", stranger.get("/login").await.expect(200)),
        ("redirect", stranger.get("/dashboard").await.expect(303)),
        ("root", stranger.get("/").await.expect(303)),
        ("dashboard", chrome.get("/dashboard").await.expect(200)),
        ("settings", chrome.get("/dashboard/settings").await.expect(200)),
        ("not found", chrome.get("/nowhere").await.expect(404)),
        ("API", mac.get("/api/v1/sessions").await.expect(200)),
        ("API 401", stranger.get("/api/v1/sessions").await.expect(401)),
        ("API 404", mac.get("/api/v1/nowhere").await.expect(404)),
        ("API 204", mac.post("/api/v1/devices/heartbeat").await.expect(204)),
        (
            "server function",
            chrome.post("/api/show_viewer").await.expect(200),
        ),
        (
            "server function 401",
            stranger.post("/api/show_viewer").await.expect(401),
        ),
        (
            "forbidden",
            chrome
                .post("/api/sign_out")
                .header("sec-fetch-site", "cross-site")
                .await
                .expect(403),
        ),
        (
            "too long",
            chrome.submit("sign_out", &[("a", &"x".repeat(1 << 20))]).await,
        ),
        (
            "sign-out",
            chrome
                .clone()
                .without_script()
                .post("/api/sign_out")
                .await
                .expect(302),
        ),
        ("health", stranger.get("/healthz").await.expect(200)),
        ("missing file", stranger.get("/pkg/nothing.js").await.expect(404)),
    ]
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    for https in [false, true] {
        let settings = [(
            "PORTAL_PUBLIC_URL",
            if https {
                "https://portal.example"
            } else {
                "http://localhost:3000"
            },
        )];
        let portal = Portal::with(&settings).await;
        for (name, response) in responses(&portal).await {
            for (header, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "same-origin"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(response.all(header), [value], "{name}: {header}");
            }
            assert!(
                response
                    .header("permissions-policy")
                    .is_some_and(|value| value.contains("camera=()")),
                "{name}"
            );
            let policy = response.all("content-security-policy");
            assert_eq!(policy.len(), 1, "{name}");
            for part in [
                "default-src 'none'",
                "base-uri 'none'",
                "object-src 'none'",
                "frame-ancestors 'none'",
                "form-action 'self'",
                "style-src 'self'",
            ] {
                assert!(
                    policy[0].split(';').any(|directive| directive.trim() == part),
                    "{name}: {part}"
                );
            }
            assert!(
                !policy[0].contains("unsafe-inline") && !policy[0].contains("'unsafe-eval'"),
                "{name}"
            );
            let hsts = response.header("strict-transport-security");
            assert_eq!(
                hsts,
                https.then_some("max-age=63072000; includeSubDomains"),
                "{name}"
            );
            assert!(
                response.header("x-request-id").is_some_and(|id| id.len() == 36),
                "{name}"
            );
            assert_eq!(response.header("server"), None, "{name}");
        }
    }
}

#[tokio::test]
async fn every_script_has_the_policys_nonce() {
    let (portal, _, chrome) = Portal::with_browser().await;
    let stranger = portal.browser(SAFARI);
    let mut nonces = Vec::new();
    for (client, path) in [
        (&stranger, "/login"),
        (&stranger, "/login?reason=idle_timeout&next=/dashboard"),
        (&stranger, "/nowhere"),
        (&chrome, "/dashboard"),
        (&chrome, "/dashboard/settings"),
        (&chrome, "/dashboard/settings/sign-out-all"),
        (&chrome, "/dashboard/settings/sign-out-others"),
        (&chrome, "/dashboard/nowhere"),
    ] {
        let page = client.get(path).await;
        let policy = page
            .header("content-security-policy")
            .expect("a policy")
            .to_owned();
        let scripts = policy
            .split(';')
            .find_map(|part| part.trim().strip_prefix("script-src "))
            .expect("script-src");
        let nonce = scripts
            .split_once("'nonce-")
            .and_then(|(_, rest)| rest.split_once('\''))
            .expect("a nonce")
            .0;
        assert_eq!(
            scripts,
            format!("'self' 'nonce-{nonce}' 'wasm-unsafe-eval'"),
            "{path}"
        );
        assert!(page.body.contains("<script"), "{path}");
        for script in page.body.split("<script").skip(1) {
            let tag = script.split_once('>').expect("a tag").0;
            assert!(
                tag.contains(&format!(r#"nonce="{nonce}""#)),
                "{path}: <script {tag}>"
            );
        }
        let lower = page.body.to_ascii_lowercase();
        for inline in ["<style", " style=\"", " onclick=", " onload=", "javascript:"] {
            assert!(!lower.contains(inline), "{path}: {inline}: {}", page.body);
        }
        nonces.push(nonce.to_owned());
    }
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 8, "a nonce is used once");
}

#[tokio::test]
async fn only_pages_may_run_scripts() {
    let portal = Portal::start().await;
    for path in ["/healthz", "/api/session_state", "/dashboard", "/"] {
        let response = portal.browser(SAFARI).get(path).await;
        let policy = response.header("content-security-policy").expect("a policy");
        assert!(!policy.contains("script-src"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn hashed_files_are_cached_and_missing_ones_not() {
    let portal = Portal::start().await;
    let stranger = portal.browser(SAFARI);
    let file = stranger.get("/pkg/portal.js").await.expect(200);
    assert_eq!(
        file.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        stranger
            .get("/pkg/portal.0.js")
            .await
            .expect(404)
            .header("cache-control"),
        Some("no-store")
    );
    let icon = stranger.get("/favicon.svg").await.expect(200);
    assert_eq!(icon.header("cache-control"), Some("public, max-age=3600"));
}

#[tokio::test]
async fn request_ids_are_unique_and_set_by_us() {
    let portal = Portal::start().await;
    let stranger = portal.anonymous();
    let first = stranger.get("/healthz").header("x-request-id", "chosen").await;
    let second = stranger.get("/healthz").header("x-request-id", "chosen").await;
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    assert_ne!(first.header("x-request-id"), Some("chosen"));
}
