//! The server listens on every interface, and its public URL is not set.

use std::net::Ipv4Addr;

use crate::harness::*;

#[tokio::test]
async fn unknown_public_url_is_explained() {
    let postgres = Postgres::start("public-address").await;
    let people = TestAccounts::of(&postgres).await;
    let maria = people.broker("maria").await;
    people.close().await;
    let mut command = Server::command(&postgres);
    command.env("PORTAL_TRUSTED_PROXIES", "0.0.0.0/0");
    let server = Server::run_at(Ipv4Addr::UNSPECIFIED, command).await;
    let public = format!("http://127.0.0.1:{}", server.address.port());
    let lines = |words: &str| server.log().lines().filter(|line| line.contains(words)).count();
    assert_eq!(lines("PORTAL_PUBLIC_URL is not set"), 1, "{}", server.log());
    assert_eq!(
        lines("PORTAL_TRUSTED_PROXIES contains 0.0.0.0/0"),
        1,
        "{}",
        server.log()
    );

    // Requests have the Host `portal`.
    for _ in 0..3 {
        let sign_in = browser_sign_in(&maria).header("origin", "http://portal");
        let response = server.send(sign_in).await.expect(403);
        assert_eq!(response.json()["code"], "wrong_address");
        assert_eq!(response.json()["address"], *public);
        assert_eq!(response.header("set-cookie"), None);
    }
    let refused = "request from another origin refused";
    assert_eq!(lines(refused), 1, "{}", server.log());
    let log = server.log();
    let line = log.lines().find(|line| line.contains(refused)).expect("a line");
    for part in ["http://portal", &public, "PORTAL_PUBLIC_URL"] {
        assert!(line.contains(part), "{line}");
    }
    // At the known URL, users can sign in.
    let sign_in = browser_sign_in(&maria).header("origin", &public);
    server.send(sign_in).await.expect(200);
}
