//! Nobody reads the server's output, or its disk is full.

use std::{fs::File, path::PathBuf, process::Stdio};

use crate::harness::*;

fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn full_disk() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full")
        .into()
}

#[tokio::test]
async fn server_starts_and_serves_without_readable_output() {
    let postgres = Postgres::start("output").await;
    for output in [full_disk, closed_pipe] {
        let mut command = Server::command(&postgres);
        // Each request writes lines, and each write fails.
        command.env("RUST_LOG", "debug");
        let mut server = Server::run_with_output(command, output(), output(), PathBuf::new()).await;
        for _ in 0..20 {
            let response = server.get("/api/v1/session_state", &Credential::Nothing).await;
            assert_eq!(response.status, 401, "{response:?}");
        }
        assert!(server.still_runs());
        server.terminate();
        assert!(server.exited().await.success());
    }
}
