//! Small parts that the admin pages share.

use chrono::{DateTime, Utc};
use domain::{
    query::encode_query,
    time::{format_rfc3339, format_utc, relative_time},
    user::Role,
};
use leptos::prelude::*;

use crate::{
    elements::notice::{Notice, Tone},
    server::{admin::paths, services::admin::query::InvalidQuery},
};

/// A time as an age, with the exact time as title. The browser's part converts the title to the user's time zone.
pub fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> AnyView {
    view! {
        <time datetime=format_rfc3339(at) title=format_utc(at)>
            {relative_time(at, now)}
        </time>
    }
    .into_any()
}

/// An exact time.
pub fn moment(at: DateTime<Utc>) -> AnyView {
    view! {
        <time datetime=format_rfc3339(at) data-exact="">
            {format_utc(at)}
        </time>
    }
    .into_any()
}

/// The time until then: "in 3 hours".
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

/// A number with separated thousands: "1,000,000".
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

/// A URL with a query. Pairs without a value are omitted.
pub fn url<'a>(path: &str, pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let query = encode_query(pairs.into_iter().filter(|(_, value)| !value.is_empty()));
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

/// A name that a user chose, isolated so that its direction does not affect the text around it.
pub fn name(text: impl Into<String>) -> AnyView {
    let text = text.into();
    view! { <bdi>{text}</bdi> }.into_any()
}

/// The roles that a filter offers: `system_admin` only in the list of everyone, or if it is chosen.
pub fn role_options(is_of_everyone: bool, chosen: Option<Role>) -> Vec<(&'static str, &'static str)> {
    let is_offered = |role: &Role| is_of_everyone || *role != Role::SystemAdmin || chosen == Some(*role);
    Role::ALL
        .into_iter()
        .filter(is_offered)
        .map(Role::option)
        .collect()
}

/// An email. It wraps after the @, not within a word, where a column is narrow.
pub fn email(text: &str) -> AnyView {
    match text.split_once('@') {
        Some((local, domain)) => {
            view! { <span>{format!("{local}@")} <wbr /> {domain.to_owned()}</span> }.into_any()
        }
        None => text.to_owned().into_any(),
    }
}

/// Why a query lists nothing. `labels`: of the form's fields.
pub fn explain_invalid_query(
    error: &InvalidQuery,
    labels: &[(&str, &str)],
    is_explained_at_field: bool,
) -> String {
    let error = match error {
        InvalidQuery::Parameter(problem) => return problem.clone(),
        InvalidQuery::Value(error) => error,
    };
    let text = match labels.iter().find(|(field, _)| *field == error.field) {
        Some((_, label)) => format!("“{label}” is not understood."),
        None => format!("“{}” in the address is not understood.", error.field),
    };
    if is_explained_at_field {
        text
    } else {
        format!("{text} {}", error.problem)
    }
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

/// The links between the admin pages.
pub fn tabs(current: &str) -> AnyView {
    let pages = [
        (paths::SESSIONS, "Sessions"),
        (paths::PEOPLE, "People"),
        (paths::AUDIT, "Audit log"),
        (paths::HEALTH, "Health"),
    ];
    let links = pages
        .into_iter()
        .map(|(path, label)| {
            view! {
                // A full load: the server renders each page for its URL.
                <a href=path rel="external" aria-current=(path == current).then_some("page")>
                    {label}
                </a>
            }
        })
        .collect::<Vec<_>>();
    view! {
        <nav class="tabs" aria-label="Administration">
            {links}
        </nav>
    }
    .into_any()
}

/// Renders a view as HTML without scripts.
pub fn to_html(view: impl IntoView) -> String {
    view.into_any().to_html()
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
        assert_eq!(url("/a", [("q", String::new())]), "/a");
        assert_eq!(
            url("/a", [("q", "x & y".to_owned()), ("r", "1".to_owned())]),
            "/a?q=x%20%26%20y&r=1"
        );
    }
}
