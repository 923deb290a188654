//! Small parts that the drawn pages share.

use chrono::{DateTime, Utc};
use domain::{
    query::encode_query_value,
    session_filter::InvalidFilter,
    time::{format_rfc3339, format_utc, relative_time},
    user::Role,
};
use leptos::prelude::*;

use crate::elements::notice::{Notice, Tone};

/// A moment as an age, with the exact time at hand. The browser's part puts the exact time in the reader's own zone.
pub fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> AnyView {
    view! {
        <time datetime=format_rfc3339(at) title=format_utc(at)>
            {relative_time(at, now)}
        </time>
    }
    .into_any()
}

/// A moment, exactly.
pub fn moment(at: DateTime<Utc>) -> AnyView {
    view! {
        <time datetime=format_rfc3339(at) data-exact="">
            {format_utc(at)}
        </time>
    }
    .into_any()
}

/// How long until then: "in 3 hours".
pub fn until(at: DateTime<Utc>, now: DateTime<Utc>) -> AnyView {
    let seconds = (at - now).num_seconds();
    let words = match seconds {
        ..60 => "in less than a minute".to_owned(),
        60..3600 => format!("in {}", domain::time::pluralize(seconds / 60, "minute")),
        3600..86_400 => format!("in {}", domain::time::pluralize(seconds / 3600, "hour")),
        _ => format!("in {}", domain::time::pluralize(seconds / 86_400, "day")),
    };
    view! {
        <time datetime=format_rfc3339(at) title=format_utc(at)>
            {words}
        </time>
    }
    .into_any()
}

/// A number with its thousands apart: "1,000,000".
pub fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if n < 0 { format!("-{text}") } else { text }
}

/// An address of the portal with a query; pairs without a value are left out.
pub fn address<'a>(path: &str, pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<String> = pairs
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", encode_query_value(&value)))
        .collect();
    if pairs.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", pairs.join("&"))
    }
}

/// A choice among named values, the first of which is none: "Any role".
pub fn select(
    name: &'static str,
    label: &'static str,
    any: Option<&'static str>,
    options: Vec<(&'static str, &'static str)>,
    chosen: &str,
) -> AnyView {
    let id = format!("filter-{name}");
    let options = options
        .into_iter()
        .map(|(value, label)| {
            view! {
                <option value=value selected=value == chosen>
                    {label}
                </option>
            }
        })
        .collect::<Vec<_>>();
    view! {
        <div class="field">
            <label for=id.clone()>{label}</label>
            <select class="input" id=id.clone() name=name>
                {any.map(|any| view! { <option value="">{any}</option> })}
                {options}
            </select>
        </div>
    }
    .into_any()
}

/// A name that a user chose. Its direction changes nothing around it.
pub fn name(text: impl Into<String>) -> AnyView {
    let text = text.into();
    view! { <bdi>{text}</bdi> }.into_any()
}

/// The roles that a filter offers. Only the list of everyone can have a system administrator.
pub fn roles(is_of_everyone: bool) -> Vec<(&'static str, &'static str)> {
    Role::ALL
        .iter()
        .filter(|role| is_of_everyone || **role != Role::SystemAdmin)
        .map(|role| (role.as_str(), role.label()))
        .collect()
}

/// Why a filter in the address lists nothing. `labels`: what the fields of the form are called.
pub fn no_filter(unknown: &InvalidFilter, labels: &[(&str, &str)]) -> String {
    let label = labels.iter().find(|(field, _)| *field == unknown.field);
    match label {
        Some((_, label)) => format!("“{label}” is not understood. {}", unknown.problem),
        None => format!(
            "“{}” in the address is not understood. {}",
            unknown.field, unknown.problem
        ),
    }
}

/// The way through the pages of a list: to the first and the next one, where there are.
pub fn pages(first: Option<String>, next: Option<String>) -> AnyView {
    if first.is_none() && next.is_none() {
        return ().into_any();
    }
    let first = first.map(|first| {
        view! {
            <a class="button small" href=first data-noscroll="">
                "First page"
            </a>
        }
    });
    let next = next.map(|next| {
        view! {
            <a class="button small" id="next-page" href=next>
                "Next page"
            </a>
        }
    });
    view! { <nav class="card-foot actions end" aria-label="Pages">{first} {next}</nav> }.into_any()
}

/// A message at the head of a page.
pub fn notice(tone: Tone, text: String) -> AnyView {
    view! {
        <Notice tone>
            <p>{text}</p>
        </Notice>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_separate_thousands() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
            (-1000, "-1,000"),
        ] {
            assert_eq!(number(n), text);
        }
    }

    #[test]
    fn url_omits_empty_values_and_escapes_others() {
        assert_eq!(address("/a", [("q", String::new())]), "/a");
        assert_eq!(
            address("/a", [("q", "x & y".to_owned()), ("r", "1".to_owned())]),
            "/a?q=x%20%26%20y&r=1"
        );
    }
}
