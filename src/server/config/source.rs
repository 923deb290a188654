//! The value of a setting: from the environment, else `portal.toml`, else the default in the list.

use std::{cell::RefCell, collections::BTreeMap, fmt, time::Duration};

use toml::Spanned;

use super::{
    ConfigError, DatabaseUrl, InvalidDatabaseUrl,
    settings::{self, Unit, ValueKind},
};
use domain::user::Role;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    Environment,
    File,
    Default,
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SettingOrigin::Environment => "environment",
            SettingOrigin::File => "portal.toml",
            SettingOrigin::Default => "default",
        })
    }
}

/// The value of a setting, as an operator would write it. It may be a secret.
#[derive(Clone)]
pub struct ResolvedSetting {
    pub origin: SettingOrigin,
    /// `None`: not set, without a default.
    pub text: Option<String>,
}

/// Values of settings by name.
pub type ResolvedSettings = BTreeMap<String, ResolvedSetting>;

/// A value in `portal.toml`.
struct FileValue {
    text: String,
    /// Counted from 1.
    line: usize,
}

pub struct Source<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    file: BTreeMap<String, FileValue>,
    /// Every setting that was read. Other names in the file are errors.
    resolved: RefCell<ResolvedSettings>,
}

impl<'a> Source<'a> {
    /// Parses the file.
    ///
    /// # Errors
    /// The file is not a flat table of texts, numbers and booleans.
    pub fn new(environment: &'a dyn Fn(&str) -> Option<String>, toml: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            environment,
            file: flat_table(toml)?,
            resolved: RefCell::default(),
        })
    }

    /// Returns the values of all settings that were read.
    ///
    /// # Errors
    /// The file contains an unknown name.
    pub fn finish(self) -> Result<ResolvedSettings, ConfigError> {
        let resolved = self.resolved.into_inner();
        match self.file.iter().find(|(name, _)| !resolved.contains_key(*name)) {
            Some((name, value)) if settings::find(name).is_some() => Err(file_error(
                value.line,
                &format!("{name} is read from the environment only"),
            )),
            Some((name, value)) => Err(file_error(value.line, &format!("{name} is no setting"))),
            None => Ok(resolved),
        }
    }

    /// Notes the derived value of a setting that is not set.
    pub fn note_default(&self, name: &str, text: impl ToString) {
        if let Some(resolved_setting) = self.resolved.borrow_mut().get_mut(name) {
            resolved_setting.text.get_or_insert_with(|| text.to_string());
        }
    }

    /// Returns the text of a setting. An empty text counts as not set.
    pub fn text(&self, name: &str) -> Option<String> {
        let set = |text: &String| !text.is_empty();
        let default = || settings::find(name).and_then(|(setting, role)| setting.default_for(role));
        let (origin, text) = if let Some(text) = (self.environment)(name).filter(set) {
            (SettingOrigin::Environment, Some(text))
        } else if let Some(value) = self.file.get(name).filter(|value| set(&value.text)) {
            (SettingOrigin::File, Some(value.text.clone()))
        } else {
            (SettingOrigin::Default, default())
        };
        let resolved_setting = ResolvedSetting {
            origin,
            text: text.clone(),
        };
        self.resolved
            .borrow_mut()
            .insert(name.to_owned(), resolved_setting);
        text
    }

    /// Parses a setting if it is set.
    ///
    /// # Errors
    /// `read` rejects it.
    pub fn parse<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        match read(value.trim()) {
            Some(read) => Ok(Some(read)),
            None => Err(self.invalid_value(name, value)),
        }
    }

    /// Returns the URL of the database. Unlike other settings it must not be empty, because the server would then use
    /// another database.
    ///
    /// # Errors
    /// It is empty or invalid.
    pub fn database_url(&self) -> Result<Option<DatabaseUrl>, ConfigError> {
        const NAME: &str = "DATABASE_URL";
        let read = match self.text(NAME) {
            Some(text) => text.parse().map(Some),
            None if (self.environment)(NAME).is_some() || self.file.contains_key(NAME) => {
                Err(InvalidDatabaseUrl::Empty)
            }
            None => Ok(None),
        };
        read.map_err(|problem| ConfigError::DatabaseUrl {
            place: self.place(NAME),
            problem,
        })
    }

    /// Returns the line of the setting in the file, as the start of an error message.
    fn place(&self, name: &str) -> String {
        let is_in_environment = (self.environment)(name).is_some_and(|text| !text.is_empty());
        match self.file.get(name) {
            Some(value) if !is_in_environment => format!("portal.toml, line {}: ", value.line),
            _ => String::new(),
        }
    }

    fn invalid_value(&self, name: &str, value: String) -> ConfigError {
        invalid_setting(self.place(name), name, value)
    }

    /// Parses a setting that has a default in the list.
    ///
    /// # Errors
    /// `read` rejects it, or there is no text.
    pub fn value<T>(&self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, ConfigError> {
        self.parse(name, read)?
            .ok_or_else(|| self.invalid_value(name, String::new()))
    }

    /// Parses a switch.
    ///
    /// # Errors
    /// It is neither on nor off.
    pub fn switch(&self, name: &str) -> Result<bool, ConfigError> {
        self.value(name, parse_switch)
    }

    /// Parses a switch with a derived default.
    ///
    /// # Errors
    /// It is neither on nor off.
    pub fn switch_if_set(&self, name: &str) -> Result<Option<bool>, ConfigError> {
        self.parse(name, parse_switch)
    }

    /// Parses a whole number.
    ///
    /// # Errors
    /// It is not a whole number in the range of the list.
    pub fn number<T: TryFrom<u64>>(&self, name: &str) -> Result<T, ConfigError> {
        self.value(name, |text| {
            let number = text.parse().ok().filter(|number| in_range(name, *number))?;
            T::try_from(number).ok()
        })
    }

    /// Parses seconds or days. 0 is valid where the list allows it.
    ///
    /// # Errors
    /// As for a number.
    pub fn duration(&self, name: &str) -> Result<Duration, ConfigError> {
        let unit = match settings::find(name).map(|(setting, _)| setting.kind) {
            Some(ValueKind::Number { unit: Unit::Days, .. }) => 86_400,
            _ => 1,
        };
        self.number(name)
            .map(|number: u64| Duration::from_secs(number.saturating_mul(unit)))
    }

    /// Returns the full name of a setting for a role.
    pub fn name_for_role(pattern: &str, role: Role) -> String {
        settings::all()
            .find(|setting| setting.name == pattern)
            .map_or_else(|| pattern.to_owned(), |setting| setting.name_for(Some(role)))
    }
}

/// Reports a variable that is not UTF-8.
pub fn not_utf8_error(name: &str) -> ConfigError {
    let mut error = invalid_setting(String::new(), name, "...".to_owned());
    if let ConfigError::BadValue { expected, .. } = &mut error {
        expected.insert_str(0, "text in UTF-8: ");
    }
    error
}

fn invalid_setting(place: String, name: &str, value: String) -> ConfigError {
    let setting = settings::find(name).map(|(setting, _)| setting);
    // A password may precede an @.
    let secret = setting.is_some_and(|setting| setting.secret) || value.contains('@');
    let expected = setting.map(|setting| setting.kind.expected());
    ConfigError::BadValue {
        place,
        name: name.to_owned(),
        value: if secret { "...".to_owned() } else { value },
        expected: expected.unwrap_or_else(|| "that the list of settings has it".to_owned()),
    }
}

fn in_range(name: &str, number: u64) -> bool {
    match settings::find(name).map(|(setting, _)| setting.kind) {
        Some(ValueKind::Number { least, most, .. }) => (least..=most).contains(&number),
        _ => false,
    }
}

fn parse_switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "1" | "true" | "yes" => Some(true),
        "off" | "0" | "false" | "no" => Some(false),
        _ => None,
    }
}

fn flat_table(toml: &str) -> Result<BTreeMap<String, FileValue>, ConfigError> {
    let line_at = |offset: usize| toml.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
    let table: BTreeMap<Spanned<String>, toml::Value> = toml::from_str(toml).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(span.start));
        file_error(line, error.message())
    })?;
    table
        .into_iter()
        .map(|(name, value)| {
            let line = line_at(name.span().start);
            let name = name.into_inner();
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(on) => on.to_string(),
                _ => {
                    return Err(file_error(
                        line,
                        &format!("{name} is text, a number or true/false"),
                    ));
                }
            };
            Ok((name, FileValue { text, line }))
        })
        .collect()
}

fn file_error(line: usize, problem: &str) -> ConfigError {
    ConfigError::File(format!(
        "portal.toml, line {line}: {}",
        problem.replace('\n', " ")
    ))
}
