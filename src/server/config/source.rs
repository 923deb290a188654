//! Where a setting's text comes from: the environment, else `portal.toml`, else the default of the list.

use std::{cell::RefCell, collections::BTreeMap, fmt, time::Duration};

use super::{
    ConfigError,
    settings::{self, Kind, Unit},
};
use crate::domain::user::Role;

/// Who said what a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Environment,
    File,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Origin::Environment => "environment",
            Origin::File => "portal.toml",
            Origin::Default => "default",
        })
    }
}

/// What a setting is, as an operator would write it. It may be a secret.
#[derive(Clone)]
pub struct Answer {
    pub origin: Origin,
    /// `None`: it is not set, and nothing stands in for it.
    pub text: Option<String>,
}

/// Names of settings and what they are.
pub type Answers = BTreeMap<String, Answer>;

pub struct Source<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    file: BTreeMap<String, String>,
    /// Every name that was asked for: what else is set has no meaning.
    answers: RefCell<Answers>,
}

impl<'a> Source<'a> {
    /// # Errors
    /// The file is no table of texts, numbers and switches.
    pub fn new(environment: &'a dyn Fn(&str) -> Option<String>, toml: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            environment,
            file: flat_table(toml)?,
            answers: RefCell::default(),
        })
    }

    /// What was asked for.
    ///
    /// # Errors
    /// A name stands in the file that nobody asked for.
    pub fn finish(self) -> Result<Answers, ConfigError> {
        let answers = self.answers.into_inner();
        match self.file.keys().find(|name| !answers.contains_key(*name)) {
            Some(name) if settings::find(name).is_some() => Err(ConfigError::File(format!(
                "{name} is read from the environment only"
            ))),
            Some(name) => Err(ConfigError::File(format!("{name} is no setting"))),
            None => Ok(answers),
        }
    }

    /// Notes what stands in for a setting that has no default of its own and is not set.
    pub fn stands_in(&self, name: &str, text: impl ToString) {
        if let Some(answer) = self.answers.borrow_mut().get_mut(name) {
            answer.text.get_or_insert_with(|| text.to_string());
        }
    }

    /// The text of a setting. An empty one is as good as none.
    pub fn text(&self, name: &str) -> Option<String> {
        let set = |text: &String| !text.is_empty();
        let default = || settings::find(name).and_then(|(setting, role)| setting.default_for(role));
        let (origin, text) = if let Some(text) = (self.environment)(name).filter(set) {
            (Origin::Environment, Some(text))
        } else if let Some(text) = self.file.get(name).filter(|text| set(text)) {
            (Origin::File, Some(text.clone()))
        } else {
            (Origin::Default, default())
        };
        let answer = Answer {
            origin,
            text: text.clone(),
        };
        self.answers.borrow_mut().insert(name.to_owned(), answer);
        text
    }

    /// The setting as `read` understands it, if there is a text.
    ///
    /// # Errors
    /// `read` understands nothing.
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
            None => Err(wrong(name, value)),
        }
    }

    /// A setting that always has a text, since the list has a default for it.
    ///
    /// # Errors
    /// `read` understands nothing, or there is no text.
    pub fn value<T>(&self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, ConfigError> {
        self.parse(name, read)?.ok_or_else(|| wrong(name, String::new()))
    }

    /// # Errors
    /// It is neither on nor off.
    pub fn switch(&self, name: &str) -> Result<bool, ConfigError> {
        self.value(name, on_or_off)
    }

    /// A switch whose default follows from other things.
    ///
    /// # Errors
    /// It is neither on nor off.
    pub fn switch_if_set(&self, name: &str) -> Result<Option<bool>, ConfigError> {
        self.parse(name, on_or_off)
    }

    /// # Errors
    /// It is no whole number, or outside of the range that the list gives it.
    pub fn number<T: TryFrom<u64>>(&self, name: &str) -> Result<T, ConfigError> {
        self.value(name, |text| {
            let number = text.parse().ok().filter(|number| in_range(name, *number))?;
            T::try_from(number).ok()
        })
    }

    /// A number of seconds or days. 0 where the list allows it.
    ///
    /// # Errors
    /// As for a number.
    pub fn duration(&self, name: &str) -> Result<Duration, ConfigError> {
        let unit = match settings::find(name).map(|(setting, _)| setting.kind) {
            Some(Kind::Number { unit: Unit::Days, .. }) => 86_400,
            _ => 1,
        };
        self.number(name)
            .map(|number: u64| Duration::from_secs(number.saturating_mul(unit)))
    }

    /// The full name of a setting that each role has for itself.
    pub fn name_of(pattern: &str, role: Role) -> String {
        settings::all()
            .find(|setting| setting.name == pattern)
            .map_or_else(|| pattern.to_owned(), |setting| setting.name_for(Some(role)))
    }
}

fn wrong(name: &str, value: String) -> ConfigError {
    let setting = settings::find(name).map(|(setting, _)| setting);
    let secret = setting.is_some_and(|setting| setting.secret);
    let expected = setting.map(|setting| setting.kind.expected());
    ConfigError::BadValue {
        name: name.to_owned(),
        value: if secret { "...".to_owned() } else { value },
        expected: expected.unwrap_or_else(|| "that the list of settings has it".to_owned()),
    }
}

fn in_range(name: &str, number: u64) -> bool {
    match settings::find(name).map(|(setting, _)| setting.kind) {
        Some(Kind::Number { least, most, .. }) => (least..=most).contains(&number),
        _ => false,
    }
}

fn on_or_off(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "1" | "true" | "yes" => Some(true),
        "off" | "0" | "false" | "no" => Some(false),
        _ => None,
    }
}

fn flat_table(toml: &str) -> Result<BTreeMap<String, String>, ConfigError> {
    let table: toml::Table = toml
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::File(error.message().replace('\n', " ")))?;
    table
        .into_iter()
        .map(|(name, value)| {
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(on) => on.to_string(),
                _ => {
                    return Err(ConfigError::File(format!(
                        "{name} is text, a number or true/false"
                    )));
                }
            };
            Ok((name, text))
        })
        .collect()
}
