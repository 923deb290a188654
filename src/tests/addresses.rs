//! Client addresses in lists and records.

use crate::harness::*;

const FORGED: &str = "10.9.8.7, 127.0.0.1";

/// Returns the address of the client's own session in its list, in the database and in the audit log.
async fn seen(portal: &Portal, client: &Client) -> [String; 3] {
    let list = client.get_json("/api/v1/sessions").await;
    let own = list["sessions"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|s| s["is_current"] == true)
        .expect("own")
        .clone();
    let audit = portal.audit("signed_in").await;
    let audit = audit
        .iter()
        .find(|row| row.session == Some(client.session()))
        .expect("a row");
    [
        own["ip_address"].as_str().expect("an address").to_owned(),
        portal.session_row(client.session()).await.ip_address,
        audit.ip_address.clone().expect("an address"),
    ]
}

/// Signs in with this `X-Forwarded-For`.
async fn signed_in_through(client: Client, person: &TestUser, forwarded: &str) -> Client {
    let fields = [("email", &*person.email), ("password", &*person.password)];
    client
        .post("/api/sign_in")
        .header("x-forwarded-for", forwarded)
        .form(&fields)
        .await
        .expect(200);
    client.load_session_id().await;
    client
}

#[tokio::test]
async fn untrusted_client_cannot_choose_its_recorded_address() {
    for settings in [&[][..], &[("PORTAL_TRUSTED_PROXIES", "10.0.0.0/8")]] {
        let portal = Portal::with(settings).await;
        let maria = portal.broker("maria").await;
        let chrome = portal.browser(CHROME).at("203.0.113.9");
        chrome
            .post("/api/sign_in")
            .header("x-forwarded-for", FORGED)
            .form(&[("email", &maria.email), ("password", "not it")])
            .await
            .expect(401);
        let failed = portal.audit("sign_in_failed").await;
        assert_eq!(failed[0].ip_address.as_deref(), Some("203.0.113.9"));

        let chrome = signed_in_through(chrome, &maria, FORGED).await;
        assert_eq!(seen(&portal, &chrome).await, ["203.0.113.9"; 3]);
        chrome
            .post("/api/sign_out")
            .header("x-forwarded-for", FORGED)
            .await
            .expect(200);
        let ended = portal.ends_of(chrome.session()).await;
        assert_eq!(ended[0].ip_address.as_deref(), Some("203.0.113.9"));
    }
}

#[tokio::test]
async fn trusted_proxy_is_believed_for_its_client() {
    let portal = Portal::with(&[("PORTAL_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8:ffff::/48")]).await;
    let maria = portal.broker("maria").await;
    for (proxy, forwarded, address) in [
        ("10.0.0.1", "198.51.100.4", "198.51.100.4"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.4, 10.0.0.2", "198.51.100.4"),
        ("2001:db8:ffff::1", "6.6.6.6, 2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "::ffff:198.51.100.4", "198.51.100.4"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("203.0.113.9", "198.51.100.4", "203.0.113.9"),
    ] {
        let chrome = signed_in_through(portal.browser(CHROME).at(proxy), &maria, forwarded).await;
        assert_eq!(seen(&portal, &chrome).await, [address; 3], "{proxy}: {forwarded}");
    }
}

#[tokio::test]
async fn every_notation_of_a_forwarded_address_is_recorded() {
    let portal = Portal::with(&[("PORTAL_TRUSTED_PROXIES", "127.0.0.1, ::ffff:10.0.0.0/104")]).await;
    let maria = portal.broker("maria").await;
    for (proxy, forwarded, address) in [
        ("127.0.0.1", "203.0.113.7:55220", "203.0.113.7"),
        ("127.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("127.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("127.0.0.1", "\"203.0.113.7:55220\"", "203.0.113.7"),
        ("::ffff:127.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        // A trusted network in IPv6 notation, and a proxy in either notation.
        ("10.0.0.1", "203.0.113.7:55220, 10.0.0.2:80", "203.0.113.7"),
        ("::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "203.0.113.7, unknown", "127.0.0.1"),
    ] {
        let chrome = signed_in_through(portal.browser(CHROME).at(proxy), &maria, forwarded).await;
        assert_eq!(seen(&portal, &chrome).await, [address; 3], "{proxy}: {forwarded}");
    }
}

#[tokio::test]
async fn forwarded_addresses_with_ports_are_limited_apart() {
    let portal = Portal::with(&[
        ("PORTAL_TRUSTED_PROXIES", "127.0.0.1"),
        ("PORTAL_SIGN_IN_ATTEMPTS_PER_ADDRESS", "2"),
    ])
    .await;
    let proxy = portal.browser(CHROME).at("127.0.0.1");
    let guess = async |forwarded: &str, email: &str| {
        let call = proxy.post("/api/sign_in").header("x-forwarded-for", forwarded);
        call.form(&[("email", email), ("password", "not it")])
            .await
            .status
    };
    for (port, status) in [(1, 401), (2, 401), (3, 429)] {
        let email = format!("{port}@broker.example");
        assert_eq!(guess(&format!("203.0.113.7:{port}"), &email).await, status);
    }
    assert_eq!(guess("203.0.113.8:3", "4@broker.example").await, 401);
}

#[tokio::test]
async fn forwarded_header_is_not_read() {
    let portal = Portal::with(&[("PORTAL_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let maria = portal.broker("maria").await;
    for (forwarded_for, address) in [(None, "127.0.0.1"), (Some("203.0.113.7"), "203.0.113.7")] {
        let chrome = portal.browser(CHROME).at("127.0.0.1");
        let mut call = chrome
            .post("/api/sign_in")
            .header("forwarded", "for=6.6.6.6")
            .form(&[("email", &maria.email), ("password", &maria.password)]);
        if let Some(value) = forwarded_for {
            call = call.header("x-forwarded-for", value);
        }
        call.await.expect(200);
        chrome.load_session_id().await;
        assert_eq!(seen(&portal, &chrome).await, [address; 3]);
    }
}
