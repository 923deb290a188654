//! Passwords for commands, through a pipe and on a terminal.

use std::{
    io::{Read, Write},
    process::Stdio,
};

use nix::pty::openpty;

use crate::harness::*;

const NEW: &str = "an entirely new password";

/// Prepares `user set-password` for one user.
fn set_password(postgres: &Postgres, email: &str) -> tokio::process::Command {
    let mut command = Server::command(postgres);
    command.args(["user", "set-password", "--email", email, "--password-stdin"]);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn piped_password_may_have_bom_and_line_break() {
    let postgres = Postgres::start("piped-password").await;
    let people = TestAccounts::of(&postgres).await;
    let maria = people.broker("maria").await;
    people.close().await;
    let mut command = set_password(&postgres, &maria);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    let text = format!("\u{feff}{NEW}\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stdin, text.as_bytes())
        .await
        .expect("written");
    drop(stdin);
    assert!(child.wait().await.expect("an end").success());
    let server = Server::start(&postgres, &[]).await;
    server.send(desktop_sign_in(&maria, NEW, "mac")).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminal_shows_nothing_of_a_password() {
    let postgres = Postgres::start("typed-password").await;
    let people = TestAccounts::of(&postgres).await;
    let maria = people.broker("maria").await;
    people.close().await;
    let terminal = openpty(None, None).expect("a terminal");
    let keyboard = std::fs::File::from(terminal.master);
    let mut command = set_password(&postgres, &maria);
    command
        .stdin(Stdio::from(terminal.slave.try_clone().expect("a copy")))
        .stderr(Stdio::from(terminal.slave))
        .stdout(Stdio::null());
    let mut child = command.spawn().expect("started");
    drop(command);
    // Type it after the prompt, when echo is already off.
    let shown = tokio::task::spawn_blocking(move || {
        let (mut keyboard, mut shown, mut bytes) = (keyboard, String::new(), [0; 256]);
        let mut is_typed = false;
        // When the command ends the terminal closes, which is an error here.
        while let Ok(read @ 1..) = keyboard.read(&mut bytes) {
            shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
            if !is_typed && shown.contains("Password") {
                is_typed = true;
                keyboard.write_all(format!("{NEW}\n").as_bytes()).expect("typed");
            }
        }
        shown
    });
    assert!(child.wait().await.expect("an end").success());
    let shown = shown.await.expect("read");
    assert!(shown.contains("Password") && !shown.contains(NEW), "{shown:?}");
    let server = Server::start(&postgres, &[]).await;
    server.send(desktop_sign_in(&maria, NEW, "mac")).await.expect(201);
}
