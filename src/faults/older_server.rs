//! An older server beside a newer one, as during a rollout: migrations only add, and nobody is signed out.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::json;
use tokio::process::Command;

use crate::harness::*;

/// Returns a migration's statements, one line each, in lower case and without comments.
pub fn statements(sql: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    // Between `$$`, semicolons end no statement. Our migrations have none in quotes.
    let mut quoted = false;
    for line in sql.lines() {
        let line = line.split("--").next().unwrap_or_default();
        for (place, part) in line.split("$$").enumerate() {
            quoted ^= place > 0;
            let mut rest = part;
            while !quoted && let Some((before, after)) = rest.split_once(';') {
                let statement = statements.last_mut().expect("one at least");
                *statement += before;
                statements.push(String::new());
                rest = after;
            }
            *statements.last_mut().expect("one at least") += rest;
        }
        *statements.last_mut().expect("one at least") += " ";
    }
    let in_one_line = |statement: &String| {
        let words: Vec<&str> = statement.split_whitespace().collect();
        words.join(" ").to_lowercase()
    };
    let all = statements.iter().map(in_one_line);
    all.filter(|statement| !statement.is_empty()).collect()
}

/// Splits a list at commas outside parentheses.
pub fn parts(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in list.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().expect("one at least").push(c);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// Returns statements that could break an older server. Statements not known to be harmless count too.
fn what_does_more_than_add(sql: &str) -> Vec<String> {
    let mut new_tables = BTreeSet::new();
    let mut new_columns = BTreeSet::new();
    let mut found = Vec::new();
    for statement in statements(sql) {
        let words: Vec<&str> = statement
            .split([' ', '('])
            .filter(|word| !word.is_empty())
            .collect();
        let is_harmless = match words[..] {
            ["create", "table", table, ..] => new_tables.insert(table.to_owned()),
            ["create", "index", ..] => true,
            // It could reject what the older server writes.
            ["create", "unique", "index", _, "on", table, ..] => new_tables.contains(table),
            // Postgres lets a replaced view only get further columns at the end.
            ["create", "view", ..] | ["create", "or", "replace", "view", ..] | ["create", "function", ..] => {
                true
            }
            ["create", "trigger", ..] | ["create", "sequence", ..] | ["insert", "into", ..] => true,
            ["do", ..] => !["drop", "rename", "delete", "truncate"]
                .iter()
                .any(|word| words.contains(word)),
            // Only objects that this migration has added.
            ["update", table, "set", ..] => {
                let (_, set) = statement.split_once(" set ").unwrap_or_default();
                let set = set.split(" where ").next().unwrap_or_default();
                parts(set).iter().all(|part| {
                    let column = part.split([' ', '=']).next().unwrap_or_default();
                    new_columns.contains(&format!("{table}.{column}"))
                })
            }
            ["alter", "table", table, ..] => {
                let (_, actions) = statement.split_once(&format!(" {table} ")).unwrap_or_default();
                parts(actions).iter().all(|action| {
                    let Some(column) = action.strip_prefix("add column ") else {
                        return false;
                    };
                    let name = column.split(' ').next().unwrap_or_default();
                    new_columns.insert(format!("{table}.{name}"));
                    // The older server gives it no value, and sealed rows must not change.
                    let has_default = column.contains(" default ");
                    (!column.contains(" not null") || has_default)
                        && !(table == "audit_events" && has_default)
                })
            }
            _ => false,
        };
        if !is_harmless {
            found.push(statement);
        }
    }
    found
}

#[test]
fn every_migration_only_adds() {
    let mut looked_at = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).expect("migrations") {
        let path = entry.expect("an entry").path();
        let sql = fs::read_to_string(&path).expect("a migration");
        assert!(!statements(&sql).is_empty(), "{}", path.display());
        assert_eq!(
            what_does_more_than_add(&sql),
            Vec::<String>::new(),
            "{}",
            path.display()
        );
        looked_at += 1;
    }
    assert!(looked_at > 6, "{looked_at} migrations");
}

#[test]
fn migrations_that_do_more_than_add_are_found() {
    for harmful in [
        "DROP TABLE sessions",
        "ALTER TABLE sessions DROP COLUMN data",
        "ALTER TABLE sessions RENAME COLUMN data TO facts",
        "ALTER TABLE sessions RENAME TO open_sessions",
        "ALTER TABLE sessions ALTER COLUMN data TYPE text",
        "ALTER TABLE sessions ALTER COLUMN data SET NOT NULL",
        "ALTER TABLE sessions ADD COLUMN place text NOT NULL",
        "ALTER TABLE sessions\n  ADD COLUMN a text, -- fine\n  ADD COLUMN b text NOT NULL CHECK (b <> ',')",
        "ALTER TABLE sessions ADD CONSTRAINT short CHECK (char_length(browser) < 10)",
        "ALTER TABLE audit_events ADD COLUMN node text DEFAULT ''",
        "CREATE UNIQUE INDEX one_name ON users (display_name)",
        "UPDATE sessions SET browser = NULL",
        "DELETE FROM sessions",
        "DROP VIEW session_state",
        "DO $$ BEGIN DROP TABLE users; END $$",
        "REVOKE SELECT ON sessions FROM public",
        "WITH old AS (DELETE FROM devices RETURNING id) SELECT count(*) FROM old",
    ] {
        assert_eq!(what_does_more_than_add(harmful).len(), 1, "{harmful}");
    }
    let harmless = "CREATE TABLE notes (id uuid); CREATE UNIQUE INDEX one ON notes (id);
        ALTER TABLE users ADD COLUMN must boolean NOT NULL DEFAULT false, ADD COLUMN a text; -- DROP TABLE users;
        UPDATE users SET a = email, must = true WHERE role = 'guest';
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM notes; RETURN NULL; END $$;";
    assert_eq!(what_does_more_than_add(harmless), Vec::<String>::new());
}

/// A possible migration of the next version.
const NEWER: &str = "
    ALTER TABLE sessions ADD COLUMN place text, ADD COLUMN weight integer NOT NULL DEFAULT 1;
    ALTER TABLE users ADD COLUMN is_watched boolean NOT NULL DEFAULT false;
    ALTER TABLE audit_events ADD COLUMN node text;
    ALTER TABLE session_events ADD COLUMN node text;
    CREATE TABLE session_notes (id uuid PRIMARY KEY, session_id uuid REFERENCES sessions (id) ON DELETE CASCADE);
    CREATE INDEX sessions_by_weight ON sessions (weight);
    GRANT SELECT, INSERT, UPDATE, DELETE ON session_notes TO broker_portal_server;
    INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
    VALUES (999900, 'of a newer version', true, '\\x00', 0)";

/// Sessions of one server are valid at the other. Ends at one server reach the other and its streams.
async fn work_together(one: &Server, other: &Server, email: &str) {
    let here = [one.browser(email).await, one.desktop(email, "mac").await];
    let there = [other.browser(email).await, other.desktop(email, "pc").await];
    for session in here.iter().chain(&there) {
        assert!(one.accepts(&session.credential).await && other.accepts(&session.credential).await);
        for server in [one, other] {
            server
                .get("/api/v1/sessions", &session.credential)
                .await
                .expect(200);
        }
    }
    for server in [one, other] {
        server
            .get("/dashboard/settings", &here[0].credential)
            .await
            .expect(200);
    }
    // Exchange tokens at the other server.
    let body = json!({ "refresh_token": here[1].refresh_token });
    let refresh = Request::new("POST", "/api/v1/sessions/refresh", &Credential::Nothing).json(&body);
    let mac = SignedIn::of_desktop(&other.send(refresh).await.expect(200));
    assert!(one.accepts(&mac.credential).await && !one.accepts(&here[1].credential).await);

    let mut stream = EventStream::open(one.address, &there[1].credential).await;
    let all = Request::new("DELETE", "/api/v1/sessions?scope=all", &mac.credential);
    other.send(all).await.expect(200);
    stream.read_until("event: session_ended").await;
    for session in [&mac, &here[0], &there[0], &there[1]] {
        assert!(!one.accepts(&session.credential).await && !other.accepts(&session.credential).await);
    }
}

/// `PORTAL_TEST_OLDER` names the program of an earlier version. Without it, the current server runs on a database that
/// a later version has migrated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_server_beside_newer_signs_nobody_out() {
    let postgres = Postgres::start("older").await;
    let people = TestAccounts::of(&postgres).await;
    let older = std::env::var_os("PORTAL_TEST_OLDER");
    if older.is_none() {
        sqlx::raw_sql(NEWER)
            .execute(&postgres.sql)
            .await
            .expect("migrated");
    }
    let newer = Server::start(&postgres, &[]).await;
    let before = newer.desktop(&people.broker("maria").await, "mac").await;
    let command = Server::command(&postgres);
    let command = match &older {
        None => command,
        Some(path) => {
            let mut of_older = Command::new(path);
            for (name, value) in command.as_std().get_envs() {
                match value {
                    Some(value) => of_older.env(name, value),
                    None => of_older.env_remove(name),
                };
            }
            of_older
        }
    };
    let mut beside = Server::run(command).await;
    assert!(
        beside.accepts(&before.credential).await,
        "the older one lets in who was there"
    );
    let (one, two) = (people.broker("one").await, people.broker("two").await);
    people.close().await;
    work_together(&newer, &beside, &one).await;
    work_together(&beside, &newer, &two).await;
    beside.terminate();
    assert!(beside.exited().await.success());
    assert!(newer.accepts(&before.credential).await, "and leaves them so");

    let (apart, ends) = postgres.unreported_ends().await;
    let verified = Server::command(&postgres)
        .args(["audit", "verify"])
        .output()
        .await;
    let verified = verified.expect("broker-portal starts");
    print_result(&format!(
        "{} beside a newer one: nobody was signed out by it; of {ends} ends {apart} differ from the logs; {}",
        match &older {
            Some(path) => format!("the older server {}", path.to_string_lossy()),
            None => "a server that does not know the newest migration".to_owned(),
        },
        String::from_utf8_lossy(&verified.stdout)
            .lines()
            .next()
            .unwrap_or_default()
    ));
    assert_eq!(apart, 0);
    assert!(verified.status.success(), "{verified:?}");
}
