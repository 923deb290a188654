//! Generates the tables of `docs/configuration.md`, and tests that they are current.
//!
//! A table is between the lines `<!-- settings: TITLE -->` and `<!-- end -->`; the rest is written by hand.

use std::{fmt::Write as _, path::PathBuf};

use super::settings::{self, DefaultValue, ROLES, SECTIONS, Section, Setting, Unit, ValueKind};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
const REFRESH: &str = "UPDATE_DOCS=1 cargo test --features ssr --lib config::document";
const END: &str = "<!-- end -->";

fn table(section: &Section) -> String {
    let mut table = String::from("| variable | value | default | meaning |\n| --- | --- | --- | --- |\n");
    for setting in section.settings {
        writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            setting.name,
            value(setting.kind),
            default(setting),
            setting.meaning.replace('|', "\\|"),
        )
        .expect("a string takes it");
    }
    table
}

fn value(kind: ValueKind) -> String {
    match kind {
        ValueKind::Switch => "on or off".to_owned(),
        ValueKind::Number { unit, least, .. } => {
            let unit = match unit {
                Unit::Count => "number",
                Unit::Seconds => "seconds",
                Unit::Days => "days",
            };
            format!("{unit}, {least} or more")
        }
        ValueKind::Text(words) => words.to_owned(),
    }
}

fn default(setting: &Setting) -> String {
    let shown = |text: &str| match setting.kind {
        ValueKind::Text(_) => format!("`{text}`"),
        ValueKind::Switch | ValueKind::Number { .. } => text.to_owned(),
    };
    match setting.default {
        DefaultValue::Is(text) => shown(text),
        DefaultValue::Depends(words) => words.to_owned(),
        DefaultValue::OfRole(_) => {
            let of = |role| setting.default_for(Some(role)).unwrap_or_default();
            let each: Vec<String> = ROLES
                .iter()
                .map(|role| format!("{} {}", role.as_str(), of(*role)))
                .collect();
            each.join(", ")
        }
    }
}

/// Returns the document with its tables regenerated.
fn regenerate(document: &str) -> String {
    let mut text = document.to_owned();
    for section in SECTIONS {
        let begin = format!("<!-- settings: {} -->\n", section.title);
        let (before, rest) = text
            .split_once(&begin)
            .unwrap_or_else(|| panic!("docs/configuration.md has no line {}", begin.trim()));
        let (_, after) = rest
            .split_once(END)
            .unwrap_or_else(|| panic!("no {END} after {}", begin.trim()));
        text = format!("{before}{begin}{}{END}{after}", table(section));
    }
    text
}

#[test]
fn configuration_document_matches_the_settings() {
    let found = std::fs::read_to_string(PATH).expect("docs/configuration.md");
    let wanted = regenerate(&found);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PATH, wanted).expect("written");
        return;
    }
    let differs = found
        .lines()
        .zip(wanted.lines())
        .find(|(found, wanted)| found != wanted);
    assert!(
        found == wanted,
        "docs/configuration.md is not what src/server/config/settings.rs says: {differs:#?}\nWrite it anew: {REFRESH}"
    );
}

#[test]
fn every_table_belongs_to_a_section() {
    let document = std::fs::read_to_string(PATH).expect("docs/configuration.md");
    let tables = document.matches("<!-- settings: ").count();
    assert_eq!(
        tables,
        SECTIONS.len(),
        "a table whose section is gone, or one twice"
    );
}

#[test]
fn documents_name_only_existing_settings() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).expect("docs");
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    files.push(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md").into());
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a document");
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        for word in words.filter(|word| {
            // Settings of the tests are not settings of the portal.
            word.starts_with("PORTAL_") && *word != "PORTAL_" && !word.starts_with("PORTAL_TEST_")
        }) {
            let pattern = |name: &str| name.strip_suffix("<ROLE>") == Some(word);
            let known =
                settings::find(word).is_some() || settings::all().any(|setting| pattern(setting.name));
            assert!(known, "{} speaks of {word}, which is no setting", file.display());
        }
    }
}
