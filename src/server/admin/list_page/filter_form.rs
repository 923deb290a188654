//! The fields of a filter form. They keep what was typed, and an invalid one says why.

use domain::{
    audit::parse_filter_time,
    filter::{InvalidFilter, MAX_SEARCH_CHARS},
    query::QueryFields,
    time::format_rfc3339,
};
use leptos::prelude::*;

use crate::elements::icon::{Icon, IconName};

/// The values of a filter form.
#[derive(Clone, Default)]
pub struct FilterForm {
    values: QueryFields,
    invalid: Option<InvalidFilter>,
}

impl FilterForm {
    pub fn new(values: QueryFields, invalid: Option<InvalidFilter>) -> Self {
        Self { values, invalid }
    }

    /// The value of a field, or nothing.
    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A search field.
    pub fn search(&self, name: &'static str, label: &'static str, placeholder: &'static str) -> AnyView {
        self.input(name, label, "search", self.value(name).to_owned(), placeholder)
    }

    /// A field for a time in UTC.
    pub fn time(&self, name: &'static str, label: &'static str) -> AnyView {
        let value = self.value(name);
        let Some(at) = parse_filter_time(name, value) else {
            // The control would drop what is not a time.
            let kind = if value.is_empty() {
                "datetime-local"
            } else {
                "text"
            };
            return self.input(name, label, kind, value.to_owned(), "");
        };
        // As the control takes it: without an offset, and no finer than a millisecond.
        let text = format_rfc3339(at);
        let text = text.trim_end_matches('Z');
        let local = text.strip_suffix(":00.000").unwrap_or(text).to_owned();
        self.input(name, label, "datetime-local", local, "")
    }

    fn input(
        &self,
        name: &'static str,
        label: &'static str,
        kind: &'static str,
        value: String,
        placeholder: &'static str,
    ) -> AnyView {
        let described = self.problem_id(name);
        let input = view! {
            <input
                class="input"
                id=format!("filter-{name}")
                type=kind
                name=name
                value=value
                step=(kind == "datetime-local").then_some("any")
                maxlength=MAX_SEARCH_CHARS
                autocomplete="off"
                placeholder=placeholder
                aria-invalid=described.is_some().then_some("true")
                aria-describedby=described
            />
        };
        self.field(name, label, input.into_any(), self.problem(name))
    }

    /// A select of named values. `default` labels the option without a value.
    pub fn select(
        &self,
        name: &'static str,
        label: &'static str,
        default: &'static str,
        options: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) -> AnyView {
        let chosen = self.value(name);
        let mut options: Vec<(String, String)> = options
            .into_iter()
            .map(|(value, label)| (value.to_owned(), label.to_owned()))
            .collect();
        // An unknown value is shown, not replaced by the default.
        if !chosen.is_empty()
            && chosen.chars().count() <= MAX_SEARCH_CHARS
            && !options.iter().any(|(value, _)| value == chosen)
        {
            options.push((chosen.to_owned(), chosen.to_owned()));
        }
        let options = options
            .into_iter()
            .map(|(value, label)| {
                let selected = value == chosen;
                view! {
                    <option value=value selected=selected>
                        {label}
                    </option>
                }
            })
            .collect::<Vec<_>>();
        let described = self.problem_id(name);
        let select = view! {
            <select
                class="input"
                id=format!("filter-{name}")
                name=name
                aria-invalid=described.is_some().then_some("true")
                aria-describedby=described
            >
                <option value="">{default}</option>
                {options}
            </select>
        };
        let problem = self.problem(name).map(|_| "Choose one of the other options.");
        self.field(name, label, select.into_any(), problem)
    }

    fn field(
        &self,
        name: &'static str,
        label: &'static str,
        control: AnyView,
        problem: Option<&str>,
    ) -> AnyView {
        let problem = problem.map(|problem| {
            view! {
                <p class="field-error" id=format!("filter-{name}-problem")>
                    <Icon name=IconName::AlertCircle />
                    <span>{problem.to_owned()}</span>
                </p>
            }
        });
        view! {
            <div class=if name == "q" { "field search" } else { "field" }>
                <label for=format!("filter-{name}")>{label}</label>
                {control}
                {problem}
            </div>
        }
        .into_any()
    }

    /// Why the value of a field is invalid.
    fn problem(&self, name: &str) -> Option<&str> {
        let invalid = self.invalid.as_ref().filter(|invalid| invalid.field == name);
        invalid.map(|invalid| invalid.problem.as_str())
    }

    /// The id of the element that says why.
    fn problem_id(&self, name: &str) -> Option<String> {
        self.problem(name).map(|_| format!("filter-{name}-problem"))
    }
}
