//! The commands: output, exit status and confirmations.

use std::{
    fs::File,
    io::Write as _,
    process::{Child, Command, Output, Stdio},
};

use crate::harness::*;

/// Starts a portal with a user who is signed in in a browser and the desktop app.
async fn start_with_signed_in_user() -> (Portal, TestUser, [Client; 2]) {
    let portal = Portal::start().await;
    let maria = portal.member("maria", "Northgate").await;
    let clients = [
        portal.browser(CHROME).signed_in(&maria).await,
        portal.desktop("mac").signed_in(&maria).await,
    ];
    portal.seal().await;
    (portal, maria, clients)
}

/// Runs a command with this standard input.
async fn run_with_input(mut command: Command, input: &str) -> Output {
    let input = input.to_owned();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let running = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("started");
        // The command may exit without reading its input.
        drop(child.stdin.take().expect("a pipe").write_all(input.as_bytes()));
        child.wait_with_output().expect("ended")
    });
    running.await.expect("the command task")
}

async fn run_command(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().expect("started"))
        .await
        .expect("ran")
}

async fn wait_for_output(child: Child) -> Output {
    tokio::task::spawn_blocking(|| child.wait_with_output().expect("the command ended"))
        .await
        .expect("the command task")
}

/// Returns a pipe whose reader is closed.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Returns a file to which every write fails with ENOSPC.
fn full_device() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full")
        .into()
}

/// Commands that print output, without those that change an account.
const PRINTING_COMMANDS: [&[&str]; 14] = [
    &["migrate"],
    &["demo"],
    &["health"],
    &["configuration"],
    &["sessions", "list"],
    &["sessions", "list", "--json"],
    &["sessions", "cleanup"],
    &["sessions", "revoke", "--all", "--dry-run"],
    &["user", "list"],
    &["user", "list", "--json"],
    &["audit", "verify"],
    &["audit", "export"],
    &["maintenance"],
    &["--help"],
];

#[tokio::test]
async fn unwritable_output_is_an_error() {
    let (portal, ..) = start_with_signed_in_user().await;
    for arguments in PRINTING_COMMANDS {
        for (output, cause) in [(full_device(), "No space left"), (closed_pipe(), "Broken pipe")] {
            let mut command = portal.command(arguments);
            command.stdout(output).stderr(Stdio::piped());
            let child = command.spawn().expect("started");
            let output = wait_for_output(child).await;
            let errors = String::from_utf8_lossy(&output.stderr);
            let last = errors.lines().last().unwrap_or_default();
            assert!(
                last.starts_with("broker-portal: cannot write the output") && last.contains(cause),
                "{arguments:?}: {errors}"
            );
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
            assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
        }
    }
}

#[tokio::test]
async fn output_error_keeps_the_changes() {
    let (portal, maria, clients) = start_with_signed_in_user().await;
    let mut command = portal.command(&["sessions", "revoke", "--user", &maria.email]);
    let child = command
        .stdout(full_device())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let (succeeded, _, err) = read_output(&wait_for_output(child).await);
    assert!(
        !succeeded && err.contains("the changes of the command are kept"),
        "{err}"
    );
    for client in clients {
        assert_eq!(client.end_reason().await, "revoked_by_admin");
    }
}

#[tokio::test]
async fn unwritable_stderr_keeps_the_exit_status() {
    let (portal, maria, _) = start_with_signed_in_user().await;
    for error_output in [full_device, closed_pipe] {
        for (arguments, expected) in [
            (&["user", "disable", "--email", "nobody@b.example"][..], 1),
            (&["user", "no-such-command"], 2),
            (&["user", "enable", "--email", &maria.email], 0),
            (&["audit", "export", "--kind", "denied"], 0),
        ] {
            let mut command = portal.command(arguments);
            // Log at debug level, so that log writes fail too.
            command
                .env("RUST_LOG", "debug")
                .stdout(Stdio::null())
                .stderr(error_output());
            let mut child = command.spawn().expect("started");
            let status = tokio::task::spawn_blocking(move || child.wait().expect("ended"));
            let status = status.await.expect("ran");
            assert_eq!(status.code(), Some(expected), "{arguments:?}");
        }
    }
}

#[tokio::test]
async fn revoke_all_without_terminal_needs_yes() {
    let (portal, _, clients) = start_with_signed_in_user().await;
    let refused = run_with_input(portal.command(&["sessions", "revoke", "--all"]), "2\n").await;
    let (succeeded, out, err) = read_output(&refused);
    assert!(!succeeded && out.is_empty(), "{out}");
    assert!(
        err.contains("(now 2)") && err.contains("no session was ended") && err.contains("--yes"),
        "{err}"
    );
    for client in &clients {
        assert!(client.is_live().await);
    }
    let (succeeded, out, err) = portal.run(&["sessions", "revoke", "--all", "--yes"]).await;
    assert!(succeeded, "{err}");
    assert_eq!(out, "2 sessions ended.\n");
    for client in &clients {
        assert_eq!(client.end_reason().await, "revoked_by_admin");
    }
}

#[tokio::test]
async fn revoke_all_on_terminal_requires_the_session_count() {
    let (portal, _, clients) = start_with_signed_in_user().await;
    // `script` runs a command on its own terminal.
    let on_terminal = || {
        let plain = portal.command(&[]);
        let program = plain.get_program().to_string_lossy().into_owned();
        let mut command = Command::new("script");
        command
            .args(["-qec", &format!("'{program}' sessions revoke --all"), "/dev/null"])
            .env("DATABASE_URL", portal.database_url());
        command
    };
    for wrong in ["1\n", "\n", "y\n", "yes\n", ""] {
        let (succeeded, out, _) = read_output(&run_with_input(on_terminal(), wrong).await);
        assert!(
            !succeeded && out.contains("This ends 2 sessions"),
            "{wrong:?}: {out}"
        );
        assert!(
            out.contains("the number does not match (2); no session was ended"),
            "{wrong:?}: {out}"
        );
        assert!(clients[0].is_live().await && clients[1].is_live().await);
    }
    let (succeeded, out, _) = read_output(&run_with_input(on_terminal(), "2\n").await);
    assert!(succeeded && out.contains("2 sessions ended."), "{out}");
    assert_eq!(clients[0].end_reason().await, "revoked_by_admin");
}

#[tokio::test]
async fn dry_run_counts_and_ends_nothing() {
    let (portal, maria, clients) = start_with_signed_in_user().await;
    let aiko = portal.broker("aiko").await;
    let ended = portal.browser(CHROME).signed_in(&aiko).await;
    let id = ended.session().to_string();
    ended.sign_out().await;
    let rows = portal.rows("audit_events").await;
    let mac = clients[1].session().to_string();
    for (target, count) in [
        (&["--all"][..], "2 sessions"),
        (&["--user", &maria.email], "2 sessions"),
        (&["--user", &aiko.email], "0 sessions"),
        (&["--id", &mac], "1 session"),
    ] {
        let arguments = [&["sessions", "revoke", "--dry-run"], target].concat();
        let (succeeded, out, err) = portal.run(&arguments).await;
        assert!(succeeded, "{err}");
        assert_eq!(out, format!("{count} would end. Nothing was changed.\n"));
    }
    for target in [["--id", &id], ["--user", "nobody@b.example"]] {
        let arguments = [&["sessions", "revoke", "--dry-run"], &target[..]].concat();
        let (succeeded, _, err) = portal.run(&arguments).await;
        assert!(
            !succeeded && err.starts_with("broker-portal: there is no"),
            "{err}"
        );
    }
    assert_eq!(portal.rows("audit_events").await, rows);
    for client in &clients {
        assert!(client.is_live().await);
    }
}

#[tokio::test]
async fn revoke_explains_an_invalid_session_id() {
    let (portal, ..) = start_with_signed_in_user().await;
    let (succeeded, _, err) = portal.run(&["sessions", "revoke", "--id", "abc"]).await;
    assert!(!succeeded);
    assert!(
        err.contains("not a session id; list session ids with `broker-portal sessions list`"),
        "{err}"
    );
    assert!(!err.contains("urn:uuid"), "{err}");
}

#[tokio::test]
async fn user_list_shows_what_administrators_see() {
    let (portal, maria, _) = start_with_signed_in_user().await;
    portal.admin("maria", "Harbour").await;
    let vera = portal.user("vera").role(Role::Vendor).create().await;
    portal.accounts().disable(&vera.email).await.expect("disabled");
    let root = portal.system_admin("root").await;

    let (succeeded, out, err) = portal.run(&["user", "list"]).await;
    assert!(succeeded, "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    assert!(
        lines[0].starts_with("email ") && lines[0].ends_with(" role"),
        "{out}"
    );
    let says = |line: &str, words: &[&str]| {
        for word in words {
            assert!(line.contains(word), "no {word:?} in {line}");
        }
    };
    says(
        lines[1],
        &[
            &maria.email,
            "maria ",
            "Active ",
            " 2  2",
            "admin at Harbour, broker at Northgate",
        ],
    );
    says(lines[2], &[&root.email, "Active ", " 0  never ", "system_admin"]);
    says(lines[3], &[&vera.email, "Disabled ", " 0  never ", "vendor"]);

    let (succeeded, out, err) = portal
        .run(&["user", "list", "--json", "--organization", "NORTHGATE"])
        .await;
    assert!(succeeded, "{err}");
    let rows: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(rows.len(), 1, "{out}");
    assert_eq!(
        (
            &rows[0]["email"],
            &rows[0]["role"],
            &rows[0]["live_sessions"],
            &rows[0]["state"]
        ),
        (&json!(maria.email), &json!("broker"), &json!(2), &json!("active"))
    );
    assert_eq!(
        rows[0]["memberships"],
        json!([]),
        "what she is elsewhere is not told"
    );

    let (succeeded, out, err) = portal.run(&["user", "list", "--organization", "Nowhere"]).await;
    assert!(!succeeded && out.is_empty(), "{out}");
    assert_eq!(err, "broker-portal: there is no organization Nowhere\n");
}

#[tokio::test]
async fn user_list_loads_every_page() {
    let portal = Portal::start().await;
    let insert =
        "INSERT INTO users (id, email, display_name, role, password_hash, password_changed_at, created_at)
        SELECT gen_random_uuid(), 'user' || n || '@b.example', 'User', 'broker', 'x', now(), now()
        FROM generate_series(1, 450) n";
    portal.execute(insert).await;
    let (succeeded, out, err) = portal.run(&["user", "list", "--json"]).await;
    assert!(succeeded, "{err}");
    assert_eq!(out.lines().collect::<std::collections::BTreeSet<_>>().len(), 450);
}

#[tokio::test]
async fn empty_user_list_prints_a_message() {
    let portal = Portal::start().await;
    let (succeeded, out, err) = portal.run(&["user", "list"]).await;
    assert!(succeeded, "{err}");
    assert!(out.starts_with("There are no users."), "{out}");
    let output = run_command(portal.command(&["user", "list", "--json"])).await;
    assert_eq!(read_output(&output), (true, String::new(), String::new()));
}
