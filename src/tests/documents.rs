//! Checks that documents refer to existing files, headings, commands and tests.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::harness::*;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns README and the documents in `docs` with their text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths = vec![Path::new(ROOT).join("README.md")];
    for entry in fs::read_dir(Path::new(ROOT).join("docs")).expect("docs") {
        paths.push(entry.expect("an entry").path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a document");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// Returns every file of the repository, relative to its root.
fn files() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::from(ROOT)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            // Build output, dependencies and data are not part of the repository.
            let is_ours = !["target", "node_modules", "results"].contains(&&*name)
                && (!name.starts_with('.') || [".cargo", ".sqlx", ".github"].contains(&&*name));
            if is_ours && path.is_dir() {
                folders.push(path);
            } else if is_ours {
                let path = path.strip_prefix(ROOT).expect("below the root");
                found.insert(path.to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// Returns the code spans of a line, each with the text before it.
fn code(line: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = line.split('`').collect();
    let pairs = parts.chunks_exact(2);
    pairs.map(|pair| (pair[0], pair[1])).collect()
}

/// Returns the text without code blocks.
fn prose(text: &str) -> String {
    let outside = text.split("\n```").step_by(2);
    outside.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_file_in_documents_exists() {
    const KINDS: [&str; 8] = [".rs", ".sql", ".sh", ".mjs", ".css", ".ts", ".md", ".json"];
    // Not files of ours: served by the server, or in its working directory.
    const ELSEWHERE: [&str; 1] = ["/api/openapi.json"];
    let files = files();
    for (document, text) in documents() {
        for (_, name) in prose(&text).lines().flat_map(code) {
            let is_file = KINDS.iter().any(|kind| name.ends_with(kind)) && !name.contains([' ', '*']);
            let is_folder = name.starts_with("src/") && !is_file;
            if !(is_file || is_folder) || ELSEWHERE.contains(&name) {
                continue;
            }
            let name = name.trim_end_matches('/');
            let known = files.iter().any(|file| {
                let below = file.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
                let same = file
                    .strip_suffix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
                same || below
            });
            assert!(known, "{} names {name}, which is not there", document.display());
        }
    }
}

#[test]
fn every_link_in_documents_works() {
    for (document, text) in documents() {
        for link in prose(&text).split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.with_file_name("").join(file),
            };
            assert!(target.exists(), "{}: {link} is not there", document.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&target).expect("a document");
                let known = text
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .any(|line| anchor(line) == heading);
                assert!(known, "{}: {link} has no such heading", document.display());
            }
        }
    }
}

/// Returns the anchor of a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Checks each `broker-portal ...` in code blocks and spans, with its options.
#[test]
fn every_command_in_documents_exists() {
    let mut commands = BTreeSet::new();
    for (_, text) in documents() {
        let text = text.replace("\\\n", " ");
        let blocks = text.split("\n```").skip(1).step_by(2).flat_map(str::lines);
        let prose = prose(&text);
        let spans = prose.lines().flat_map(code).map(|(_, span)| span);
        for line in blocks.chain(spans) {
            let line = line.split(" # ").next().unwrap_or_default();
            let Some((_, arguments)) = line.split_once("broker-portal ") else {
                continue;
            };
            let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            let words = arguments
                .split_whitespace()
                .take_while(|word| is_word(word) && !word.starts_with('-'));
            let words: Vec<String> = words.map(str::to_owned).collect();
            let options = arguments.split_whitespace().filter(|word| word.starts_with("--"));
            let options: BTreeSet<String> = options.map(str::to_owned).collect();
            commands.insert((words, options));
        }
    }
    assert!(commands.len() > 10, "{commands:?}");
    for (words, options) in commands {
        let output = broker_portal()
            .args(&words)
            .arg("--help")
            .output()
            .expect("it starts");
        let (is_content, help, complaint) = read_output(&output);
        assert!(
            is_content,
            "the documents name broker-portal {words:?}: {complaint}"
        );
        for option in options {
            assert!(
                help.contains(&option),
                "the documents name {option} of broker-portal {words:?}\n{help}"
            );
        }
    }
}

/// Checks names of tests: `file::test`, `file::beginning_...` and `file::*` are in `src/tests`, with the prefix
/// `faults::` in `src/faults`. After "unit" follow modules with tests, after "end2end" files there.
#[test]
fn every_test_in_the_security_document_exists() {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/security.md")).expect("a document");
    let files = files();
    let source = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_default();
    let (mut in_table, mut named) = (false, 0);
    for line in text.lines() {
        if !line.starts_with('|') {
            in_table = false;
            continue;
        }
        let shown_by = line
            .trim_end_matches([' ', '|'])
            .rsplit('|')
            .next()
            .unwrap_or_default();
        if shown_by.trim() == "shown by" {
            in_table = true;
            continue;
        }
        let mut kind = "";
        for (before, name) in code(shown_by).into_iter().filter(|_| in_table) {
            if let Some(word) = ["unit", "end2end"]
                .iter()
                .find(|word| before.trim_end().ends_with(**word))
            {
                kind = word;
            }
            let (module, test) = name.rsplit_once("::").unwrap_or((name, ""));
            let tests = match module.strip_prefix("faults::") {
                Some(fault) => format!("src/faults/{fault}.rs"),
                None => format!("src/tests/{module}.rs"),
            };
            let is_there = if files.contains(&tests) && !test.is_empty() {
                let begins = test.trim_end_matches("...").trim_end_matches('*');
                let exactly = begins == test;
                source(&tests)
                    .lines()
                    .filter_map(|line| line.split_once("fn "))
                    .any(|(_, rest)| {
                        let name = rest.split(['(', '<']).next().unwrap_or_default();
                        if exactly {
                            name == test
                        } else {
                            name.starts_with(begins)
                        }
                    })
            } else if kind == "unit" {
                let path = name.replace("::", "/");
                let of_module = |file: &&String| {
                    (file.starts_with("src/") || file.starts_with("crates/"))
                        && !file.starts_with("src/tests/")
                        && (file.ends_with(&format!("/{path}.rs")) || file.contains(&format!("/{path}/")))
                };
                files
                    .iter()
                    .filter(of_module)
                    .any(|file| source(file).contains("#[test]") || source(file).contains("#[tokio::test]"))
            } else if kind == "end2end" {
                files.contains(&format!("end2end/tests/{name}.spec.ts"))
            } else {
                // A setting, header or response in prose.
                !name.contains("::")
            };
            assert!(is_there, "docs/security.md: no test is {name}, of\n{line}");
            named += 1;
        }
    }
    assert!(
        named > 100,
        "{named} tests are named: has the table changed its form?"
    );
}
