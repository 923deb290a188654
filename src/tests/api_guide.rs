//! Runs the commands of `docs/api.md` with bash and curl against a portal on a port, and checks that it covers every
//! operation.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    extract::Request,
    middleware::{Next, from_fn},
};
use broker_portal::server::services::demo;
use tokio::net::TcpListener;

use crate::harness::*;

const GUIDE: &str = include_str!("../../docs/api.md");

/// Runs every block of the guide in order in one bash. The output must match, and blocks under an operation's heading
/// must call that operation.
#[tokio::test]
async fn every_guide_command_works_as_described() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    // As a reader would start it, unlike other tests.
    let settings = [
        ("PORTAL_PUBLIC_URL", &*url),
        ("PORTAL_SIGN_IN_ATTEMPTS", "5"),
        ("PORTAL_SIGN_IN_ATTEMPTS_PER_ADDRESS", "100"),
    ];
    let portal = Portal::with(&settings).await;
    demo::create_accounts(&portal.accounts())
        .await
        .expect("the demo accounts");
    let node = portal.start_listener().await;
    let described = Description::fetch(&portal).await;

    let called: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let note = {
        let (called, described) = (called.clone(), described.operations());
        move |request: Request, next: Next| {
            let asked = format!("{} {}", request.method(), request.uri().path());
            let operation = described.iter().find(|operation| is_call_of(operation, &asked));
            let mut called = called.lock().expect("no one panicked");
            called.extend(operation.cloned());
            drop(called);
            next.run(request)
        }
    };
    let app = portal.router().layer(from_fn(note));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(axum::serve(listener, app).into_future());

    let folder = site().with_file_name("guide");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut shell = Shell::open(&folder, &[("PORTAL", &url)]).await;
    let mut outage = None;
    let mut operation: Option<String> = None;
    for step in parse_guide(GUIDE).into_iter().chain([GuideStep::Operation(None)]) {
        match step {
            GuideStep::Operation(next) => {
                if let Some(operation) = operation.filter(|name| described.operations().contains(name)) {
                    assert!(
                        called.lock().expect("no one panicked").contains(&operation),
                        "docs/api.md: what stands under {operation} does not call it"
                    );
                }
                called.lock().expect("no one panicked").clear();
                operation = next;
            }
            GuideStep::Meanwhile(what) => match what.as_str() {
                "half an hour passes" => portal.advance(seconds(1801)).await,
                "the database goes away" => outage = Some(portal.disconnect_database().await),
                other => panic!("docs/api.md: nobody knows how {other:?} is done"),
            },
            GuideStep::Run(block) => {
                // Give later events later times and numbers.
                portal.advance(seconds(1)).await;
                let line = block.line;
                let printed = shell.run(&block.commands).await.unwrap_or_else(|printed| {
                    panic!(
                        "docs/api.md:{line}: a command failed\n{}\nprinted\n{printed}",
                        block.commands
                    )
                });
                if let Some(Err(difference)) = block.shows.map(|shown| shown.check(&printed)) {
                    panic!(
                        "docs/api.md:{line}: {difference}\n{}\nprinted\n{printed}",
                        block.commands
                    );
                }
            }
        }
    }
    if let Some(outage) = outage {
        outage.end().await;
    }
    drop(node);
    server.abort();
}

/// Each operation of the API has a heading with a block below it, and vice versa.
#[tokio::test]
async fn guide_covers_every_api_operation() {
    let described: BTreeSet<String> = Description::fetch(&Portal::start().await)
        .await
        .operations()
        .into_iter()
        .collect();
    let mut shown = BTreeSet::new();
    let mut headings = BTreeSet::new();
    let mut heading = None;
    for step in parse_guide(GUIDE) {
        match step {
            GuideStep::Operation(operation) => {
                headings.extend(operation.clone());
                heading = operation;
            }
            GuideStep::Run(block) if block.shows.is_some() => shown.extend(heading.clone()),
            GuideStep::Run(_) | GuideStep::Meanwhile(_) => {}
        }
    }
    let missing: Vec<&String> = described.difference(&shown).collect();
    assert!(
        missing.is_empty(),
        "docs/api.md shows no command for {missing:#?}\nEach wants a heading \"### `METHOD /path`: what it does\" with a \
         block of sh and one of http."
    );
    let gone: Vec<&String> = headings.difference(&described).collect();
    assert!(
        gone.is_empty(),
        "docs/api.md has headings for what is no operation: {gone:#?}"
    );
}

/// Returns whether a request such as `DELETE /api/v1/sessions/7` calls `DELETE /api/v1/sessions/{id}`.
fn is_call_of(operation: &str, asked: &str) -> bool {
    let parts = |text: &str| -> Vec<String> { text.split(['/', ' ']).map(str::to_owned).collect() };
    let (operation, asked) = (parts(operation), parts(asked));
    operation.len() == asked.len()
        && operation
            .iter()
            .zip(&asked)
            .all(|(operation, asked)| operation.starts_with('{') || operation == asked)
}
