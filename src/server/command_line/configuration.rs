//! `broker-portal configuration`: every setting with its origin and value.

use std::io::Write;

use super::CommandError;
use domain::plain_text::is_forbidden;

use crate::server::{
    config::{ResolvedSettings, SettingOrigin, settings},
    output::stdout,
};

/// Shown instead of a secret.
const HIDDEN: &str = "(set; not shown)";
/// Shown instead of no value.
const NONE: &str = "-";

pub fn run(resolved: &ResolvedSettings) -> Result<(), CommandError> {
    write(resolved, &|name| std::env::var(name).ok(), stdout().lock())
}

fn write(
    resolved: &ResolvedSettings,
    environment: &dyn Fn(&str) -> Option<String>,
    mut out: impl Write,
) -> Result<(), CommandError> {
    for (index, section) in settings::SECTIONS.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "# {}", section.title)?;
        for setting in section.settings {
            for name in setting.roles().map(|role| setting.name_for(role)) {
                let (origin, text) = match resolved.get(&name) {
                    Some(setting) => (setting.origin, setting.text.clone()),
                    None => match environment(&name).filter(|text| !text.is_empty()) {
                        Some(text) => (SettingOrigin::Environment, Some(text)),
                        None => (SettingOrigin::Default, None),
                    },
                };
                let shown = match &text {
                    Some(_) if setting.secret => HIDDEN,
                    Some(text) => text,
                    None => NONE,
                };
                // Keep one line per value.
                let shown: String = shown
                    .chars()
                    .map(|c| if is_forbidden(c) { ' ' } else { c })
                    .collect();
                writeln!(out, "{name:<36}  {origin:<11}  {shown}")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::server::config::ResolvedSetting;

    #[test]
    fn every_setting_is_printed_without_secrets() {
        let text = Some("postgres://portal:hunter2@db/portal".to_owned());
        let origin = SettingOrigin::Environment;
        let resolved = BTreeMap::from([("DATABASE_URL".to_owned(), ResolvedSetting { origin, text })]);
        let mut out = Vec::new();
        let log = |name: &str| (name == "RUST_LOG").then(|| "debug".to_owned());
        write(&resolved, &log, &mut out).expect("written");
        let out = String::from_utf8(out).expect("text");
        assert!(!out.contains("hunter2"), "{out}");
        let line = |name: &str| -> Vec<&str> {
            let line = out
                .lines()
                .find(|line| line.split_whitespace().next() == Some(name));
            line.unwrap_or_else(|| panic!("no {name} in {out}"))
                .split_whitespace()
                .skip(1)
                .collect()
        };
        assert_eq!(line("DATABASE_URL").join(" "), format!("environment {HIDDEN}"));
        assert_eq!(line("RUST_LOG"), ["environment", "debug"]);
        for setting in settings::all() {
            setting
                .roles()
                .for_each(|role| drop(line(&setting.name_for(role))));
        }
    }
}
