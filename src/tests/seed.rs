//! Seeded databases: the requested numbers of users and sessions, valid, and without access for anyone.

use sqlx::Row as _;

use crate::harness::*;

/// All counts in one row.
const COUNTS: &str = "
    SELECT (SELECT count(*) FROM users) AS people, (SELECT count(*) FROM organizations) AS organizations,
        (SELECT count(*) FROM session_state WHERE live_until > $1) AS live,
        (SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL) AS ended,
        (SELECT count(*) FROM audit_events WHERE kind = 'session_ended') AS ends_on_record,
        (SELECT count(*) FROM audit_events WHERE kind = 'signed_in') AS sign_ins_on_record,
        (SELECT count(*) FROM audit_unsealed) AS unsealed,
        (SELECT count(*) FROM devices WHERE is_active) AS desktops,
        (SELECT count(*) FROM refresh_tokens) AS refresh_tokens,
        (SELECT count(DISTINCT ip_address) FROM sessions) AS addresses";

async fn seed(portal: &Portal, size: &str) -> (bool, String, String) {
    let words: Vec<&str> = ["seed"].into_iter().chain(size.split(' ')).collect();
    portal.run(&words).await
}

#[tokio::test]
async fn seed_creates_the_requested_live_sessions() {
    let portal = Portal::start().await;
    let (succeeded, out, err) = seed(&portal, "--people 200 --sessions 600 --organizations 7").await;
    assert!(succeeded && !out.contains("than their role allows"), "{out}{err}");
    let row = sqlx::query(COUNTS)
        .bind(portal.now())
        .fetch_one(&portal.sql)
        .await
        .expect("counts");
    let count = |name: &str| row.get::<i64, _>(name);
    assert_eq!((count("people"), count("organizations")), (200, 7));
    assert_eq!(
        (count("live"), count("ended"), count("ends_on_record")),
        (600, 60, 60)
    );
    assert_eq!(count("unsealed"), 0);
    assert!(
        (20..150).contains(&count("sign_ins_on_record")),
        "{}",
        count("sign_ins_on_record")
    );
    assert!((80..300).contains(&count("desktops")), "{}", count("desktops"));
    assert_eq!(count("desktops"), count("refresh_tokens"));
    assert!(count("addresses") > 600);
    assert_eq!(portal.audit_problems().await, []);

    let roles: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT role, max(sessions), min(most) FROM (
            SELECT user_id, role, count(*) AS sessions, min(max_sessions)::bigint AS most FROM session_state
            WHERE live_until > $1 GROUP BY user_id, role
        ) s GROUP BY role ORDER BY role",
    )
    .bind(portal.now())
    .fetch_all(&portal.sql)
    .await
    .expect("roles");
    let names: Vec<_> = roles.iter().map(|(role, ..)| &**role).collect();
    assert_eq!(names, ["admin", "broker", "employee", "guest", "vendor"]);
    for (role, sessions, most) in &roles {
        assert!(sessions <= most, "{role}: {sessions} of {most}");
    }

    let (reasons, oldest, in_order): (i64, bool, bool) = sqlx::query_as(
        "SELECT count(DISTINCT end_reason), min(ended_at) > $1 - interval '30 days',
            bool_and(created_at <= last_active_at AND last_active_at <= COALESCE(ended_at, $1)) FROM sessions",
    )
    .bind(portal.now() + chrono::TimeDelta::seconds(30))
    .fetch_one(&portal.sql)
    .await
    .expect("times");
    assert!(
        reasons >= 6 && oldest && in_order,
        "{reasons} {oldest} {in_order}"
    );
    // Nothing has expired, and nothing is past its retention.
    assert_eq!(portal.clean_up().await, Default::default());
}

#[tokio::test]
async fn seed_is_deterministic_and_reports_exceeded_limits() {
    let size = "--people 40 --sessions 400 --ended 3 --organizations 2";
    let mut made = Vec::new();
    for _ in 0..2 {
        let portal = Portal::start().await;
        let (succeeded, out, err) = seed(&portal, size).await;
        assert!(succeeded, "{err}");
        assert!(
            out.contains("40 users have more live sessions than their role allows"),
            "{out}"
        );
        let sums: Vec<String> = portal.column("SELECT md5(string_agg(id || user_id::text || kind || encode(credential_hash, 'hex') || ip_address || user_agent,
                ',' ORDER BY id)) FROM sessions
            UNION ALL SELECT md5(string_agg(id || email || role, ',' ORDER BY id)) FROM users").await;
        made.push(sums);
    }
    assert_eq!(made[0], made[1]);
}

#[tokio::test]
async fn seeded_users_and_sessions_cannot_sign_in() {
    let portal = Portal::start().await;
    let (succeeded, _, err) = seed(&portal, "--people 20 --sessions 60").await;
    assert!(succeeded, "{err}");
    for password in [
        "",
        "demo-portal-pass",
        "nobody has this password",
        "person-1@seed.example",
        "seed",
    ] {
        let browser = portal.browser(CHROME);
        let call = browser.post("/api/sign_in");
        call.form(&[("email", "person-1@seed.example"), ("password", password)])
            .await;
        assert!(!browser.is_live().await, "{password:?}");
    }
    assert_eq!(portal.audit("sign_in_failed").await.len(), 5);
    let hash: String = portal
        .scalar("SELECT min(password_hash) FROM users HAVING count(DISTINCT password_hash) = 1")
        .await;
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    // A credential is the SHA-256 of 16 bytes. Session ids, which have 16 bytes, and parts of their source are no
    // credentials.
    let opens: i64 = portal.scalar("WITH name AS (
            SELECT format('%s, %s/%s', what, person, slot)::bytea AS name
            FROM generate_series(1, 20) person, generate_series(1, 5) slot,
                unnest(ARRAY['a seeded session', 'an ended seeded session']) what
        ), guess AS (
            SELECT name AS guess FROM name
            UNION SELECT substr(made, at, 16) FROM name, LATERAL (VALUES (sha512(name)), (sha256(name))) m (made),
                generate_series(1, 49) at
        )
        SELECT count(*) FROM sessions WHERE credential_hash IN (SELECT sha256(guess) FROM guess)").await;
    assert_eq!(opens, 0);
}

#[tokio::test]
async fn seed_refuses_used_databases_and_public_portals() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let (succeeded, _, err) = seed(&portal, "--people 5 --sessions 5").await;
    assert!(
        !succeeded && err.contains("this database has 1 accounts"),
        "{err}"
    );
    let mut command = portal.command(&["seed", "--people", "5", "--sessions", "5"]);
    command.env("PORTAL_PUBLIC_URL", "https://portal.example");
    command.arg("--i-know-this-fills-the-database");
    let output = tokio::task::spawn_blocking(move || command.output());
    let (succeeded, _, err) = read_output(&output.await.expect("ran").expect("started"));
    assert!(!succeeded && err.contains("https://portal.example"), "{err}");
    assert_eq!(portal.rows("users").await, 1);

    let sure = "--people 5 --sessions 5 --i-know-this-fills-the-database";
    let (succeeded, _, err) = seed(&portal, sure).await;
    assert!(succeeded, "{err}");
    assert_eq!(portal.rows("users").await, 6);
    portal
        .browser(CHROME)
        .signed_in(&maria)
        .await
        .get("/dashboard")
        .await
        .expect(200);
    let (succeeded, _, err) = seed(&portal, sure).await;
    assert!(!succeeded && err.contains("seeded before"), "{err}");
}
